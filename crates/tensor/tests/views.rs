//! Views compared with an index-by-index reference: a chain of random views reads the elements given by index arithmetic.

use chainrule_tensor::{Shape, Tensor64, TensorOf};
use proptest::prelude::*;

/// A tensor as a plain list of indices into the original data, in row-major order.
#[derive(Clone, Debug)]
struct Reference {
    dims: Vec<usize>,
    cells: Vec<usize>,
}

impl Reference {
    fn new(dims: &[usize]) -> Self {
        Self { dims: dims.to_vec(), cells: (0..dims.iter().product()).collect() }
    }

    /// The reference whose element at `index` is the element of `self` at `from(index)`.
    fn mapped(&self, dims: &[usize], from: impl Fn(&[usize]) -> Vec<usize>) -> Self {
        let cells =
            (0..dims.iter().product()).map(|i| self.cells[ravel(&from(&unravel(i, dims)), &self.dims)]).collect();
        Self { dims: dims.to_vec(), cells }
    }
}

fn unravel(mut i: usize, dims: &[usize]) -> Vec<usize> {
    let mut index = vec![0; dims.len()];
    for (slot, &len) in index.iter_mut().zip(dims).rev() {
        *slot = i % len;
        i /= len;
    }
    index
}

fn ravel(index: &[usize], dims: &[usize]) -> usize {
    index.iter().zip(dims).fold(0, |place, (&i, &len)| place * len + i)
}

