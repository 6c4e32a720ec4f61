//! The memory of a device.

use std::panic::catch_unwind;

use chainrule_autograd::{Var, VarOf};
use chainrule_tensor::cuda::{self, CudaStats};
use chainrule_tensor::{Device, Tensor, Tensor64};

use crate::GPU;

fn stats() -> CudaStats {
    cuda::stats(0).expect("it is open")
}

pub fn reuse() {
    let at_first = stats();
    let step = || {
        let w = VarOf::parameter("w", Tensor::ones([50, 60]).to(GPU));
        let loss = Var::constant(Tensor::ones([40, 50]).to(GPU)).matmul(&w).tanh().sum();
        loss.backward()[&w].at(&[0, 0])
    };
    step();
    let warm = stats();
    assert!(warm.in_use == at_first.in_use, "all memory was returned");
    assert!(warm.peak_in_use > at_first.peak_in_use && warm.held > 0 && warm.launches > at_first.launches);
    step();
    assert_eq!((stats().allocated, stats().held), (warm.allocated, warm.held), "a warm step allocates nothing");
    cuda::trim(0).unwrap();
    assert_eq!((stats().held, stats().peak_in_use), (0, stats().in_use));
    if crate::on_hardware() {
        // The memory of a real GPU also holds the kernels and other programs' data.
        return;
    }
    // Only the block of step parameters is left: everything else was returned to the driver.
    assert!(
        stats().free > at_first.free.saturating_sub(4096),
        "{} bytes free, {} at first",
        stats().free,
        at_first.free
    );
}

/// With 8 MiB of memory, free blocks of other sizes are released, and an allocation that fails reports the sizes.
pub fn exhaustion() {
    drop(Tensor::full_on(GPU, 1 << 20, 0.0));
    assert!(stats().held >= 4 << 20);
    let large = Tensor::full_on(GPU, 3 << 19, 1.0);
    assert_eq!(large.at(&[12345]), 1.0);
    let panic = catch_unwind(|| Tensor64::full_on(GPU, 1 << 20, 0.0)).expect_err("8 MiB are not left");
    let text = panic.downcast_ref::<String>().expect("a text").clone();
    for part in
        ["cuda:0: out of memory: 8.0 MiB requested", "6.0 MiB in use", "0.0 MiB held", "2.0 MiB free", "smaller batch"]
    {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
    assert_eq!(large.to_vec().iter().filter(|&&v| v == 1.0).count(), 3 << 19, "nothing is lost");
}

/// A driver without a GPU.
pub fn no_device() {
    let error = GPU.ready().expect_err("there is no GPU").to_string();
    assert!(error.contains("'cuda:0'") && error.contains("the CUDA driver has no GPU"), "{error}");
    let (device, why) = Device::auto();
    assert!(device == Device::Cpu && why.is_some_and(|why| why.contains("CUDA_VISIBLE_DEVICES")));
}

/// The index of a missing GPU.
pub fn missing_device() {
    let count = cuda::report().expect("a driver").devices.len();
    let error = Device::Cuda(count).ready().expect_err("they are numbered from 0").to_string();
    assert!(error.contains(&format!("'cuda:{count}'")) && error.contains(&format!("only {count}")), "{error}");
}
