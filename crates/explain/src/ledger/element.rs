//! One element of a parameter, which can be moved.

use chainrule_autograd::Var64;

use crate::number::unravel;

pub(super) struct Element<'a> {
    pub parameter: &'a Var64,
    /// The place in row-major order.
    pub place: usize,
    value: f64,
}

impl<'a> Element<'a> {
    pub fn new(parameter: &'a Var64, place: usize) -> Self {
        let mut element = Self { parameter, place, value: 0.0 };
        element.value = parameter.value().at(&element.index());
        element
    }

    /// The index of the element.
    pub fn index(&self) -> Vec<usize> {
        unravel(self.place, &self.parameter.shape())
    }

    /// A power of two, so that adding and subtracting steps hardly rounds: at least 1 and at least the value.
    pub fn scale(&self) -> f64 {
        2f64.powi(self.value.abs().max(1.0).log2().ceil() as i32)
    }

    /// Runs `body` with the element moved by t, and moves it back, also after a panic.
    pub fn moved<R>(&self, t: f64, body: impl FnOnce() -> R) -> R {
        struct Back<'a, 'b>(&'b Element<'a>);
        impl Drop for Back<'_, '_> {
            fn drop(&mut self) {
                self.0.set(self.0.value);
            }
        }
        let _back = Back(self);
        self.set(self.value + t);
        body()
    }

    fn set(&self, value: f64) {
        self.parameter.update(|tensor| tensor.make_mut()[self.place] = value);
    }
}
