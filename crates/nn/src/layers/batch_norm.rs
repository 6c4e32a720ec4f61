//! Batch normalization.

use chainrule_autograd::{BatchStatistics, VarOf};
use chainrule_tensor::{Float, Shape, ShapeError, TensorOf};

use crate::module::{BufferOf, Counter, Item, Mode, Module, Visitor};

/// What a layer does to the normalized batch in the same pass.
pub(super) enum Then<'a, T: Float> {
    Nothing,
    /// Relu, of the sum with a residual if there is one.
    Relu(Option<&'a VarOf<T>>),
}

/// What both batch normalizations are.
pub(super) struct BatchNorm<T: Float> {
    pub(super) weight: VarOf<T>,
    pub(super) bias: VarOf<T>,
    running_mean: BufferOf<T>,
    running_var: BufferOf<T>,
    num_batches_tracked: Counter,
    momentum: f64,
    pub(super) eps: f64,
    mode: Mode,
}

impl<T: Float> BatchNorm<T> {
    fn new(channels: usize) -> Self {
        Self {
            weight: VarOf::parameter("weight", TensorOf::ones(channels)),
            bias: VarOf::parameter("bias", TensorOf::zeros(channels)),
            running_mean: BufferOf::new(TensorOf::zeros(channels)),
            running_var: BufferOf::new(TensorOf::ones(channels)),
            num_batches_tracked: Counter::default(),
            momentum: 0.1,
            eps: 1e-5,
            mode: Mode::default(),
        }
    }

    #[track_caller]
    fn forward(&self, name: &str, x: &VarOf<T>, then: &Then<'_, T>) -> VarOf<T> {
        let Self { weight, bias, eps, .. } = self;
        if !self.is_training() {
            return self.infer(x, then);
        }
        self.train(name, x.shape(), || match then {
            Then::Nothing => x.batch_norm(weight, bias, *eps),
            Then::Relu(residual) => x.batch_norm_relu(weight, bias, *eps, *residual),
        })
    }

    pub(super) fn is_training(&self) -> bool {
        self.mode.is_training()
    }

    /// With the running statistics.
    #[track_caller]
    pub(super) fn infer(&self, x: &VarOf<T>, then: &Then<'_, T>) -> VarOf<T> {
        let Self { weight, bias, eps, .. } = self;
        let (mean, variance) = (self.running_mean.get(), self.running_var.get());
        match then {
            Then::Nothing => x.batch_norm_inference(weight, bias, &mean, &variance, *eps),
            Then::Relu(residual) => x.batch_norm_relu_inference(weight, bias, &mean, &variance, *eps, *residual),
        }
    }

    /// What `normalize` makes of an input of this shape by the batch's statistics, which the running ones follow.
    #[track_caller]
    pub(super) fn train(
        &self,
        name: &str,
        shape: Shape,
        normalize: impl FnOnce() -> (VarOf<T>, BatchStatistics<T>),
    ) -> VarOf<T> {
        // The variance of a single element is 0, and its output β whatever the input: nothing could be learned.
        assert!(
            shape.numel() != shape[1],
            "{name}: training needs more than one element of each channel\n  input = {shape}\n  rule: a larger batch, or eval() first"
        );
        let (y, batch) = normalize();
        self.track(&batch);
        y
    }

    /// `running = (1 − momentum) · running + momentum · new`.
    fn track(&self, batch: &BatchStatistics<T>) {
        // The running variance is the unbiased one, as PyTorch's is.
        let unbiased = batch.count as f64 / (batch.count as f64 - 1.0);
        self.running_mean.update(|mean| {
            self.running_var.update(|variance| {
                mean.batch_norm_track(variance, &batch.mean, &batch.variance, self.momentum, unbiased);
            });
        });
        self.num_batches_tracked.next();
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        if self.weight.is_parameter() {
            visitor.item("weight", Item::Parameter(&self.weight));
            visitor.item("bias", Item::Parameter(&self.bias));
        }
        visitor.item("running_mean", Item::Buffer(&self.running_mean));
        visitor.item("running_var", Item::Buffer(&self.running_var));
        visitor.item("num_batches_tracked", Item::Counter(&self.num_batches_tracked));
        visitor.item("training", Item::Mode(&self.mode));
    }

