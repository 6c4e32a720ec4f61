//! Convolution, by im2col and matrix products.

use crate::element::Float;
use crate::layout::Layout;
use crate::parallel::{Disjoint, parallel_for};
use crate::shape::Shape;
use crate::shape_rules::Conv2dOptions;
use crate::tensor::TensorOf;

struct Geometry {
    n: usize,
    c: usize,
    h: usize,
    w: usize,
    o: usize,
    kh: usize,
    kw: usize,
    oh: usize,
    ow: usize,
    options: Conv2dOptions,
}

impl Geometry {
    fn k(&self) -> usize {
        self.c / self.options.groups * self.kh * self.kw
    }
    fn p(&self) -> usize {
        self.oh * self.ow
    }
    fn visit(&self, mut f: impl FnMut(usize, usize, usize, usize)) {
        // f(row of col, pixel, y, x) for cells inside of the image; c is left to the caller.
        let Conv2dOptions { stride, padding, dilation, .. } = self.options;
        for p in 0..self.kh {
            for q in 0..self.kw {
                for i in 0..self.oh {
                    let y = (i * stride[0] + p * dilation[0]).wrapping_sub(padding[0]);
                    if y >= self.h {
                        continue;
                    }
                    for j in 0..self.ow {
                        let x = (j * stride[1] + q * dilation[1]).wrapping_sub(padding[1]);
                        if x < self.w {
                            f(p * self.kw + q, i * self.ow + j, y, x);
                        }
                    }
                }
            }
        }
    }
}

fn geometry(x: Shape, w: Shape, options: Conv2dOptions) -> Geometry {
    let y = crate::shape_rules::conv2d(x, w, None, options).expect("checked by the caller");
    Geometry { n: x[0], c: x[1], h: x[2], w: x[3], o: w[0], kh: w[2], kw: w[3], oh: y[2], ow: y[3], options }
}

fn im2col<T: Float>(g: &Geometry, x: &TensorOf<T>, image: usize, group: usize, col: &mut [T]) {
    let cg = g.c / g.options.groups;
    let (buffer, layout) = (x.buffer(), x.layout());
    let s = layout.strides();
    col.fill(T::ZERO);
    for c in 0..cg {
        let base = layout.offset() as isize + image as isize * s[0] + (group * cg + c) as isize * s[1];
        g.visit(|k, p, y, xx| {
            col[(c * g.kh * g.kw + k) * g.p() + p] = buffer[(base + y as isize * s[2] + xx as isize * s[3]) as usize];
        });
    }
}

pub(crate) fn conv2d<T: Float>(
    x: &TensorOf<T>,
    w: &TensorOf<T>,
    b: Option<&TensorOf<T>>,
    options: Conv2dOptions,
) -> TensorOf<T> {
    let g = geometry(x.shape(), w.shape(), options);
    let w = w.contiguous();
    let mut y = TensorOf::uninitialised(Layout::contiguous(Shape::from([g.n, g.o, g.oh, g.ow])));
    let out = Disjoint::new(y.buffer_mut().0);
    let og = g.o / options.groups;
    parallel_for(g.n, 1, |range| {
        let mut col = vec![T::ZERO; g.k() * g.p()];
        for n in range {
            for group in 0..options.groups {
                im2col(&g, x, n, group, &mut col);
                let start = (n * g.o + group * og) * g.p();
                // SAFETY: images and groups do not overlap.
                let y = unsafe { out.slice(start..start + og * g.p()) };
                for (o, row) in y.chunks_mut(g.p().max(1)).enumerate() {
                    row.fill(b.map_or(T::ZERO, |b| b.at(&[group * og + o])));
                }
                let w = &w.as_slice().expect("contiguous")[group * og * g.k()..];
                let p = g.p() as isize;
                // SAFETY: the slices have these shapes.
                unsafe {
                    T::gemm(
                        [og, g.k(), g.p()],
                        w.as_ptr(),
                        [g.k() as isize, 1],
                        col.as_ptr(),
                        [p, 1],
                        T::ONE,
                        y.as_mut_ptr(),
                        [p, 1],
                    );
                }
            }
        }
    });
    y
}

