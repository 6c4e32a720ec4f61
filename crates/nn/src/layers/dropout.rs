//! Dropout.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Key, Rng, ranges};

use crate::module::{Item, Module, Visitor};
use crate::state::{Counter, Mode};

/// In training, sets each element to 0 with probability p and multiplies the others by 1/(1 − p).
///
/// The mask is a function of the layer's key and of a counter, which is saved with the weights: a resumed run uses the same
/// masks as an uninterrupted one.
#[derive(Debug)]
pub struct Dropout {
    p: f64,
    key: Key,
    draws: Counter,
    mode: Mode,
}

impl Dropout {
    /// A layer with dropout probability p and its own random stream.
    ///
    /// # Panics
    /// If p is not in [0, 1).
    #[track_caller]
    pub fn new(p: f64, rng: &mut Rng) -> Self {
        ranges::check("dropout", "p", p, ranges::BELOW_ONE);
        Self { p, key: rng.layer_key(), draws: Counter::default(), mode: Mode::default() }
    }
}

impl<T: Float> Module<T> for Dropout {
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        if self.p == 0.0 || !self.mode.is_training() {
            return x.clone();
        }
        // A key has 2³² steps; after that the masks repeat.
        x.dropout(self.p, self.key.at_step(self.draws.next() as u32))
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        visitor.item("draws", Item::Counter(&self.draws));
        visitor.item("training", Item::Mode(&self.mode));
    }
}
