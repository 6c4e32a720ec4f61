//! Dropout.

use chainrule_autograd::{VarOf, computed_once};
use chainrule_tensor::{Float, Key, Rng, Shape, ShapeError, ranges};

use crate::module::{Item, Module, Visitor};
use crate::state::{Counter, Mode};

macro_rules! dropout {
    ($(#[$doc:meta])* $name:ident, $method:ident, $ranks:expr, $form:literal) => {
        $(#[$doc])*
        ///
        /// The mask is a function of the layer's key and of a counter, which is saved with the weights: a resumed run uses the same
        /// masks as an uninterrupted one.
        #[derive(Debug)]
        pub struct $name {
            p: f64,
            key: Key,
            draws: Counter,
            mode: Mode,
        }

        impl $name {
            /// A layer with dropout probability p and its own random stream.
            ///
            /// # Panics
            /// If p is not in [0, 1).
            #[track_caller]
            pub fn new(p: f64, rng: &mut Rng) -> Self {
                ranges::check(stringify!($method), "p", p, ranges::BELOW_ONE);
                Self { p, key: rng.layer_key(), draws: Counter::default(), mode: Mode::default() }
            }
        }

        impl<T: Float> Module<T> for $name {
            #[track_caller]
            fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
                if let Err(error) = Module::<T>::output_shape(self, x.shape()) {
                    panic!("{error}");
                }
                if self.p == 0.0 || !self.mode.is_training() {
                    return x.clone();
                }
                // A key has 2³² steps; after that the masks repeat.
                let step = computed_once(|| self.draws.next());
                x.$method(self.p, self.key.at_step(step as u32))
            }

            fn visit(&self, visitor: &mut Visitor<'_, T>) {
                visitor.item("draws", Item::Counter(&self.draws));
                visitor.item("training", Item::Mode(&self.mode));
            }

            fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
                if $ranks.contains(&x.rank()) {
                    return Ok(x);
                }
                let (name, form) = (stringify!($method), $form);
                Err(ShapeError::new(format!("{name}: the input has shape {x}\n  rule: input {form}")))
            }
        }
    };
}

dropout!(
    /// In training, sets each element to 0 with probability p and multiplies the others by 1/(1 − p).
    Dropout,
    dropout,
    (0..),
    "(…)"
);

dropout!(
    /// In training, sets whole channels of x (N,C,…) to 0 with probability p, each of each sample, and multiplies the others by
    /// 1/(1 − p).
    Dropout2d,
    dropout2d,
    (2..),
    "(N,C,…)"
);