pub(crate) fn input_gradient<T: Float>(
    dy: &TensorOf<T>,
    w: &TensorOf<T>,
    hw: [usize; 2],
    options: Conv2dOptions,
) -> TensorOf<T> {
    let ws = w.shape();
    let g = geometry(Shape::from([dy.shape()[0], ws[1] * options.groups, hw[0], hw[1]]), ws, options);
    let (w, dy) = (w.contiguous(), dy.contiguous());
    let mut dx = TensorOf::zeros([g.n, g.c, g.h, g.w]);
    let out = Disjoint::new(dx.buffer_mut().0);
    let (og, cg) = (g.o / options.groups, g.c / options.groups);
    parallel_for(g.n, 1, |range| {
        let mut col = vec![T::ZERO; g.k() * g.p()];
        for n in range {
            for group in 0..options.groups {
                let p = g.p() as isize;
                let w = &w.as_slice().expect("contiguous")[group * og * g.k()..];
                let dy = &dy.as_slice().expect("contiguous")[(n * g.o + group * og) * g.p()..];
                // SAFETY: the slices have these shapes.
                unsafe {
                    T::gemm(
                        [g.k(), og, g.p()],
                        w.as_ptr(),
                        [1, g.k() as isize],
                        dy.as_ptr(),
                        [p, 1],
                        T::ZERO,
                        col.as_mut_ptr(),
                        [p, 1],
                    );
                }
                for c in 0..cg {
                    let start = (n * g.c + group * cg + c) * g.h * g.w;
                    // SAFETY: planes do not overlap.
                    let plane = unsafe { out.slice(start..start + g.h * g.w) };
                    g.visit(|k, p, y, x| plane[y * g.w + x] += col[(c * g.kh * g.kw + k) * g.p() + p]);
                }
            }
        }
    });
    dx
}

pub(crate) fn weight_gradient<T: Float>(
    x: &TensorOf<T>,
    dy: &TensorOf<T>,
    khw: [usize; 2],
    options: Conv2dOptions,
) -> TensorOf<T> {
    let shape = Shape::from([dy.shape()[1], x.shape()[1] / options.groups, khw[0], khw[1]]);
    let g = geometry(x.shape(), shape, options);
    let dy = dy.contiguous();
    let mut dw = TensorOf::zeros(shape);
    let og = g.o / options.groups;
    let out = dw.make_mut();
    let mut col = vec![T::ZERO; g.k() * g.p()];
    for n in 0..g.n {
        for group in 0..options.groups {
            im2col(&g, x, n, group, &mut col);
            let dy = &dy.as_slice().expect("contiguous")[(n * g.o + group * og) * g.p()..];
            let p = g.p() as isize;
            // SAFETY: the slices have these shapes.
            unsafe {
                T::gemm(
                    [og, g.p(), g.k()],
                    dy.as_ptr(),
                    [p, 1],
                    col.as_ptr(),
                    [1, p],
                    T::ONE,
                    out[group * og * g.k()..].as_mut_ptr(),
                    [g.k() as isize, 1],
                );
            }
        }
    }
    dw
}

/// The general matrix product of an element type.
pub trait Gemm: Sized {
    /// `c = a · b + beta · c` for (M, K) · (K, N) → (M, N), strides as `[row, column]`.
    ///
    /// # Safety
    /// The pointers and strides address valid matrices, and nobody else uses c.
    #[allow(clippy::too_many_arguments, reason = "three matrices and their strides are what a product has")]
    unsafe fn gemm(
        mkn: [usize; 3],
        a: *const Self,
        sa: [isize; 2],
        b: *const Self,
        sb: [isize; 2],
        beta: Self,
        c: *mut Self,
        sc: [isize; 2],
    );
}

macro_rules! gemm {
    ($t:ty, $f:path) => {
        impl Gemm for $t {
            unsafe fn gemm(
                [m, k, n]: [usize; 3],
                a: *const Self,
                sa: [isize; 2],
                b: *const Self,
                sb: [isize; 2],
                beta: Self,
                c: *mut Self,
                sc: [isize; 2],
            ) {
                // SAFETY: by this function's contract.
                unsafe { $f(m, k, n, 1.0, a, sa[0], sa[1], b, sb[0], sb[1], beta, c, sc[0], sc[1]) }
            }
        }
    };
}

gemm!(f32, matrixmultiply::sgemm);
gemm!(f64, matrixmultiply::dgemm);
