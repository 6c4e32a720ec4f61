//! Linear interpolation.

use chainrule_tensor::{Compare, Float, TensorOf};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::{open, open_with};

impl<T: Float> VarOf<T> {
    /// `y = a + weight · (end − a)`, exactly `end` at weight 1: from there it is computed for weights from ½ on.
    /// `da = dy · (1 − weight)`, `d(end) = dy · weight`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    #[must_use]
    pub fn lerp(&self, end: &Self, weight: f64) -> Self {
        let _scope = open_with("lerp", || vec![Attribute::new("weight", weight)]);
        let way = end - self;
        if weight < 0.5 { self + weight * way } else { end - (1.0 - weight) * way }
    }

    /// [`lerp`](Self::lerp) with a weight for each element; all three are broadcast. `d(weight) = dy · (end − a)`.
    ///
    /// # Panics
    /// If the shapes do not broadcast.
    #[track_caller]
    #[must_use]
    pub fn lerp_with(&self, end: &Self, weight: &Self) -> Self {
        let _scope = open("lerp");
        let way = end - self;
        let near_start = weight.value().compare(Compare::Less, &TensorOf::scalar(T::from_f64(0.5)));
        (self + weight * &way).select(&near_start, &(end - (1.0 - weight) * &way))
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let (a, b) = (Var64::parameter("a", [1.0, 0.1]), Var64::parameter("b", [3.0, 0.7]));
        assert_eq!(
            (a.lerp(&b, 0.0).value().to_vec(), a.lerp(&b, 1.0).value().to_vec()),
            (vec![1.0, 0.1], vec![3.0, 0.7])
        );
        let g = a.lerp(&b, 0.25).sum().backward();
        assert_eq!((g[&a].to_vec(), g[&b].to_vec()), (vec![0.75; 2], vec![0.25; 2]));
        let w = Var64::parameter("w", [0.25, 1.0]);
        let y = a.lerp_with(&b, &w);
        assert_eq!(y.value().to_vec(), [1.5, 0.7]);
        assert_eq!(y.sum().backward()[&w].to_vec(), [2.0, 0.7 - 0.1]);
    }
}