    /// Fails unless x has one of these ranks and the right number of channels.
    fn check(&self, name: &str, x: Shape, ranks: &[usize], form: &str) -> Result<Shape, ShapeError> {
        let channels = self.weight.shape()[0];
        if ranks.contains(&x.rank()) && x[1] == channels {
            return Ok(x);
        }
        Err(ShapeError::new(format!(
            "{name}: the input does not fit\n  input = {x}\n  rule: input {form} with C == {channels}"
        )))
    }
}

macro_rules! batch_norm {
    ($(#[$doc:meta])* $name:ident, $ranks:expr, $form:literal) => {
        $(#[$doc])*
        pub struct $name<T: Float = f32>(pub(super) BatchNorm<T>);

        impl<T: Float> $name<T> {
            /// A layer for this many channels, γ = 1, β = 0, momentum 0.1, ε = 1e-5.
            pub fn new(channels: usize) -> Self {
                Self(BatchNorm::new(channels))
            }

            /// The share of each batch's statistics in the running ones.
            #[must_use]
            pub fn momentum(self, momentum: f64) -> Self {
                Self(BatchNorm { momentum, ..self.0 })
            }

            /// Added to the variance.
            #[must_use]
            pub fn eps(self, eps: f64) -> Self {
                Self(BatchNorm { eps, ..self.0 })
            }

            /// With γ = 1 and β = 0 for good: nothing is learned (`PyTorch`'s `affine=False`).
            #[must_use]
            pub fn without_affine(self) -> Self {
                let (weight, bias) = (self.0.weight.detach(), self.0.bias.detach());
                Self(BatchNorm { weight, bias, ..self.0 })
            }

            /// γ: (C).
            pub fn weight(&self) -> &VarOf<T> {
                &self.0.weight
            }

            /// β: (C).
            pub fn bias(&self) -> &VarOf<T> {
                &self.0.bias
            }

            /// The running mean that inference uses: (C).
            pub fn running_mean(&self) -> TensorOf<T> {
                self.0.running_mean.get()
            }

            /// The running unbiased variance that inference uses: (C).
            pub fn running_var(&self) -> TensorOf<T> {
                self.0.running_var.get()
            }

            /// `relu(forward(x))` in one op, which reads and writes everything once less.
            #[track_caller]
            pub fn forward_relu(&self, x: &VarOf<T>) -> VarOf<T> {
                self.checked(x, &Then::Relu(None))
            }

            /// `relu(forward(x) + residual)` in one op, as at the end of a block of a residual network: the residual has
            /// the shape of x.
            #[track_caller]
            pub fn forward_add_relu(&self, x: &VarOf<T>, residual: &VarOf<T>) -> VarOf<T> {
                self.checked(x, &Then::Relu(Some(residual)))
            }

            #[track_caller]
            fn checked(&self, x: &VarOf<T>, then: &Then<'_, T>) -> VarOf<T> {
                if let Err(error) = self.output_shape(x.shape()) {
                    panic!("{error}");
                }
                self.0.forward(stringify!($name), x, then)
            }
        }

        impl<T: Float> Module<T> for $name<T> {
            fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
                self.checked(x, &Then::Nothing)
            }

            fn visit(&self, visitor: &mut Visitor<'_, T>) {
                self.0.visit(visitor);
            }

            fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
                self.0.check(stringify!($name), x, $ranks, $form)
            }
        }
    };
}

batch_norm!(
    /// Normalizes each channel of x (N,C) or (N,C,L) by the batch's mean and variance, or at inference by running ones.
    BatchNorm1d,
    &[2, 3],
    "(N,C) or (N,C,L)"
);

batch_norm!(
    /// Normalizes each channel of x (N,C,H,W) by the batch's mean and variance, or at inference by running ones.
    BatchNorm2d,
    &[4],
    "(N,C,H,W)"
);
