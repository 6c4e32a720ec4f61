//! Optimizer steps: `kernels/cuda/optimizer.cu`.

use chainrule_kernels::Family;

use super::multi_tensor::{TensorList, Tensors, for_launches, ordered, owned};
use super::strided_index::order_of;
use crate::element::Float;
use crate::gpu::Gpu;
use crate::gpu::launch::{Argument, Grid};
use crate::kernel::{AdamSlot, SgdSlot};
use crate::tensor::TensorOf;

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

// SAFETY: the same fields of the same sizes in the same order.
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

/// Calls `launch` with slots that have the same settings, as many as fit in a launch.
fn for_alike<T: Float, S: PartialEq + Copy>(slots: &[(Tensors<T>, S)], launch: impl Fn(&TensorList, S, Grid)) {
    for alike in slots.chunk_by(|a, b| a.1 == b.1) {
        for_launches(alike.iter().map(|(tensors, _)| tensors), |slots, grid| launch(slots, alike[0].1, grid));
    }
}

pub(crate) fn sgd_step<T: Float>(gpu: &'static Gpu, slots: Vec<SgdSlot<'_, T>>, non_finite: &mut TensorOf<T>) {
    let non_finite = owned(gpu, non_finite, &[]);
    let prepare = |slot: SgdSlot<'_, T>| {
        let order = order_of(slot.parameter.layout());
        let momentum = slot.momentum.map_or(0, |momentum| owned(gpu, momentum, &order));
        let gradient = ordered(gpu, &gpu.operand(slot.gradient), &order);
        (Tensors { changed: owned(gpu, slot.parameter, &order), read: gradient, state: [momentum, 0] }, slot.step)
    };
    let slots: Vec<_> = slots.into_iter().map(prepare).collect();
    for_alike(&slots, |slots, step, grid| {
        let settings = Sgd {
            lr: step.lr,
            momentum: step.momentum,
            dampening: step.dampening,
            weight_decay: step.weight_decay,
            nesterov: step.nesterov.into(),
            first: step.first.into(),
        };
        // SAFETY: all tensors of a slot have its number of elements, and those written are exclusive.
        unsafe {
            gpu.launch(
                Family::Optimizer,
                ("sgd_step", T::NAME),
                grid,
                [slots, &settings, &gpu.step_block.parameters(), &non_finite],
            );
        }
    });
}

pub(crate) fn adam_step<T: Float>(gpu: &'static Gpu, slots: Vec<AdamSlot<'_, T>>, non_finite: &mut TensorOf<T>) {
    let non_finite = owned(gpu, non_finite, &[]);
    let prepare = |slot: AdamSlot<'_, T>| {
        let order = order_of(slot.parameter.layout());
        let state = [slot.mean, slot.square].map(|state| owned(gpu, state, &order));
        let gradient = ordered(gpu, &gpu.operand(slot.gradient), &order);
        (Tensors { changed: owned(gpu, slot.parameter, &order), read: gradient, state }, slot.step)
    };
    let slots: Vec<_> = slots.into_iter().map(prepare).collect();
    for_alike(&slots, |slots, step, grid| {
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
            gpu.launch(
                Family::Optimizer,
                ("adam_step", T::NAME),
                grid,
                [slots, &settings, &gpu.step_block.parameters(), &non_finite],
            );
        }
    });
}
