//! The gradients of batch normalization over a batch, which one kernel computes, as ops.

use chainrule_tensor::{Float, TensorOf};

use crate::attribute::Attribute;
use crate::graph::{Tangent, VarOf};
use crate::ops::Text;
use crate::ops::composed::record_composed;
use crate::ops::epilogue::{Gate, gated};
use crate::ops::linear_map::linear;
use crate::ops::normalization::processes::Processes;
use crate::ops::reduction::channel_sum::{ChannelSum, channels, over};

/// Records what the kernel computed, dx, dγ, dβ and dr, as functions of dy, x and γ; y is the output of an op with relu. The
/// statistics are those of x or of all processes.
pub(super) fn recorded<T: Float>(
    (dx, dgamma, dbeta, dr): (TensorOf<T>, TensorOf<T>, TensorOf<T>, Option<TensorOf<T>>),
    [dy, x, gamma]: [&VarOf<T>; 3],
    y: Option<&TensorOf<T>>,
    eps: f64,
    all: Option<&Processes<T>>,
) -> [Option<VarOf<T>>; 4] {
    let processes = all.map(Processes::size);
    let attributes = move || {
        let eps = Attribute::new("eps", eps).symbol("ε");
        std::iter::once(eps).chain(processes.map(|size| Attribute::new("processes", size))).collect()
    };
    let relu = usize::from(y.is_some());
    let gate = |y: Option<&TensorOf<T>>| {
        let y = y.cloned();
        move |dy: &VarOf<T>| gated(dy, y.as_ref())
    };
    let (g, over) = (gate(y), all.cloned());
    let dx = record_composed(dx, [dy, x, gamma], &INPUT_GRADIENT[relu], attributes, move |[dy, x, gamma]| {
        let (g, mean) = (g(dy), |x: &VarOf<T>| mean(x, over.as_ref()));
        let (xhat, istd) = normalized(x, eps, over.as_ref());
        let centered = &g - mean(&g) - &xhat * mean(&(&g * &xhat));
        gamma.reshape(channels(x.shape())) * istd * centered
    });
    let (g, over) = (gate(y), all.cloned());
    let dgamma = record_composed(dgamma, [dy, x], &SCALE_GRADIENT[relu], attributes, move |[dy, x]| {
        (g(dy) * normalized(x, eps, over.as_ref()).0).channel_sum()
    });
    let g = gate(y);
    let dbeta = match y {
        None => linear(dy, dbeta, ChannelSum),
        Some(_) => record_composed(dbeta, [dy], &SHIFT_GRADIENT, Vec::new, move |[dy]| g(dy).channel_sum()),
    };
    let dr = dr.map(|dr| y.map_or_else(|| dy.clone(), |y| linear(dy, dr, Gate { y: y.clone() })));
    [Some(dx), Some(dgamma), Some(dbeta), dr]
}

/// The tangent of an output over all processes, before relu, from those of x, γ, β and r:
/// `γ/√(var + ε) · (dx − mean(dx) − x̂·mean(dx·x̂)) + dγ·x̂ + dβ + dr`.
pub(super) fn tangent_over<T: Float>(
    all: &Processes<T>,
    [x, gamma]: [&VarOf<T>; 2],
    dx: &[Option<VarOf<T>>],
    eps: f64,
) -> Tangent<T> {
    let (xhat, istd) = normalized(x, eps, Some(all));
    let beside = |row: &VarOf<T>| row.reshape(channels(x.shape()));
    let of_x = |dx: &VarOf<T>| beside(gamma) * &istd * (dx - all.mean(dx) - &xhat * all.mean(&(dx * &xhat)));
    let parts = [
        dx[0].as_ref().map(of_x),
        dx[1].as_ref().map(|dgamma| beside(dgamma) * &xhat),
        dx[2].as_ref().map(beside),
        dx.get(3).cloned().flatten(),
    ];
    Tangent::sum(x.shape(), parts)
}

/// The mean of each channel of x, or over all processes: (1,C,1,…).
fn mean<T: Float>(x: &VarOf<T>, all: Option<&Processes<T>>) -> VarOf<T> {
    all.map_or_else(|| x.mean_axes(&over(x.shape()), true), |all| all.mean(x))
}

/// x̂ and 1/√(var + ε), composed of other ops.
fn normalized<T: Float>(x: &VarOf<T>, eps: f64, all: Option<&Processes<T>>) -> (VarOf<T>, VarOf<T>) {
    let istd = |variance: VarOf<T>| (variance + eps).sqrt().reciprocal();
    let Some(all) = all else {
        let istd = istd(x.var_axes(&over(x.shape()), 0, true));
        return ((x - mean(x, None)) * &istd, istd);
    };
    let centered = x - all.mean(x);
    let istd = istd(all.mean(&centered.square()));
    (centered * &istd, istd)
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
