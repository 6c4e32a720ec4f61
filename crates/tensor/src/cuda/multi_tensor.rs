//! Many tensors in one launch: `TensorList` of `kernels/cuda/optimizer.cu`.

use crate::element::Float;
use crate::gpu::Gpu;
use crate::gpu::launch::{Argument, Grid, checked};
use crate::layout::Layout;
use crate::tensor::{TensorOf, address};

/// The maximum number of tensors per launch.
const MAX_TENSORS: usize = 64;
/// Elements of a slot per block.
const CHUNK: usize = 2048;

/// `TensorList` of the kernels.
#[repr(C)]
pub(super) struct TensorList {
    changed: [u64; MAX_TENSORS],
    read: [u64; MAX_TENSORS],
    state: [[u64; MAX_TENSORS]; 2],
    numel: [u32; MAX_TENSORS],
    first_block: [u32; MAX_TENSORS],
    count: i32,
}

// SAFETY: the same fields of the same sizes in the same order.
unsafe impl Argument for TensorList {}

/// The tensors of a slot, all with the same order of axes in memory.
pub(super) struct Tensors<T> {
    /// The address of the tensor to update, 0 if there is none.
    pub(super) changed: u64,
    /// The tensor that is read.
    pub(super) read: TensorOf<T>,
    /// The addresses of the optimizer's state, 0 where there is none.
    pub(super) state: [u64; 2],
}

impl<T: Float> Tensors<T> {
    /// The number of blocks that process its elements.
    pub(super) fn blocks(&self) -> usize {
        self.read.numel().div_ceil(CHUNK)
    }
}

/// `x` with its axes in memory in `order`, to be read.
pub(super) fn ordered<T: Float>(gpu: &'static Gpu, x: &TensorOf<T>, order: &[usize]) -> TensorOf<T> {
    let layout = Layout::dense(x.shape(), order);
    if x.layout().same_strides(&layout) {
        return x.clone();
    }
    let mut own = gpu.tensor(layout);
    T::copy(&mut own, x);
    own
}

/// The address of `x` after it was made exclusive with its axes in memory in `order`, to be written.
pub(super) fn owned<T: Float>(gpu: &'static Gpu, x: &mut TensorOf<T>, order: &[usize]) -> u64 {
    if x.gpu().is_none() {
        *x = x.to(gpu.device());
    }
    *x = ordered(gpu, &std::mem::replace(x, TensorOf::zeros(0)), order);
    x.make_own();
    address(x)
}

/// Calls `launch` with up to [`MAX_TENSORS`] slots at a time, in order; empty slots are skipped.
pub(super) fn for_launches<'a, T: Float>(
    slots: impl Iterator<Item = &'a Tensors<T>>,
    mut launch: impl FnMut(&TensorList, Grid),
) {
    let slots: Vec<&Tensors<T>> = slots.filter(|tensors| tensors.read.numel() > 0).collect();
    for some in slots.chunks(MAX_TENSORS) {
        let mut table = TensorList {
            changed: [0; MAX_TENSORS],
            read: [0; MAX_TENSORS],
            state: [[0; MAX_TENSORS]; 2],
            numel: [0; MAX_TENSORS],
            first_block: [0; MAX_TENSORS],
            count: some.len() as i32,
        };
        let mut blocks = 0;
        for (i, tensors) in some.iter().enumerate() {
            table.changed[i] = tensors.changed;
            table.read[i] = address(&tensors.read);
            for (row, &state) in table.state.iter_mut().zip(&tensors.state) {
                row[i] = state;
            }
            table.numel[i] = checked(tensors.read.numel());
            table.first_block[i] = blocks as u32;
            blocks += tensors.blocks();
        }
        launch(&table, Grid::blocks(blocks));
    }
}
