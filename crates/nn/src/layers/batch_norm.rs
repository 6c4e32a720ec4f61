//! Batch normalisation.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Binary, Float, Shape, ShapeError, TensorOf, Unary};

use crate::module::{BufferOf, Counter, Item, Mode, Module, Visitor};

/// What both batch normalisations are.
struct BatchNorm<T: Float> {
    weight: VarOf<T>,
    bias: VarOf<T>,
    running_mean: BufferOf<T>,
    running_var: BufferOf<T>,
    num_batches_tracked: Counter,
    momentum: f64,
    eps: f64,
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
    fn forward(&self, name: &str, x: &VarOf<T>) -> VarOf<T> {
        if !self.mode.is_training() {
            let (mean, variance) = (self.running_mean.get(), self.running_var.get());
            return x.batch_norm_inference(&self.weight, &self.bias, &mean, &variance, self.eps);
        }
        let shape = x.shape();
        // The variance of a single element is 0, and its output β whatever the input: nothing could be learned.
        assert!(
            shape.numel() != shape[1],
            "{name}: training needs more than one element of each channel\n  input = {shape}\n  rule: a larger batch, or eval() first"
        );
        let (y, batch) = x.batch_norm(&self.weight, &self.bias, self.eps);
        // The running variance is the unbiased one, as PyTorch's is.
        let unbiased = batch.variance.unary(Unary::Mul(batch.count as f64 / (batch.count as f64 - 1.0)));
        self.track(&self.running_mean, &batch.mean);
        self.track(&self.running_var, &unbiased);
        self.num_batches_tracked.next();
        y
    }

    /// `running = (1 − momentum) · running + momentum · new`.
    fn track(&self, running: &BufferOf<T>, new: &TensorOf<T>) {
        let kept = running.get().unary(Unary::Mul(1.0 - self.momentum));
        running.set(kept.binary(Binary::Add, &new.unary(Unary::Mul(self.momentum))));
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
        pub struct $name<T: Float = f32>(BatchNorm<T>);

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
        }

        impl<T: Float> Module<T> for $name<T> {
            fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
                if let Err(error) = self.output_shape(x.shape()) {
                    panic!("{error}");
                }
                self.0.forward(stringify!($name), x)
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
    /// Normalises each channel of x (N,C) or (N,C,L) by the batch's mean and variance, or at inference by running ones.
    BatchNorm1d,
    &[2, 3],
    "(N,C) or (N,C,L)"
);

batch_norm!(
    /// Normalises each channel of x (N,C,H,W) by the batch's mean and variance, or at inference by running ones.
    BatchNorm2d,
    &[4],
    "(N,C,H,W)"
);
