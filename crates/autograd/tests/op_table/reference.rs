//! Forward passes as plain loops over indices, independent of the kernels of the library.

use chainrule_tensor::{Conv2dOptions, Pool2dOptions, Tensor64};

/// Every multi-index of a shape, in row-major order.
pub fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for &len in shape {
        all = all.iter().flat_map(|i| (0..len).map(move |k| [&i[..], &[k]].concat())).collect();
    }
    all
}

/// `f` of each element.
pub fn map(x: &Tensor64, f: impl Fn(f64) -> f64) -> Vec<f64> {
    indices(&x.shape()).iter().map(|i| f(x.at(i))).collect()
}

/// The element of x for `index` of a broadcast shape.
fn broadcast_at(x: &Tensor64, index: &[usize]) -> f64 {
    let shape = x.shape();
    let tail = &index[index.len() - shape.rank()..];
    let own: Vec<usize> = tail.iter().zip(shape.iter()).map(|(&i, &len)| if len == 1 { 0 } else { i }).collect();
    x.at(&own)
}

/// `f` of each pair of elements, with broadcasting to `shape`.
pub fn zip(x: &[Tensor64], shape: &[usize], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    indices(shape).iter().map(|i| f(broadcast_at(&x[0], i), broadcast_at(&x[1], i))).collect()
}

/// `f` of the elements along some axes, for each index of the other axes.
pub fn reduce(x: &Tensor64, axes: &[usize], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let shape = x.shape();
    let kept: Vec<usize> = (0..shape.rank()).map(|a| if axes.contains(&a) { 1 } else { shape[a] }).collect();
    let gone: Vec<usize> = (0..shape.rank()).map(|a| if axes.contains(&a) { shape[a] } else { 1 }).collect();
    let along = indices(&gone);
    let at = |i: &[usize], j: &[usize]| x.at(&i.iter().zip(j).map(|(a, b)| a + b).collect::<Vec<_>>());
    indices(&kept).iter().map(|i| f(&along.iter().map(|j| at(i, j)).collect::<Vec<_>>())).collect()
}

/// The elements of x at `from(index)` for each index of `shape`.
pub fn pick(x: &Tensor64, shape: &[usize], from: impl Fn(&[usize]) -> Vec<usize>) -> Vec<f64> {
    indices(shape).iter().map(|i| x.at(&from(i))).collect()
}

/// a (M,K) · b (K,N).
pub fn matmul(a: &Tensor64, b: &Tensor64) -> Vec<f64> {
    let (m, k, n) = (a.shape()[0], a.shape()[1], b.shape()[1]);
    indices(&[m, n]).iter().map(|i| (0..k).map(|l| a.at(&[i[0], l]) * b.at(&[l, i[1]])).sum()).collect()
}

/// The input position for an output position and a kernel element, if inside the image.
fn pixel(out: usize, cell: usize, axis: usize, len: usize, o: Conv2dOptions) -> Option<usize> {
    (out * o.stride[axis] + cell * o.dilation[axis]).checked_sub(o.padding[axis]).filter(|&i| i < len)
}

/// Calls `f(n, o, i, j, c, p, q, row, column)` for each product of a convolution of x (N,C,H,W) with w (O,C/g,kh,kw) to
/// y of the given shape; c counts within the group.
pub fn for_each_product(
    x: &[usize],
    w: &[usize],
    y: &[usize],
    o: Conv2dOptions,
    mut f: impl FnMut([usize; 4], [usize; 4], [usize; 4]),
) {
    for place in indices(y) {
        let group = place[1] / (w[0] / o.groups);
        for cell in indices(&w[1..]) {
            let (row, column) = (pixel(place[2], cell[1], 0, x[2], o), pixel(place[3], cell[2], 1, x[3], o));
            if let (Some(row), Some(column)) = (row, column) {
                let at = [place[0], group * w[1] + cell[0], row, column];
                f(at, [place[1], cell[0], cell[1], cell[2]], [place[0], place[1], place[2], place[3]]);
            }
        }
    }
}

fn flat(index: [usize; 4], shape: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |place, (i, len)| place * len + i)
}

/// y = conv(x, w) + b, of shape `y`.
pub fn conv2d(x: &Tensor64, w: &Tensor64, b: Option<&Tensor64>, y: &[usize], o: Conv2dOptions) -> Vec<f64> {
    let mut out: Vec<f64> = indices(y).iter().map(|i| b.map_or(0.0, |b| b.at(&[i[1]]))).collect();
    for_each_product(&x.shape(), &w.shape(), y, o, |x_at, w_at, y_at| out[flat(y_at, y)] += x.at(&x_at) * w.at(&w_at));
    out
}

/// dx of shape `x` of a convolution with w, for a given dy.
pub fn conv2d_input_gradient(dy: &Tensor64, w: &Tensor64, x: &[usize], o: Conv2dOptions) -> Vec<f64> {
    let mut out = vec![0.0; x.iter().product()];
    for_each_product(x, &w.shape(), &dy.shape(), o, |x_at, w_at, y_at| {
        out[flat(x_at, x)] += dy.at(&y_at) * w.at(&w_at);
    });
    out
}

