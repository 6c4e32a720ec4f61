//! Normalization of parts of each sample: groups of channels, or the last axes. Composed of batch normalization, whose kernel
//! computes mean and variance of rows as well as of channels.

use chainrule_tensor::{Float, Shape, TensorOf, ranges};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::ops::reduction::channel_sum::channels;
use crate::scope::open_with;

impl<T: Float> VarOf<T> {
    /// `y = γ·(x − mean)/√(var + ε) + β` with the mean and the biased variance of each group of channels of each sample: x
    /// (N,C,…), γ and β (C), 1 and 0 if they are `None` (Wu, He: "Group normalization", 2018;
    /// `torch.nn.functional.group_norm`, whose ε is 1e-5 by default). With a group for each channel it is instance normalization.
    ///
    /// Let m be the number of elements of a group, x̂ = (x − mean)/√(var + ε) and dx̂ = dy·γ. Then
    /// `dx = (dx̂ − Σ dx̂/m − x̂·Σ (dx̂·x̂)/m)/√(var + ε)`, `dγ = Σ dy·x̂`, `dβ = Σ dy`.
    ///
    /// # Panics
    /// If the channels cannot be divided among the groups, γ or β has another shape, or ε is negative, infinite or NaN.
    #[track_caller]
    #[must_use]
    pub fn group_norm(&self, groups: usize, weight: Option<&Self>, bias: Option<&Self>, eps: f64) -> Self {
        const NAME: &str = "group_norm";
        let x = self.shape();
        assert!(
            x.rank() >= 2 && groups > 0 && x[1].is_multiple_of(groups),
            "{NAME}: channels cannot be divided among {groups} groups\n  input (N,C,…) = {x}\n  rule: C is a multiple of the groups"
        );
        let _scope = open_with(NAME, || vec![Attribute::new("groups", groups), Attribute::new("eps", eps).symbol("ε")]);
        let xhat = normalized(NAME, self, x[0] * groups, eps);
        affine(NAME, &xhat, [weight, bias], Shape::new(&x[1..2]), channels(x))
    }

    /// `y = γ·(x − mean)/√(var + ε) + β` with the mean and the biased variance over the last axes, whose lengths are
    /// `normalized_shape`: γ and β have that shape, and are 1 and 0 if they are `None` (Ba, Kiros, Hinton: "Layer
    /// normalization", 2016; `torch.nn.functional.layer_norm`, whose ε is 1e-5 by default). The derivative is that of
    /// [`group_norm`](Self::group_norm).
    ///
    /// # Panics
    /// If the last axes have other lengths, γ or β has another shape, or ε is negative, infinite or NaN.
    #[track_caller]
    #[must_use]
    pub fn layer_norm(
        &self,
        normalized_shape: impl Into<Shape>,
        weight: Option<&Self>,
        bias: Option<&Self>,
        eps: f64,
    ) -> Self {
        const NAME: &str = "layer_norm";
        let (x, last) = (self.shape(), normalized_shape.into());
        assert!(
            last.rank() > 0 && x.ends_with(&last),
            "{NAME}: the last axes have other lengths\n  input = {x}\n  normalized shape = {last}\n  rule: input (…, normalized shape)"
        );
        let _scope = open_with(NAME, || vec![Attribute::new("eps", eps).symbol("ε")]);
        let rows = x[..x.rank() - last.rank()].iter().product();
        affine(NAME, &normalized(NAME, self, rows, eps), [weight, bias], last, last)
    }
}

/// x with each of so many rows, of consecutive elements, brought to mean 0 and variance 1.
#[track_caller]
fn normalized<T: Float>(op: &str, x: &VarOf<T>, rows: usize, eps: f64) -> VarOf<T> {
    ranges::check(op, "eps", eps, ranges::NOT_NEGATIVE);
    let shape = x.shape();
    if shape.numel() == 0 {
        return x.clone();
    }
    let each = |value: T| VarOf::constant(TensorOf::full_on(x.device(), rows, value));
    let flat = x.reshape([1, rows, shape.numel() / rows]);
    flat.batch_norm(&each(T::ONE), &each(T::ZERO), eps).0.reshape(shape)
}

/// `γ·x̂ + β`. Both have the shape `own`, and are broadcast with the shape `beside`.
#[track_caller]
fn affine<T: Float>(
    op: &str,
    xhat: &VarOf<T>,
    parameters: [Option<&VarOf<T>>; 2],
    own: Shape,
    beside: Shape,
) -> VarOf<T> {
    for (name, parameter) in ["weight", "bias"].into_iter().zip(parameters) {
        if let Some(found) = parameter.map(VarOf::shape).filter(|&found| found != own) {
            panic!("{op}: {name} has shape {found}\n  input = {}\n  rule: {name} {own}", xhat.shape());
        }
    }
    let [weight, bias] = parameters.map(|parameter| parameter.map(|parameter| parameter.reshape(beside)));
    let scaled = weight.map_or_else(|| xhat.clone(), |weight| xhat * weight);
    bias.map_or_else(|| scaled.clone(), |bias| &scaled + bias)
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [[1.0, 3.0, -2.0, 2.0], [0.0, 4.0, 5.0, 5.0]]);
        let (w, b) = (Var64::constant([1.0, 2.0, 1.0, 1.0]), Var64::constant([0.0, 0.0, 0.0, 10.0]));
        let y = x.group_norm(2, Some(&w), Some(&b), 0.0);
        assert_eq!(y.value().to_vec()[..6], [-1.0, 2.0, -1.0, 11.0, -1.0, 2.0]);
        let rows = x.narrow(1, 0..2).layer_norm(2, None, None, 0.0);
        assert_eq!(rows.value().to_vec(), [-1.0, 1.0, -1.0, 1.0]);
        assert_eq!(x.layer_norm([2, 4], None, None, 1e-5).shape(), [2, 4]);
        assert_eq!(x.narrow(0, 0..0).layer_norm(4, None, None, 1e-5).shape(), [0, 4]);
    }

    #[test]
    #[should_panic(expected = "group_norm: channels cannot be divided among 3 groups\n  input (N,C,…) = (1, 4)")]
    fn groups_divide_the_channels() {
        let _ = Var64::constant([[1.0, 2.0, 3.0, 4.0]]).group_norm(3, None, None, 1e-5);
    }

    #[test]
    #[should_panic(
        expected = "layer_norm: the last axes have other lengths\n  input = (1, 2)\n  normalized shape = (3,)\n  rule: input (…, normalized shape)"
    )]
    fn the_last_axes_agree() {
        let _ = Var64::constant([[1.0, 2.0]]).layer_norm(3, None, None, 1e-5);
    }

    #[test]
    #[should_panic(expected = "layer_norm: bias has shape (1,)\n  input = (1, 2)\n  rule: bias (2,)")]
    fn parameters_are_not_broadcast() {
        let _ = Var64::constant([[1.0, 2.0]]).layer_norm(2, None, Some(&Var64::constant([1.0])), 1e-5);
    }
}
