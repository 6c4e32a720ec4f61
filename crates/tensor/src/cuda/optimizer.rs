//! Steps of optimizers: `kernels/cuda/optimizer.cu`.

use chainrule_kernels::Family;

use super::Gpu;
use super::launch::{Argument, Grid, THREADS};
use super::walk::{address, checked, order_of};
use crate::element::Float;
use crate::kernel::{AdamSlot, SgdSlot};
use crate::layout::Layout;
use crate::tensor::TensorOf;

/// Parameters of one launch.
const SLOTS: usize = 64;
/// Elements of a parameter that a block changes.
const CHUNK: usize = 2048;

/// `Slots` of the kernels.
#[repr(C)]
struct Slots {
    parameter: [u64; SLOTS],
    gradient: [u64; SLOTS],
    state: [[u64; SLOTS]; 2],
    numel: [u32; SLOTS],
    first_block: [u32; SLOTS],
    count: i32,
}

// SAFETY: the same fields of the same sizes in the same order.
unsafe impl Argument for Slots {}

/// `Sgd` of the kernels.
#[repr(C)]
struct Sgd {
    lr: f64,
    momentum: f64,
    dampening: f64,
    weight_decay: f64,
    nesterov: i32,
    first: i32,
}

// SAFETY: as above.
unsafe impl Argument for Sgd {}

/// `Adam` of the kernels.
#[repr(C)]
struct Adam {
    lr: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    step: u64,
    decoupled: i32,
}

// SAFETY: as above.
unsafe impl Argument for Adam {}

/// The tensors of a slot, all with their axes in the order of the parameter's.
struct Tensors<T> {
    parameter: u64,
    gradient: TensorOf<T>,
    state: [u64; 2],
}

/// `x` with its axes in memory in `order`, for reading.
fn ordered<T: Float>(gpu: &'static Gpu, x: &TensorOf<T>, order: &[usize]) -> TensorOf<T> {
    let layout = Layout::dense(x.shape(), order);
    if (0..x.rank()).all(|a| x.shape()[a] == 1 || x.layout().strides()[a] == layout.strides()[a]) {
        return x.clone();
    }
    let mut own = gpu.tensor(layout);
    T::copy(&mut own, x);
    own
}

/// The same for writing: where its elements are, which nobody else has.
fn owned<T: Float>(gpu: &'static Gpu, x: &mut TensorOf<T>, order: &[usize]) -> u64 {
    if x.gpu().is_none() {
        *x = x.to(gpu.device());
    }
    *x = ordered(gpu, &std::mem::replace(x, TensorOf::zeros(0)), order);
    x.make_own();
    address(x)
}

/// Calls `launch` with as many of the slots as fit at a time, all with the same settings.
fn for_launches<T: Float, S: PartialEq + Copy>(slots: &[(Tensors<T>, S)], launch: impl Fn(&Slots, S, Grid)) {
    for alike in slots.chunk_by(|a, b| a.1 == b.1).flat_map(|alike| alike.chunks(SLOTS)) {
        let mut table = Slots {
            parameter: [0; SLOTS],
            gradient: [0; SLOTS],
            state: [[0; SLOTS]; 2],
            numel: [0; SLOTS],
            first_block: [0; SLOTS],
            count: 0,
        };
        let mut blocks = 0;
        for (tensors, _) in alike.iter().filter(|(tensors, _)| tensors.gradient.numel() > 0) {
            let i = table.count as usize;
            table.parameter[i] = tensors.parameter;
            table.gradient[i] = address(&tensors.gradient);
            for (row, &state) in table.state.iter_mut().zip(&tensors.state) {
                row[i] = state;
            }
            table.numel[i] = checked(tensors.gradient.numel());
            table.first_block[i] = blocks as u32;
            blocks += tensors.gradient.numel().div_ceil(CHUNK);
            table.count += 1;
        }
        launch(&table, alike[0].1, Grid { blocks: [blocks as u32, 1, 1], threads: THREADS });
    }
}

pub(crate) fn sgd_step<T: Float>(gpu: &'static Gpu, slots: Vec<SgdSlot<'_, T>>) {
    let prepare = |slot: SgdSlot<'_, T>| {
        let order = order_of(slot.parameter.layout());
        let momentum = slot.momentum.map_or(0, |momentum| owned(gpu, momentum, &order));
        let gradient = ordered(gpu, &gpu.operand(slot.gradient), &order);
        (Tensors { parameter: owned(gpu, slot.parameter, &order), gradient, state: [momentum, 0] }, slot.step)
    };
    let slots: Vec<_> = slots.into_iter().map(prepare).collect();
    for_launches(&slots, |slots, step, grid| {
        let settings = Sgd {
            lr: step.lr,
            momentum: step.momentum,
            dampening: step.dampening,
            weight_decay: step.weight_decay,
            nesterov: step.nesterov.into(),
            first: step.first.into(),
        };
        // SAFETY: all tensors of a slot have its number of elements, and those that are written nobody else has.
        unsafe {
            gpu.launch(Family::Optimizer, ("sgd_step", T::NAME), grid, [slots, &settings, &gpu.board.dials()]);
        }
    });
}

pub(crate) fn adam_step<T: Float>(gpu: &'static Gpu, slots: Vec<AdamSlot<'_, T>>) {
    let prepare = |slot: AdamSlot<'_, T>| {
        let order = order_of(slot.parameter.layout());
        let state = [slot.mean, slot.square].map(|state| owned(gpu, state, &order));
        let gradient = ordered(gpu, &gpu.operand(slot.gradient), &order);
        (Tensors { parameter: owned(gpu, slot.parameter, &order), gradient, state }, slot.step)
    };
    let slots: Vec<_> = slots.into_iter().map(prepare).collect();
    for_launches(&slots, |slots, step, grid| {
        let settings = Adam {
            lr: step.lr,
            beta1: step.beta1,
            beta2: step.beta2,
            eps: step.eps,
            weight_decay: step.weight_decay,
            step: step.step,
            decoupled: step.decoupled.into(),
        };
        // SAFETY: as above.
        unsafe {
            gpu.launch(Family::Optimizer, ("adam_step", T::NAME), grid, [slots, &settings, &gpu.board.dials()]);
        }
    });
}
