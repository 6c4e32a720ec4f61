//! The phases of the input gradient of a strided convolution: `Phases` of `convolution.cuh`.

use super::images::Sizes;
use crate::gpu::launch::Argument;

/// The pixels of x whose row and column have the same remainders modulo the strides get their gradients through the same taps of
/// the filter. An axis has `count` phases that have pixels, and a phase has at most every `step`-th tap.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Phases {
    step: [i32; 2],
    apart: [i32; 2],
    count: [i32; 2],
}

// SAFETY: the same fields of the same sizes in the same order.
unsafe impl Argument for Phases {}

impl Phases {
    pub(super) fn new(s: &Sizes) -> Self {
        let divisor = [0, 1].map(|axis| greatest_common_divisor(s.stride[axis], s.dilation[axis]));
        Self {
            step: [0, 1].map(|axis| s.stride[axis] / divisor[axis]),
            apart: [0, 1].map(|axis| s.dilation[axis] / divisor[axis]),
            count: [0, 1].map(|axis| s.stride[axis].min(s.hw[axis])),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count.iter().map(|&count| count as usize).product()
    }

    /// The pixels of the largest phase.
    pub(super) fn pixels(s: &Sizes) -> usize {
        [0, 1].map(|axis| (s.hw[axis] as usize).div_ceil(s.stride[axis] as usize)).iter().product::<usize>()
            * s.n as usize
    }

    /// The terms of each sum in the phase with the most taps.
    pub(super) fn terms(&self, s: &Sizes) -> usize {
        [0, 1].map(|axis| (s.kernel[axis] as usize).div_ceil(self.step[axis] as usize)).iter().product::<usize>()
            * s.o as usize
    }
}

fn greatest_common_divisor(a: i32, b: i32) -> i32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
