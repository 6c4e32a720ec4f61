//! Copies and constants: `kernels/cuda/elementwise.cu`.

use chainrule_kernels::Family;

use super::bf16::{BF16, Stored};
use super::elementwise;
use super::strided_index::{Walk, order_of};
use crate::device::Device;
use crate::element::Element;
use crate::gpu::Gpu;
use crate::gpu::launch::{Argument, Grid};
use crate::layout::Layout;
use crate::shape::Shape;
use crate::tensor::TensorOf;

const FAMILY: Family = Family::Elementwise;
/// The side length of a tile: SIDE of the kernels.
const SIDE: usize = 32;
/// The minimum length of both axes for a tiled transpose. Memory is read in sectors of 32 bytes, eight floats: of shorter
/// axes a plain copy uses most of each sector anyway, and most threads of a tile would be idle.
const MIN_SIDE: usize = 8;

/// `Plane` of the kernels.
#[repr(C)]
struct Plane {
    rows: u32,
    columns: u32,
    y_step: i64,
    x_step: i64,
}

// SAFETY: the same fields of the same sizes in the same order; the 64-bit ones begin at a multiple of 8 on both sides.
unsafe impl Argument for Plane {}

impl Plane {
    /// A block for each tile of `planes` planes. As no axis is shorter than [`MIN_SIDE`], there are fewer than 2²⁵ blocks.
    fn tiles(&self, planes: u32) -> Grid {
        let [rows, columns] = [self.rows, self.columns].map(|length| (length as usize).div_ceil(SIDE));
        Grid::blocks(planes as usize * rows * columns)
    }
}

/// The walk over y and x split into planes and a batch of planes, if their innermost axes in memory differ: the columns
/// of a plane are y's innermost axis, the rows are x's.
fn planes(walk: &Walk<2>) -> Option<(Walk<2>, Plane)> {
    let mut axes = walk.axes();
    let (columns, [1, x_step]) = axes.pop()? else { return None };
    let (rows, [y_step, _]) = axes.remove(axes.iter().position(|&(_, [_, x_step])| x_step == 1)?);
    let plane = Plane { rows: rows as u32, columns: columns as u32, y_step: y_step as i64, x_step: x_step as i64 };
    // If x is broadcast or reversed along a row of y, a plain copy is coalesced too.
    (x_step.abs() > 1 && rows.min(columns) >= MIN_SIDE).then(|| (Walk::of_axes(axes.into_iter()), plane))
}

pub(crate) fn copy<T: Element>(gpu: &'static Gpu, y: &mut TensorOf<T>, x: &TensorOf<T>) {
    let x = gpu.operand(x);
    let walk = Walk::new(y.shape(), &order_of(y.layout()), [y.layout(), x.layout()]);
    let (to, from) = (Stored::like(y), Stored::like(&x));
    let kind = match (from == BF16, to == BF16) {
        (true, false) => "bf16_to_f32",
        (false, true) => "f32_to_bf16",
        (true, true) | (false, false) => to.0,
    };
    let (to, from) = (to.address(y), from.address(&x));
    // SAFETY: y is exclusive, and the walk, whole or in planes, is in bounds of y and x.
    unsafe {
        match planes(&walk) {
            Some((batch, plane)) => {
                let grid = plane.tiles(batch.numel);
                gpu.launch(FAMILY, ("transpose", kind), grid, [&to, &from, &batch, &plane]);
            }
            None => gpu.launch(FAMILY, ("copy", kind), Grid::elements(walk.numel as usize), [&to, &from, &walk]),
        }
    }
}

/// `x` in a dense layout with the given storage: `x` itself if it has both already and, where it is read in chunks of 16
/// bytes, is aligned to them.
pub(super) fn in_format<T: Element>(
    gpu: &'static Gpu,
    x: &TensorOf<T>,
    stored: Stored,
    layout: Layout,
    by_16_bytes: bool,
) -> TensorOf<T> {
    if x.layout().same_strides(&layout) {
        let x = stored.read(gpu, x);
        if !by_16_bytes || stored.address(&x).is_multiple_of(16) {
            return x;
        }
    }
    arranged(gpu, x, stored, layout)
}

/// A copy of `x` in another dense layout, with the given storage.
pub(super) fn arranged<T: Element>(gpu: &'static Gpu, x: &TensorOf<T>, stored: Stored, layout: Layout) -> TensorOf<T> {
    let mut y = stored.tensor(gpu, layout);
    copy(gpu, &mut y, x);
    y
}

pub(crate) fn full<T: Element + Argument>(gpu: &'static Gpu, _: Device, shape: Shape, value: T) -> TensorOf<T> {
    elementwise::fill(gpu, Layout::contiguous(shape), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The planes, rows and columns of a tiled copy; `None` for a plain copy.
    fn taken(y: &Layout, x: &Layout) -> Option<[u32; 3]> {
        let walk = Walk::new(y.shape(), &order_of(y), [y, x]);
        planes(&walk).map(|(batch, plane)| [batch.numel, plane.rows, plane.columns])
    }

    #[test]
    fn images_are_copied_in_tiles() {
        let shape = Shape::from([2, 16, 7, 10]);
        let (rows, images) = (Layout::contiguous(shape), Layout::dense(shape, &[0, 2, 3, 1]));
        assert_eq!(taken(&rows, &images), Some([2, 16, 70]));
        assert_eq!(taken(&images, &rows), Some([2, 70, 16]));
        let one = images.slice(0, 1, 1, 1).unwrap();
        assert_eq!(taken(&Layout::contiguous(one.shape()), &one), Some([1, 16, 70]));
        // Rows of pixels that are not contiguous are planes of their own.
        for part in [images.slice(3, 1, 8, 1).unwrap(), images.slice(3, 8, 8, -1).unwrap()] {
            assert_eq!(taken(&Layout::contiguous(part.shape()), &part), Some([14, 16, 8]));
        }
    }

    #[test]
    fn copies_that_tiles_do_not_speed_up_are_plain() {
        let shape = Shape::from([2, 16, 7, 10]);
        let (rows, images) = (Layout::contiguous(shape), Layout::dense(shape, &[0, 2, 3, 1]));
        let one_of_each = Layout::contiguous(Shape::from([16, 1, 1]));
        let every_other = images.slice(1, 0, 8, 2).unwrap();
        let few = images.slice(1, 0, 7, 1).unwrap();
        for x in [rows, rows.slice(2, 0, 4, 2).unwrap(), one_of_each, every_other, few] {
            let y = if x.rank() == 4 { x.shape() } else { shape };
            assert_eq!(taken(&Layout::contiguous(y), &x), None, "{x:?}");
        }
    }
}
