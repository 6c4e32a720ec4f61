//! Normalization of each sample by itself: the same in training and at inference.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Shape, ShapeError, TensorOf, ranges};

use crate::module::{Item, Module, Visitor};

/// γ = 1 and β = 0 of this shape.
fn affine<T: Float>(shape: Shape) -> [Option<VarOf<T>>; 2] {
    let parameter = |name: &str, value| Some(VarOf::parameter(name, TensorOf::full(shape, value)));
    [parameter("weight", T::ONE), parameter("bias", T::ZERO)]
}

fn show<T: Float>(weight: Option<&VarOf<T>>, bias: Option<&VarOf<T>>, visitor: &mut Visitor<'_, T>) {
    for (name, parameter) in [("weight", weight), ("bias", bias)] {
        if let Some(parameter) = parameter {
            visitor.item(name, Item::Parameter(parameter));
        }
    }
}

/// Normalizes over the last axes, whose lengths are the normalized shape: x (…, normalized shape) → y of the same shape
/// ([`layer_norm`](VarOf::layer_norm)).
pub struct LayerNorm<T: Float = f32> {
    /// γ, of the normalized shape.
    pub weight: Option<VarOf<T>>,
    /// β, of the normalized shape.
    pub bias: Option<VarOf<T>>,
    normalized_shape: Shape,
    eps: f64,
}

impl<T: Float> LayerNorm<T> {
    /// A layer with γ = 1, β = 0, ε = 1e-5.
    ///
    /// # Panics
    /// If the normalized shape has no axes.
    #[track_caller]
    pub fn new(normalized_shape: impl Into<Shape>) -> Self {
        let normalized_shape = normalized_shape.into();
        assert!(normalized_shape.rank() > 0, "LayerNorm: the normalized shape has no axes\n  rule: at least one");
        let [weight, bias] = affine(normalized_shape);
        Self { weight, bias, normalized_shape, eps: 1e-5 }
    }

    /// Sets ε, which is added to the variance.
    ///
    /// # Panics
    /// If it is not positive.
    #[track_caller]
    #[must_use]
    pub fn eps(self, eps: f64) -> Self {
        ranges::check("LayerNorm", "eps", eps, ranges::POSITIVE);
        Self { eps, ..self }
    }

    /// Removes β (`bias=False` in `PyTorch`).
    #[must_use]
    pub fn without_bias(self) -> Self {
        Self { bias: None, ..self }
    }

    /// Removes γ and β (`elementwise_affine=False` in `PyTorch`).
    #[must_use]
    pub fn without_affine(self) -> Self {
        Self { weight: None, bias: None, ..self }
    }
}

impl<T: Float> Module<T> for LayerNorm<T> {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        if let Err(error) = self.output_shape(x.shape()) {
            panic!("{error}");
        }
        x.layer_norm(self.normalized_shape, self.weight.as_ref(), self.bias.as_ref(), self.eps)
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        show(self.weight.as_ref(), self.bias.as_ref(), visitor);
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        if x.ends_with(&self.normalized_shape) {
            return Ok(x);
        }
        let last = self.normalized_shape;
        Err(ShapeError::new(format!(
            "LayerNorm: the last axes have other lengths\n  input = {x}\n  normalized shape = {last}\n  rule: input (…, normalized shape)"
        )))
    }
}

/// Normalizes each group of channels of each sample: x (N,C,…) → y of the same shape ([`group_norm`](VarOf::group_norm)).
pub struct GroupNorm<T: Float = f32> {
    /// γ: (C).
    pub weight: Option<VarOf<T>>,
    /// β: (C).
    pub bias: Option<VarOf<T>>,
    about: &'static About,
    groups: usize,
    channels: usize,
    eps: f64,
}

/// What distinguishes the layers that normalize groups: name, ranks of the input, and the input's axes as text.
struct About {
    name: &'static str,
    ranks: std::ops::RangeInclusive<usize>,
    form: &'static str,
}

