//! The Kullback–Leibler divergence, composed of other ops.

use chainrule_tensor::{Compare, Float, TensorOf};

use super::mse::{Reduction, same_shape};
use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::open_with;

impl<T: Float> VarOf<T> {
    /// The terms `t·(ln t − x)` of the divergence of probabilities t from log-probabilities x, reduced; `dx = −t · dy`, divided
    /// by n for the mean. With `log_target` the target is ln t. 0 where t is 0, and there the gradient of t is −x · dy.
    ///
    /// As in `torch.nn.functional.kl_div`, [`Reduction::Mean`] divides by the number of elements. The divergence of N
    /// distributions has the sum divided by N (`reduction="batchmean"`):
    ///
    /// ```
    /// use chainrule_autograd::{Reduction, Var64};
    /// let (x, t) = (Var64::constant([[0.0, 0.0], [1.0, 0.0]]), Var64::constant([[0.5, 0.5], [1.0, 0.0]]));
    /// let divergence = x.log_softmax(1).kl_div(&t, Reduction::Sum, false) / 2.0;
    /// assert!((divergence.item() - 0.5 * (1.0 + (-1f64).exp()).ln()).abs() < 1e-15);
    /// ```
    ///
    /// # Panics
    /// If the shapes differ.
    #[track_caller]
    #[must_use]
    pub fn kl_div(&self, target: &Self, reduction: Reduction, log_target: bool) -> Self {
        same_shape("kl_div", self, target);
        let _scope = open_with("kl_div", || vec![reduction.attribute(), Attribute::new("log_target", log_target)]);
        let terms = if log_target {
            target.exp() * (target - self)
        } else {
            // 0·ln 0 would be NaN, and so would its gradient be if only the product were replaced.
            let positive = target.value().compare(Compare::Greater, &TensorOf::scalar(T::ZERO));
            let log = target.select(&positive, &Self::constant(TensorOf::scalar(T::ONE))).log();
            target * log - target * self
        };
        reduction.of(terms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Var64;

    #[test]
    fn by_hand() {
        let (x, t) = (Var64::parameter("x", [-1.0, -2.0]), Var64::parameter("t", [0.0, 1.0]));
        let terms = x.kl_div(&t, Reduction::None, false);
        assert_eq!(terms.value().to_vec(), [0.0, 2.0]);
        let g = terms.sum().backward();
        assert_eq!((g[&x].to_vec(), g[&t].to_vec()), (vec![0.0, -1.0], vec![1.0, 3.0]));
        let log = x.kl_div(&Var64::constant([f64::MIN, 0.0]), Reduction::None, true);
        assert_eq!(log.value().to_vec(), [0.0, 2.0]);
    }
}