/// One view, chosen by random numbers.
fn view(x: &Tensor64, reference: &Reference, kind: u8, a: usize, b: usize, c: usize) -> (Tensor64, Reference) {
    let dims = &reference.dims;
    let rank = dims.len();
    match kind {
        0 if rank > 0 => {
            let mut order: Vec<usize> = (0..rank).collect();
            order.rotate_left(a % rank);
            order.swap(b % rank, c % rank);
            let new: Vec<usize> = order.iter().map(|&axis| dims[axis]).collect();
            let back = |index: &[usize]| {
                let mut old = vec![0; rank];
                for (to, &axis) in order.iter().enumerate() {
                    old[axis] = index[to];
                }
                old
            };
            (x.permute(&order), reference.mapped(&new, back))
        }
        1 if rank > 0 => {
            let axis = a % rank;
            let start = b % dims[axis];
            let step = [1isize, 2, -1, -2][c % 4];
            let left = if step > 0 { dims[axis] - 1 - start } else { start };
            let len = left / step.unsigned_abs() + 1;
            let mut new = dims.clone();
            new[axis] = len;
            let from = |index: &[usize]| {
                let mut old = index.to_vec();
                old[axis] = (start as isize + step * index[axis] as isize) as usize;
                old
            };
            (x.slice(axis as isize, start, len, step), reference.mapped(&new, from))
        }
        2 => {
            // Factors of the number of elements, with an axis of length 1 in between.
            let n: usize = dims.iter().product();
            let first = (1..=n).filter(|d| n.is_multiple_of(*d)).nth(a % 3).unwrap_or(n);
            let new = if b.is_multiple_of(2) { vec![first, 1, n / first] } else { vec![n / first, first] };
            let cells = reference.cells.clone();
            (x.reshape(new.clone()), Reference { dims: new, cells })
        }
        3 if rank < 5 => {
            let mut new = dims.clone();
            new.insert(0, 1 + a % 3);
            (x.broadcast_to(new.clone()), reference.mapped(&new, |index| index[1..].to_vec()))
        }
        4 if rank < 6 => {
            let axis = a % (rank + 1);
            let mut new = dims.clone();
            new.insert(axis, 1);
            let cells = reference.cells.clone();
            (x.unsqueeze(axis as isize), Reference { dims: new, cells })
        }
        _ => match dims.iter().position(|&len| len == 1) {
            Some(axis) => {
                let mut new = dims.clone();
                new.remove(axis);
                let cells = reference.cells.clone();
                (x.squeeze(axis as isize), Reference { dims: new, cells })
            }
            None => (x.clone(), reference.clone()),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn chains_of_views_read_the_right_elements(
        dims in prop::collection::vec(1usize..5, 0..5),
        views in prop::collection::vec((0u8..6, 0usize..60, 0usize..60, 0usize..60), 0..6),
    ) {
        let mut reference = Reference::new(&dims);
        let mut x = Tensor64::from_fn(dims, |i| i as f64);
        for (kind, a, b, c) in views {
            (x, reference) = view(&x, &reference, kind, a, b, c);
            let expected: Vec<f64> = reference.cells.iter().map(|&cell| cell as f64).collect();
            prop_assert_eq!(x.shape(), Shape::from(reference.dims.clone()));
            prop_assert_eq!(x.to_vec(), expected.clone());
            let straight = x.contiguous();
            prop_assert_eq!(straight.as_slice().expect("contiguous"), &expected[..]);
            prop_assert_eq!(x.dense().to_vec(), expected.clone());
            prop_assert!(x.dense().layout().is_dense());
            for (i, &value) in expected.iter().enumerate() {
                prop_assert_eq!(x.at(&unravel(i, &reference.dims)), value);
            }
        }
    }

    #[test]
    fn writing_to_a_view_leaves_its_source_alone(
        dims in prop::collection::vec(1usize..4, 1..4),
        views in prop::collection::vec((0u8..6, 0usize..60, 0usize..60, 0usize..60), 1..4),
    ) {
        let mut reference = Reference::new(&dims);
        let source = Tensor64::from_fn(dims, |i| i as f64);
        let mut x = source.clone();
        for (kind, a, b, c) in views {
            (x, reference) = view(&x, &reference, kind, a, b, c);
        }
        x.make_mut().fill(-1.0);
        prop_assert!(x.to_vec().iter().all(|&v| v == -1.0));
        prop_assert!(source.to_vec().iter().enumerate().all(|(i, &v)| v == i as f64));
    }
}

#[test]
fn views_share_storage_until_they_are_written() {
    let x = Tensor64::arange(24).reshape([2, 3, 4]);
    assert!(x.permute(&[2, 0, 1]).as_slice().is_none());
    let images = Tensor64::from_fn([2, 3, 4, 5], |i| i as f64);
    let last = images.channels_last();
    assert_eq!(last, images);
    assert_eq!(last.layout().strides(), [60, 1, 15, 3]);
    assert_eq!(last.channels_last().layout(), last.layout());
    assert_eq!(last.flatten(1).to_vec(), images.to_vec(), "flatten follows the logical order");
}

#[test]
fn concat_pad_and_assign() {
    let a = Tensor64::from([[1.0, 2.0], [3.0, 4.0]]);
    let column = Tensor64::from([[9.0], [8.0]]);
    assert_eq!(TensorOf::concat(&[&a, &column], 1).to_vec(), [1.0, 2.0, 9.0, 3.0, 4.0, 8.0]);
    assert_eq!(TensorOf::concat(&[&a, &a.narrow(0, 0..0)], 0), a);
    assert_eq!(a.pad(&[(0, 1), (1, 0)], 7.0).to_vec(), [7.0, 1.0, 2.0, 7.0, 3.0, 4.0, 7.0, 7.0, 7.0]);
    let mut b = a.clone();
    b.assign_slice(1, 1, -1, &a);
    assert_eq!(b.to_vec(), [2.0, 1.0, 4.0, 3.0]);
    assert_eq!(a.to_vec(), [1.0, 2.0, 3.0, 4.0], "the copy was written, not the original");
}

/// The message of a panic.
fn text(body: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(body).expect_err("it panics");
    panic
        .downcast_ref::<String>()
        .cloned()
        .unwrap_or_else(|| (*panic.downcast_ref::<&str>().expect("a text")).to_owned())
}

#[test]
fn wrong_shapes_are_told_with_both_shapes_and_the_rule() {
    let x = || Tensor64::zeros([2, 3]);
    for (body, pieces) in [
        (
            Box::new(move || drop(x().reshape([4]))) as Box<dyn FnOnce() + std::panic::UnwindSafe>,
            &["reshape: 6 elements cannot become (4,), which has 4", "(2, 3)"][..],
        ),
        (Box::new(move || drop(x().permute(&[0, 0]))), &["permute: [0, 0]", "every axis from 0 to 1 once"]),
        (Box::new(move || drop(x().transpose(0, 2))), &["transpose: axis 2 is out of range", "x = (2, 3)"]),
        (Box::new(move || drop(x().narrow(1, 2..4))), &["slice: 2 elements from 2 with step 1", "axis 1 of length 3"]),
        (Box::new(move || drop(x().broadcast_to([3, 3]))), &["broadcast_to: (2, 3) does not broadcast to (3, 3)"]),
        (Box::new(move || drop(x().squeeze(0))), &["squeeze: axis 0 of (2, 3) has length 2"]),
        (
            Box::new(move || drop(x().matmul(&x()))),
            &["matmul: inner dimensions differ, a has K = 3, b has K = 2", "a (…,M,K) = (2, 3)"],
        ),
        (
            Box::new(move || drop(x().gather(1, &[[0, 3, 0], [0, 0, 0]].into()))),
            &["gather: index 3 is out of range for an axis of length 3"],
        ),
        (Box::new(move || drop(x().topk(4, 1))), &["topk: the 4 largest of 3 elements"]),
        (
            Box::new(move || drop(Tensor64::zeros([0, 3]).max(&[], false))),
            &["max: a tensor of shape (0, 3) has no elements"],
        ),
        (
            Box::new(move || drop(TensorOf::concat(&[&x(), &Tensor64::zeros([2, 2])], 0))),
            &["concat: part 1 does not match part 0 outside axis 0", "part 1 = (2, 2)"],
        ),
        (
            Box::new(move || drop(Tensor64::from_slice(&[1.0], [2]))),
            &["from_slice: 1 elements given, but the shape (2,) has 2"],
        ),
        (Box::new(move || drop(Tensor64::zeros([1; 9]))), &["shape: 9 axes are too many", "at most 8 axes"]),
    ] {
        let said = text(body);
        for piece in pieces {
            assert!(said.contains(piece), "no '{piece}' in:\n{said}");
        }
    }
}

#[test]
fn convolutions_that_do_not_fit_are_told_with_named_dimensions() {
    let x = Tensor64::zeros([8, 3, 32, 32]);
    let w = Tensor64::zeros([16, 1, 3, 3]);
    let said = text(move || drop(x.conv2d(&w, None, chainrule_tensor::Conv2dOptions::default())));
    assert_eq!(
        said,
        "conv2d: weight expects 1 input channel, input has 3\n  input (N,C,H,W)      = (8, 3, 32, 32)\n  weight (O,C/g,kh,kw) = (16, 1, 3, 3)\n  rule: input.C == weight.C/g · groups"
    );
    let (x, w) = (Tensor64::zeros([1, 1, 2, 2]), Tensor64::zeros([1, 1, 5, 5]));
    let said = text(move || drop(x.conv2d(&w, None, chainrule_tensor::Conv2dOptions::padded(1))));
    assert!(
        said.contains("a kernel of 5×5 (dilation [1, 1]) is larger than an image of 2×2 padded by [1, 1]"),
        "{said}"
    );
}
