//! Tensors for chainrule: strided views, kernels written by hand, the same bits on any number of threads

#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the kernels that call it come with their own change"
    )
)]
mod cpu {
    pub(crate) mod math;
}