/// dw of shape `w` of a convolution of x, for a given dy.
pub fn conv2d_weight_gradient(x: &Tensor64, dy: &Tensor64, w: &[usize], o: Conv2dOptions) -> Vec<f64> {
    let mut out = vec![0.0; w.iter().product()];
    for_each_product(&x.shape(), w, &dy.shape(), o, |x_at, w_at, y_at| {
        out[flat(w_at, w)] += x.at(&x_at) * dy.at(&y_at);
    });
    out
}

/// `f` of the elements of each window inside the image; windows as [kernel, stride, pad].
pub fn pool(x: &Tensor64, y: &[usize], [k, s, p]: [usize; 3], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    pool_with(x, y, Pool2dOptions { stride: [s; 2], padding: [p; 2], ..k.into() }, |v, _| f(v))
}

/// `f` of the elements of each window inside the image, and of the number of those inside the padded image.
pub fn pool_with(x: &Tensor64, y: &[usize], o: Pool2dOptions, f: impl Fn(&[f64], usize) -> f64) -> Vec<f64> {
    let shape = x.shape();
    let padded = |axis: usize, i: usize| (0..o.kernel[axis]).map(move |c| i * o.stride[axis] + c * o.dilation[axis]);
    let inside = |axis: usize, i: usize| {
        padded(axis, i).filter_map(move |r| r.checked_sub(o.padding[axis])).filter(move |&r| r < shape[2 + axis])
    };
    let counted =
        |axis: usize, i: usize| padded(axis, i).filter(|&r| r < shape[2 + axis] + 2 * o.padding[axis]).count();
    let of = |i: &[usize]| {
        let cells = inside(0, i[2]).flat_map(|r| inside(1, i[3]).map(move |c| (r, c)));
        let cells: Vec<f64> = cells.map(|(r, c)| x.at(&[i[0], i[1], r, c])).collect();
        f(&cells, counted(0, i[2]) * counted(1, i[3]))
    };
    indices(y).iter().map(|i| of(i)).collect()
}

/// x̂ of batch normalization with the statistics of the batch: x (N,C,…).
pub fn normalized(x: &Tensor64, eps: f64) -> Vec<f64> {
    let shape = x.shape();
    let channel = |c: usize| -> Vec<f64> { indices(&shape).iter().filter(|i| i[1] == c).map(|i| x.at(i)).collect() };
    let statistics: Vec<(f64, f64)> = (0..shape[1])
        .map(|c| {
            let all = channel(c);
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            (mean, all.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / all.len() as f64)
        })
        .collect();
    indices(&shape).iter().map(|i| (x.at(i) - statistics[i[1]].0) / (statistics[i[1]].1 + eps).sqrt()).collect()
}

/// γ·x̂ + β, where x is [x (N,C,…), γ, β, …].
pub fn batch_norm(xhat: &[f64], x: &[Tensor64]) -> Vec<f64> {
    let of = |(i, v): (&Vec<usize>, &f64)| x[1].at(&[i[1]]) * v + x[2].at(&[i[1]]);
    indices(&x[0].shape()).iter().zip(xhat).map(of).collect()
}

/// γ·x̂ + β of the convolution of [x, w, γ, β, …], with the shape y.
pub fn batch_norm_of_conv2d(x: &[Tensor64], y: &[usize], options: Conv2dOptions, eps: f64) -> Vec<f64> {
    let z = Tensor64::from_slice(&conv2d(&x[0], &x[1], None, y, options), y);
    let xhat = normalized(&z, eps);
    batch_norm(&xhat, &[z, x[2].clone(), x[3].clone()])
}

/// Log-softmax along axis 1 of x (N,C).
pub fn log_softmax(x: &Tensor64) -> Vec<f64> {
    let shape = x.shape();
    let log_sum = |n: usize| (0..shape[1]).map(|c| x.at(&[n, c]).exp()).sum::<f64>().ln();
    indices(&shape).iter().map(|i| x.at(i) - log_sum(i[0])).collect()
}

/// Linear interpolation along both axes to `size`, with or without aligned corners.
pub fn bilinear(x: &Tensor64, size: [usize; 2], align: bool) -> Vec<f64> {
    let shape = x.shape();
    let place = |i: usize, axis: usize| -> (usize, usize, f64) {
        let (len, n) = (shape[2 + axis], size[axis]);
        let at = if align {
            i as f64 * (len - 1) as f64 / (n - 1).max(1) as f64
        } else {
            ((i as f64 + 0.5) * len as f64 / n as f64 - 0.5).max(0.0)
        };
        let low = (at.floor() as usize).min(len - 1);
        (low, (low + 1).min(len - 1), at - low as f64)
    };
    let value = |i: &Vec<usize>| {
        let ((a, b, s), (c, d, t)) = (place(i[2], 0), place(i[3], 1));
        let v = |r: usize, q: usize| x.at(&[i[0], i[1], r, q]);
        (1.0 - s) * ((1.0 - t) * v(a, c) + t * v(a, d)) + s * ((1.0 - t) * v(b, c) + t * v(b, d))
    };
    indices(&[shape[0], shape[1], size[0], size[1]]).iter().map(value).collect()
}
