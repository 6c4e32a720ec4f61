//! Batch normalization.

use chainrule_autograd::{BatchStatistics, VarOf, computed_once};
use chainrule_tensor::{Epilogue, Float, Shape, ShapeError, TensorOf, ranges};

use crate::module::{BatchNormalization, Item, LayerKind, Module, Visitor};
use crate::state::{BufferOf, Counter, Mode};
use crate::synchronization::Synchronization;

/// The implementation of both batch normalization layers.
struct BatchNorm<T: Float> {
    about: &'static About,
    weight: VarOf<T>,
    bias: VarOf<T>,
    running_mean: BufferOf<T>,
    running_var: BufferOf<T>,
    num_batches_tracked: Counter,
    momentum: f64,
    eps: f64,
    mode: Mode,
    synchronization: Synchronization<T>,
}

/// What distinguishes the two: name, ranks of the input, and the input's axes as text.
struct About {
    name: &'static str,
    ranks: &'static [usize],
    form: &'static str,
}

impl<T: Float> BatchNorm<T> {
    fn new(about: &'static About, channels: usize) -> Self {
        Self {
            about,
            weight: VarOf::parameter("weight", TensorOf::ones(channels)),
            bias: VarOf::parameter("bias", TensorOf::zeros(channels)),
            running_mean: BufferOf::new(TensorOf::zeros(channels)),
            running_var: BufferOf::new(TensorOf::ones(channels)),
            num_batches_tracked: Counter::default(),
            momentum: 0.1,
            eps: 1e-5,
            mode: Mode::default(),
            synchronization: Synchronization::default(),
        }
    }

    /// `running = (1 − momentum) · running + momentum · new`.
    fn track(&self, batch: &BatchStatistics<T>) {
        // The running variance is unbiased, as in PyTorch.
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
        visitor.item("synchronization", Item::Synchronization(&self.synchronization));
    }

    /// Checks the rank of x, its number of channels and, in training, the number of elements of each, unless other processes
    /// have more.
    fn check(&self, x: Shape) -> Result<Shape, ShapeError> {
        let About { name, ranks, form } = self.about;
        let channels = self.weight.shape()[0];
        if !ranks.contains(&x.rank()) || x[1] != channels {
            return Err(ShapeError::new(format!(
                "{name}: the shape of the input does not match\n  input = {x}\n  rule: input {form} with C == {channels}"
            )));
        }
        if self.mode.is_training() && x.numel() <= channels && self.synchronization.get().is_none() {
            return Err(self.too_few(x));
        }
        Ok(x)
    }

    /// With a single element per channel the variance is 0 and the output β for any input, so nothing could be learned.
    fn too_few(&self, x: Shape) -> ShapeError {
        ShapeError::new(format!(
            "{}: training needs more than one element of each channel\n  input = {x}\n  rule: a larger batch, or eval() first",
            self.about.name
        ))
    }
}

impl<T: Float> BatchNormalization<T> for BatchNorm<T> {
    fn uses_channel_stats(&self) -> bool {
        self.mode.is_training() && self.synchronization.get().is_none()
    }

    /// The forward pass with an epilogue. Training uses the statistics of the batch, and updates the running ones.
    fn forward_with(&self, x: &VarOf<T>, epilogue: Epilogue<'_, VarOf<T>>) -> VarOf<T> {
        if let Err(error) = self.check(x.shape()) {
            panic!("{error}");
        }
        let Self { weight, bias, eps, .. } = self;
        if !self.mode.is_training() {
            let (mean, variance) = computed_once(|| (self.running_mean.get(), self.running_var.get()));
            return x.batch_norm_inference_with([weight, bias], [&mean, &variance], *eps, epilogue);
        }
        let (y, batch) = match self.synchronization.get() {
            None => x.batch_norm_with(weight, bias, *eps, epilogue),
            Some(group) => x.batch_norm_synchronized(weight, bias, *eps, epilogue, &group),
        };
        assert!(batch.count > 1, "{}", self.too_few(x.shape()));
        computed_once(|| self.track(&batch));
        y
    }
}

macro_rules! batch_norm {
    ($(#[$doc:meta])* $name:ident, $ranks:expr, $form:literal) => {
        $(#[$doc])*
        pub struct $name<T: Float = f32>(BatchNorm<T>);

        impl<T: Float> $name<T> {
            /// A layer for this many channels, γ = 1, β = 0, momentum 0.1, ε = 1e-5.
            pub fn new(channels: usize) -> Self {
                const ABOUT: About = About { name: stringify!($name), ranks: $ranks, form: $form };
                Self(BatchNorm::new(&ABOUT, channels))
            }

            /// The weight of the new batch in the running statistics.
            ///
            /// # Panics
            /// If it is not in [0, 1].
            #[track_caller]
            #[must_use]
            pub fn momentum(self, momentum: f64) -> Self {
                ranges::check(self.0.about.name, "momentum", momentum, ranges::SHARE);
                Self(BatchNorm { momentum, ..self.0 })
            }

            /// ε, which is added to the variance.
            ///
            /// # Panics
            /// If it is not positive: a channel of equal values would be divided by 0.
            #[track_caller]
            #[must_use]
            pub fn eps(self, eps: f64) -> Self {
                ranges::check(self.0.about.name, "eps", eps, ranges::POSITIVE);
                Self(BatchNorm { eps, ..self.0 })
            }

            /// Fixes γ = 1 and β = 0 (`affine=False` in `PyTorch`).
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

            /// The running mean, which inference uses: (C).
            pub fn running_mean(&self) -> TensorOf<T> {
                self.0.running_mean.get()
            }

            /// The running unbiased variance, which inference uses: (C).
            pub fn running_var(&self) -> TensorOf<T> {
                self.0.running_var.get()
            }

        }

        impl<T: Float> Module<T> for $name<T> {
            #[track_caller]
            fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
                self.0.forward_with(x, Epilogue::NONE)
            }

            fn visit(&self, visitor: &mut Visitor<'_, T>) {
                self.0.visit(visitor);
            }

            fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
                self.0.check(x)
            }

            fn kind(&self) -> LayerKind<'_, T> {
                LayerKind::BatchNorm(&self.0)
            }
        }
    };
}

batch_norm!(
    /// Normalizes each channel of x (N,C) or (N,C,L) by mean and variance of the batch, at inference by running statistics.
    /// [`synchronize_batch_norm`](crate::synchronize_batch_norm) is for training on several processes.
    BatchNorm1d,
    &[2, 3],
    "(N,C) or (N,C,L)"
);

batch_norm!(
    /// Normalizes each channel of x (N,C,H,W) by mean and variance of the batch, at inference by running statistics.
    /// [`synchronize_batch_norm`](crate::synchronize_batch_norm) is for training on several processes.
    BatchNorm2d,
    &[4],
    "(N,C,H,W)"
);