impl<T: Float> GroupNorm<T> {
    /// A layer with γ = 1, β = 0, ε = 1e-5.
    ///
    /// # Panics
    /// If the channels cannot be divided among the groups.
    #[track_caller]
    pub fn new(groups: usize, channels: usize) -> Self {
        const ABOUT: About = About { name: "GroupNorm", ranks: 2..=usize::MAX, form: "(N,C,…)" };
        assert!(
            groups > 0 && channels.is_multiple_of(groups),
            "GroupNorm: {channels} channels cannot be divided among {groups} groups\n  rule: the channels are a multiple of the groups"
        );
        let [weight, bias] = affine(channels.into());
        Self { weight, bias, about: &ABOUT, groups, channels, eps: 1e-5 }
    }

    /// Sets ε, which is added to the variance.
    ///
    /// # Panics
    /// If it is not positive.
    #[track_caller]
    #[must_use]
    pub fn eps(self, eps: f64) -> Self {
        ranges::check(self.about.name, "eps", eps, ranges::POSITIVE);
        Self { eps, ..self }
    }

    /// Removes γ and β (`affine=False` in `PyTorch`).
    #[must_use]
    pub fn without_affine(self) -> Self {
        Self { weight: None, bias: None, ..self }
    }
}

impl<T: Float> Module<T> for GroupNorm<T> {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        if let Err(error) = self.output_shape(x.shape()) {
            panic!("{error}");
        }
        x.group_norm(self.groups, self.weight.as_ref(), self.bias.as_ref(), self.eps)
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        show(self.weight.as_ref(), self.bias.as_ref(), visitor);
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let About { name, ranks, form } = self.about;
        if ranks.contains(&x.rank()) && x[1] == self.channels {
            return Ok(x);
        }
        Err(ShapeError::new(format!(
            "{name}: the shape of the input does not match\n  input = {x}\n  rule: input {form} with C == {}",
            self.channels
        )))
    }
}

macro_rules! instance_norm {
    ($(#[$doc:meta])* $name:ident, $rank:literal, $form:literal) => {
        $(#[$doc])*
        pub struct $name<T: Float = f32>(GroupNorm<T>);

        impl<T: Float> $name<T> {
            /// A layer for this many channels, with ε = 1e-5 and, as in `PyTorch`, without parameters.
            ///
            /// # Panics
            /// If there are no channels.
            #[track_caller]
            pub fn new(channels: usize) -> Self {
                assert!(channels > 0, "{}: 0 channels\n  rule: at least one", stringify!($name));
                const ABOUT: About = About { name: stringify!($name), ranks: $rank..=$rank, form: $form };
                let (groups, eps) = (channels, 1e-5);
                Self(GroupNorm { weight: None, bias: None, about: &ABOUT, groups, channels, eps })
            }

            /// Sets ε, which is added to the variance.
            ///
            /// # Panics
            /// If it is not positive.
            #[track_caller]
            #[must_use]
            pub fn eps(self, eps: f64) -> Self {
                Self(self.0.eps(eps))
            }

            /// Adds γ = 1 and β = 0, which are learned (`affine=True` in `PyTorch`).
            #[must_use]
            pub fn affine(self) -> Self {
                let [weight, bias] = affine(self.0.channels.into());
                Self(GroupNorm { weight, bias, ..self.0 })
            }

            /// γ: (C).
            pub fn weight(&self) -> Option<&VarOf<T>> {
                self.0.weight.as_ref()
            }

            /// β: (C).
            pub fn bias(&self) -> Option<&VarOf<T>> {
                self.0.bias.as_ref()
            }
        }

        impl<T: Float> Module<T> for $name<T> {
            #[track_caller]
            fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
                self.0.forward(x)
            }

            fn visit(&self, visitor: &mut Visitor<'_, T>) {
                self.0.visit(visitor);
            }

            fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
                self.0.output_shape(x)
            }
        }
    };
}

instance_norm!(
    /// Normalizes each channel of each sample of x (N,C,L) by its own mean and variance (Ulyanov, Vedaldi, Lempitsky: "Instance
    /// normalization", 2016), in training and at inference: `track_running_stats=False` of `PyTorch`.
    InstanceNorm1d,
    3,
    "(N,C,L)"
);

instance_norm!(
    /// Normalizes each channel of each image of x (N,C,H,W) by its own mean and variance (Ulyanov, Vedaldi, Lempitsky: "Instance
    /// normalization", 2016), in training and at inference: `track_running_stats=False` of `PyTorch`.
    InstanceNorm2d,
    4,
    "(N,C,H,W)"
);
