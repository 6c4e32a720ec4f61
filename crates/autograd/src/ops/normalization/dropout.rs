//! Dropout (Srivastava and others: "Dropout: a simple way to prevent neural networks from overfitting", 2014).

use chainrule_tensor::{Binary, Float, Key, Shape, TensorOf};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::ops::linear_map::{LinearMap, Text, linear};

impl<T: Float> VarOf<T> {
    /// `y = x·m`, where each m is 0 with probability p, else 1/(1 − p), which preserves the mean; `dx = dy·m`.
    ///
    /// The mask is a function of the key: use a different key for each step.
    ///
    /// # Panics
    /// If `p` is not in [0, 1).
    #[track_caller]
    #[must_use]
    pub fn dropout(&self, p: f64, key: Key) -> Self {
        dropped(self, self.shape(), p, key)
    }

    /// [`dropout`](Self::dropout) of whole channels of x (N,C,…): one m for all elements of a channel of a sample (Tompson and
    /// others: "Efficient object localization using convolutional networks", 2015; `torch.nn.functional.dropout2d`).
    ///
    /// # Panics
    /// If x has fewer than two axes or `p` is not in [0, 1).
    #[track_caller]
    #[must_use]
    pub fn dropout2d(&self, p: f64, key: Key) -> Self {
        let x = self.shape();
        assert!(x.rank() >= 2, "dropout2d: the input has shape {x}\n  rule: input (N,C,…)");
        dropped(self, (2..x.rank()).fold(x, |shape, axis| shape.with(axis, 1)), p, key)
    }
}

/// x times a mask of this shape, which is broadcast.
#[track_caller]
fn dropped<T: Float>(x: &VarOf<T>, mask: Shape, p: f64, key: Key) -> VarOf<T> {
    let map = Dropout { mask: TensorOf::dropout_mask(x.device(), key, p, mask), p, key };
    linear(x, map.apply(&x.value(), x.shape()), map)
}

#[derive(Clone)]
struct Dropout<T: Float> {
    mask: TensorOf<T>,
    p: f64,
    key: Key,
}

impl<T: Float> LinearMap<T> for Dropout<T> {
    const TEXTS: [Text; 2] = texts! {
        "dropout":
            "y = x · m, m = 0 where u < p, else 1/(1 − p)"
            => "dx = dy · m, m = 0 where u < p, else 1/(1 − p)",
            saves "m";
        "dropout backward":
            "dx = dy · m, m = 0 where u < p, else 1/(1 − p)"
            => "d(dy) = dz · m, m = 0 where u < p, else 1/(1 − p)",
            saves "m";
    };
    fn attributes(&self) -> Vec<Attribute> {
        let key = format!("{:?}", self.key);
        vec![Attribute::new("p", self.p), Attribute::new("key", key).symbol("u")]
    }
    fn apply(&self, x: &TensorOf<T>, _y: Shape) -> TensorOf<T> {
        x.binary(Binary::Mul, &self.mask)
    }
    fn adjoint(&self, dy: &TensorOf<T>, x: Shape) -> TensorOf<T> {
        self.apply(dy, x)
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;
    use chainrule_tensor::{Key, Purpose, TensorOf};

    #[test]
    fn the_gradient_has_the_mask_of_the_output() {
        let key = Key::new(1, Purpose::USER);
        let x = Var64::parameter("x", TensorOf::ones(1000));
        let y = x.dropout(0.25, key);
        let kept = y.value().to_vec();
        assert_eq!(y.sum().backward()[&x].to_vec(), kept);
        let zeros = kept.iter().filter(|&&m| m == 0.0).count();
        assert!((180..320).contains(&zeros), "{zeros} of 1000 dropped with p = 1/4");
        assert!(kept.iter().all(|&m| m == 0.0 || (m - 4.0 / 3.0).abs() < 1e-15));
        assert_ne!(x.dropout(0.25, key.at_step(1)).value().to_vec(), kept);
    }
}
