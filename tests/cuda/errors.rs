//! Errors of the driver, and a driver whose state other code has changed.

use std::ptr::null_mut;

use chainrule_tensor::cuda::{self, GraphMemory};
use chainrule_tensor::{Tensor, Unary};
use cudarc::driver::result;

use crate::GPU;
use crate::tensors::{panic_of, twice};

const FAILED: &str = "cuda:0: synchronizing failed: unspecified launch failure (CUDA_ERROR_LAUNCH_FAILED)";

/// After a kernel has failed, all calls fail. The text of the first is not lost, although dropping tensors fails as well.
pub fn drops_after_a_failure() {
    let x = Tensor::full_on(GPU, 1000, 1.0);
    let text = panic_of(|| {
        let y = x.unary(Unary::Tanh);
        let z = twice(&y);
        z.to_vec();
    });
    assert_eq!(text, FAILED);
    // Later calls say the same of themselves.
    let text = panic_of(|| drop(Tensor::full_on(GPU, 1000, 1.0)));
    assert_eq!(text, "cuda:0: allocating memory failed: unspecified launch failure (CUDA_ERROR_LAUNCH_FAILED)");
    // Not dropped: outside a panic, a drop reports the failure itself.
    std::mem::forget(x);
}

/// The same with a captured step and its memory in scope, whose kernel fails in the replay.
pub fn drops_after_a_failed_replay() {
    let x = Tensor::full_on(GPU, 1000, 1.0);
    let text = panic_of(|| {
        let memory = GraphMemory::new(0).expect("it is open");
        let (graph, y) = memory.record(|| x.unary(Unary::Tanh));
        graph.replay(1, 1.0);
        y.to_vec();
    });
    assert_eq!(text, FAILED);
    std::mem::forget(x);
}

/// The device is found again when other code on this thread has changed the current context.
pub fn foreign_contexts() {
    // SAFETY: no context is current afterwards, which the driver allows.
    let change = || unsafe { result::ctx::set_current(null_mut()) }.expect("a driver");
    let x = Tensor::full_on(GPU, 1000, 1.0);
    change();
    let y = twice(&x);
    change();
    assert_eq!(y.to_vec(), [2.0; 1000]);
    change();
    assert_eq!(Tensor::ones([1000]).to(GPU).to_vec(), [1.0; 1000]);
    change();
    let memory = GraphMemory::new(0).expect("it is open");
    change();
    let (graph, y) = memory.record(|| twice(&x));
    change();
    graph.replay(1, 1.0);
    assert_eq!(y.to_vec(), [2.0; 1000]);
    change();
    drop((graph, y, x));
    change();
    cuda::trim(0).expect("it is open");
    assert!(cuda::stats(0).expect("it is open").free > 0);
}
