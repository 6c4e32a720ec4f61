//! The parametric rectified linear unit, composed of other ops.

use chainrule_tensor::{Compare, Float, TensorOf};

use crate::graph::VarOf;
use crate::ops::reduction::channel_sum::channels;
use crate::scope::open;

impl<T: Float> VarOf<T> {
    /// x where x > 0, else `w·x`, with a slope for all elements, (1), or one for each channel of x (N,C,…), (C) (He and others:
    /// "Delving deep into rectifiers", 2015; `torch.nn.functional.prelu`). `dx = dy` where x > 0, else `w·dy`, also at 0;
    /// `dw = Σ dy·x` over all x ≤ 0.
    ///
    /// # Panics
    /// If there is neither one slope nor one for each channel.
    #[track_caller]
    #[must_use]
    pub fn prelu(&self, weight: &Self) -> Self {
        let (x, w) = (self.shape(), weight.shape());
        assert!(
            w == [1] || (x.rank() >= 2 && w == [x[1]]),
            "prelu: the weight has shape {w}\n  input (N,C,…) = {x}\n  rule: weight (1) or (C)"
        );
        let _scope = open("prelu");
        // One slope as a scalar, so that a scalar x stays one.
        let weight = if w == [1] { weight.reshape(()) } else { weight.reshape(channels(x)) };
        let zero = TensorOf::scalar(T::ZERO);
        let positive = self.value().compare(Compare::Greater, &zero);
        // Without the positive numbers: the gradient of w would have 0·∞.
        let others = Self::constant(zero).select(&positive, self);
        self.select(&positive, &(weight * others))
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    /// PyTorch has these gradients, also at 0.
    #[test]
    fn by_hand() {
        let (x, w) = (Var64::parameter("x", [0.0, -1.0, 2.0, f64::INFINITY]), Var64::parameter("w", [0.25]));
        let y = x.prelu(&w);
        assert_eq!(y.value().to_vec(), [0.0, -0.25, 2.0, f64::INFINITY]);
        let g = y.sum().backward();
        assert_eq!((g[&x].to_vec(), g[&w].to_vec()), (vec![0.25, 0.25, 1.0, 1.0], vec![-1.0]));
    }

    #[test]
    #[should_panic(expected = "prelu: the weight has shape (3,)\n  input (N,C,…) = (1, 2)\n  rule: weight (1) or (C)")]
    fn there_is_a_slope_for_each_channel() {
        let _ = Var64::constant([[1.0, 2.0]]).prelu(&Var64::constant([0.1; 3]));
    }
}
