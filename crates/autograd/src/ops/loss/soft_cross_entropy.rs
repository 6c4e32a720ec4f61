//! Cross-entropy of logits and class probabilities, composed of other ops.

use chainrule_tensor::{Float, ranges};

use super::cross_entropy::CrossEntropy;
use super::mse::same_shape;
use crate::graph::VarOf;
use crate::scope::open_with;

impl<T: Float> VarOf<T> {
    /// The mean over samples of `−Σ t[c] · ln softmax(x)[c]`: logits x and class probabilities t, both (N,C) or (N,C,H,W).
    ///
    /// `dx = dy · (softmax(x) · Σ t − t) / N`. One-hot targets give [`cross_entropy`](Self::cross_entropy), which is one pass.
    /// As in `PyTorch`, whether each sample's probabilities add up to 1 is not checked.
    ///
    /// # Panics
    /// If the shapes differ or have no axis of classes.
    #[track_caller]
    #[must_use]
    pub fn soft_cross_entropy(&self, target: &Self) -> Self {
        self.soft_cross_entropy_with(target, &CrossEntropy::default())
    }

    /// As [`soft_cross_entropy`](Self::soft_cross_entropy) with class weights w, label smoothing ε and a reduction, as
    /// `torch.nn.CrossEntropyLoss` of probabilities: each sample's loss is `−Σ w[c] · q[c] · ln softmax(x)[c]`,
    /// `q[c] = (1 − ε)·t[c] + ε/C`. Unlike with labels, the mean divides the sum by the number of samples, whatever the
    /// weights.
    ///
    /// # Panics
    /// If the shapes differ or have no axis of classes, there is not one weight for each class, the label smoothing is not in
    /// [0, 1], or there is an ignored label.
    #[track_caller]
    #[must_use]
    pub fn soft_cross_entropy_with(&self, target: &Self, options: &CrossEntropy<T>) -> Self {
        const NAME: &str = "soft_cross_entropy";
        let CrossEntropy { weights, label_smoothing: smoothing, ignore_index, reduction } = options;
        assert!(
            ignore_index.is_none(),
            "{NAME}: an ignore_index is given, and class probabilities have no labels\n  rule: give such samples probabilities of 0"
        );
        same_shape(NAME, self, target);
        let shape = self.shape();
        assert!(shape.rank() >= 2, "{NAME}: the shapes are {shape}\n  rule: (N,C) or (N,C,H,W), with C classes");
        ranges::check(NAME, "label_smoothing", *smoothing, ranges::SHARE);
        let _scope = open_with(NAME, || options.attributes());
        let classes = shape[1];
        let mut target = target.clone();
        if *smoothing > 0.0 {
            target = (1.0 - smoothing) * target + *smoothing / classes as f64;
        }
        if let Some(w) = weights {
            assert!(
                w.shape() == [classes],
                "{NAME}: weights have shape {}\n  rule: one for each of {classes} classes",
                w.shape()
            );
            let mut per_class = vec![1; shape.rank()];
            per_class[1] = classes;
            target = target * Self::constant(w.reshape(per_class));
        }
        reduction.of(-(target * self.log_softmax(1)).sum_axes(&[1], false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Var64;

    #[test]
    fn by_hand() {
        let (x, t) = (Var64::parameter("x", [[0.0, 0.0]]), Var64::constant([[0.25, 0.75]]));
        let loss = x.soft_cross_entropy(&t);
        assert!((loss.item() - 2f64.ln()).abs() < 1e-15);
        assert_eq!(loss.backward()[&x].to_vec(), [0.25, -0.25]);
    }

    #[test]
    #[should_panic(
        expected = "soft_cross_entropy: shapes differ\n  input  = (1, 2)\n  target = (2,)\n  rule: the shapes are equal"
    )]
    fn targets_have_the_shape_of_the_logits() {
        let _ = Var64::constant([[0.0, 0.0]]).soft_cross_entropy(&Var64::constant([0.0, 1.0]));
    }

    #[test]
    #[should_panic(expected = "soft_cross_entropy: the shapes are (2,)\n  rule: (N,C) or (N,C,H,W), with C classes")]
    fn samples_have_an_axis_of_classes() {
        let _ = Var64::constant([0.0, 0.0]).soft_cross_entropy(&Var64::constant([0.0, 1.0]));
    }

    #[test]
    #[should_panic(expected = "soft_cross_entropy: label_smoothing is 1.5\n  rule: 0 ≤ label_smoothing ≤ 1")]
    fn the_smoothing_is_a_share() {
        let options = CrossEntropy { label_smoothing: 1.5, ..CrossEntropy::default() };
        let _ = Var64::constant([[0.0, 0.0]]).soft_cross_entropy_with(&Var64::constant([[0.0, 1.0]]), &options);
    }
}
