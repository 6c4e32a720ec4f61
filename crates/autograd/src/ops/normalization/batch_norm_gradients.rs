//! The gradients of batch normalization over a batch, which one kernel computes, as ops.

use chainrule_tensor::{Float, TensorOf};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::ops::Text;
use crate::ops::composed::record_composed;
use crate::ops::epilogue::{Gate, gated};
use crate::ops::linear_map::linear;
use crate::ops::reduction::channel_sum::{ChannelSum, channels, over};

/// Records what the kernel computed, dx, dγ, dβ and dr, as functions of dy, x and γ; y is the output of an op with relu.
pub(super) fn recorded<T: Float>(
    (dx, dgamma, dbeta, dr): (TensorOf<T>, TensorOf<T>, TensorOf<T>, Option<TensorOf<T>>),
    [dy, x, gamma]: [&VarOf<T>; 3],
    y: Option<&TensorOf<T>>,
    eps: f64,
) -> [Option<VarOf<T>>; 4] {
    let eps_attribute = move || vec![Attribute::new("eps", eps).symbol("ε")];
    let relu = usize::from(y.is_some());
    let gate = |y: Option<&TensorOf<T>>| {
        let y = y.cloned();
        move |dy: &VarOf<T>| gated(dy, y.as_ref())
    };
    let g = gate(y);
    let dx = record_composed(dx, [dy, x, gamma], &INPUT_GRADIENT[relu], eps_attribute, move |[dy, x, gamma]| {
        let (g, axes) = (g(dy), over(x.shape()));
        let (xhat, istd) = normalized(x, eps);
        let centered = &g - g.mean_axes(&axes, true) - &xhat * (&g * &xhat).mean_axes(&axes, true);
        gamma.reshape(channels(x.shape())) * istd * centered
    });
    let g = gate(y);
    let dgamma = record_composed(dgamma, [dy, x], &SCALE_GRADIENT[relu], eps_attribute, move |[dy, x]| {
        (g(dy) * normalized(x, eps).0).channel_sum()
    });
    let g = gate(y);
    let dbeta = match y {
        None => linear(dy, dbeta, ChannelSum),
        Some(_) => record_composed(dbeta, [dy], &SHIFT_GRADIENT, Vec::new, move |[dy]| g(dy).channel_sum()),
    };
    let dr = dr.map(|dr| y.map_or_else(|| dy.clone(), |y| linear(dy, dr, Gate { y: y.clone() })));
    [Some(dx), Some(dgamma), Some(dbeta), dr]
}

/// x̂ and 1/√(var + ε), composed of other ops.
fn normalized<T: Float>(x: &VarOf<T>, eps: f64) -> (VarOf<T>, VarOf<T>) {
    let axes = over(x.shape());
    let istd = (x.var_axes(&axes, 0, true) + eps).sqrt().reciprocal();
    ((x - x.mean_axes(&axes, true)) * &istd, istd)
}

/// dx as a function of (dy, x, γ), without and with relu.
static INPUT_GRADIENT: [Text; 2] = texts! {
    "batch_norm input gradient":
        "dx = γ/√(var(x) + ε) · (dy − mean(dy) − x̂ · mean(dy·x̂)), x̂ = (x − mean(x))/√(var(x) + ε)"
        => "d(dy) = γ/√(var(x) + ε) · (dz − mean(dz) − x̂·b), d(x) = −γ/(var(x) + ε) · (x̂·(mean(dz·dy) − mean(dz)·mean(dy) − a·b) + b·(dy − mean(dy) − x̂·a) + a·(dz − mean(dz) − x̂·b)), d(γ) = Σ dz · (dy − mean(dy) − x̂·a)/√(var(x) + ε), a = mean(dy·x̂), b = mean(dz·x̂)",
        saves "dy, x, γ";
    "batch_norm input gradient":
        "dx = γ/√(var(x) + ε) · (g − mean(g) − x̂ · mean(g·x̂)), x̂ = (x − mean(x))/√(var(x) + ε), g = dy where y > 0, else 0"
        => "d(dy) = h where y > 0, else 0, d(x) = −γ/(var(x) + ε) · (x̂·(mean(dz·g) − mean(dz)·mean(g) − a·b) + b·(g − mean(g) − x̂·a) + a·(dz − mean(dz) − x̂·b)), d(γ) = Σ dz · (g − mean(g) − x̂·a)/√(var(x) + ε), a = mean(g·x̂), b = mean(dz·x̂), h = γ/√(var(x) + ε) · (dz − mean(dz) − x̂·b)",
        saves "dy, x, γ, y";
};

/// dγ as a function of (dy, x), without and with relu.
static SCALE_GRADIENT: [Text; 2] = texts! {
    "batch_norm scale gradient":
        "dγ = Σ dy·x̂, x̂ = (x − mean(x))/√(var(x) + ε)"
        => "d(dy) = dz·x̂, d(x) = dz/√(var(x) + ε) · (dy − mean(dy) − x̂ · mean(dy·x̂))",
        saves "dy, x";
    "batch_norm scale gradient":
        "dγ = Σ g·x̂, g = dy where y > 0, else 0, x̂ = (x − mean(x))/√(var(x) + ε)"
        => "d(dy) = dz·x̂ where y > 0, else 0, d(x) = dz/√(var(x) + ε) · (g − mean(g) − x̂ · mean(g·x̂))",
        saves "dy, x, y";
};

/// dβ as a function of dy, with relu.
static SHIFT_GRADIENT: Text = Text {
    name: "batch_norm shift gradient",
    formula: "dβ = Σ g, g = dy where y > 0, else 0",
    derivative: "d(dy) = dz where y > 0, else 0",
    saved: "y",
};
