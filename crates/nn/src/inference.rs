//! Inference mode for a while.

use chainrule_tensor::Float;

use crate::module::{Item, Module, Visitor};

/// Inference mode of a net for a while; dropped, it restores the modes that the layers had.
pub struct Inference<'a, T: Float> {
    net: &'a dyn Module<T>,
    training: Vec<bool>,
}

impl<'a, T: Float> Inference<'a, T> {
    /// Sets inference mode.
    #[must_use = "dropping it restores the modes"]
    pub fn enter(net: &'a dyn Module<T>) -> Self {
        let mut training = Vec::new();
        net.visit(&mut Visitor::new(&mut |_, item| {
            if let Item::Mode(mode) = item {
                training.push(mode.is_training());
            }
        }));
        net.eval();
        Self { net, training }
    }
}

impl<T: Float> Drop for Inference<'_, T> {
    fn drop(&mut self) {
        let mut training = self.training.iter();
        self.net.visit(&mut Visitor::new(&mut |_, item| {
            if let Item::Mode(mode) = item {
                mode.set(*training.next().expect("a mode for each layer that has one"));
            }
        }));
    }
}
