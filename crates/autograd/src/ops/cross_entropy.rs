//! Cross-entropy of logits and class labels.

use chainrule_tensor::{Float, Shape, TensorOf, Unary};

use crate::ops::mse::Reduction;
use crate::var::VarOf;

/// The options of [`VarOf::cross_entropy_with`]; the defaults are those of [`VarOf::cross_entropy`].
#[derive(Clone, Debug)]
pub struct CrossEntropy<T: Float> {
    /// How much each class counts: (C).
    pub weights: Option<TensorOf<T>>,
    /// The share of the target that is spread evenly over all classes (Szegedy and others, 2016), in [0, 1].
    pub label_smoothing: f64,
    /// How the losses of single samples become one.
    pub reduction: Reduction,
}

impl<T: Float> Default for CrossEntropy<T> {
    fn default() -> Self {
        Self { weights: None, label_smoothing: 0.0, reduction: Reduction::Mean }
    }
}

impl<T: Float> VarOf<T> {
    /// The mean over samples of `−ln softmax(x)[label]`: logits x (N,C) or (N,C,H,W), labels (N) or (N,H,W) in 0..C.
    ///
    /// `dx = dy · (softmax(x) − onehot(label)) / N`.
    ///
    /// # Panics
    /// If the shapes do not fit, the batch is empty or a label is out of range.
    #[track_caller]
    #[must_use]
    pub fn cross_entropy(&self, labels: &TensorOf<i32>) -> Self {
        self.cross_entropy_with(labels, &CrossEntropy::default())
    }

    /// Cross-entropy with class weights w, label smoothing ε and any reduction, as `torch.nn.CrossEntropyLoss`:
    /// each sample's loss is `−Σ q[c] · ln softmax(x)[c]`, `q[c] = (1 − ε)·w[label]·[c = label] + ε/C·w[c]`; the mean
    /// divides the sum by `Σ w[label]`.
    ///
    /// # Panics
    /// If the shapes do not fit, the batch is empty or a label is out of range.
    #[track_caller]
    #[must_use]
    pub fn cross_entropy_with(&self, labels: &TensorOf<i32>, options: &CrossEntropy<T>) -> Self {
        let CrossEntropy { weights, label_smoothing: smoothing, reduction } = options;
        let classes = check(self.shape(), labels, weights.as_ref(), *smoothing);
        let log_p = self.log_softmax(1);
        let index = labels.unsqueeze(1);
        // The weight of each sample's label, shaped like the labels.
        let label_weights = weights.as_ref().map(|w| {
            w.reshape([classes, 1])
                .broadcast_to([classes, labels.numel()])
                .gather(0, &labels.reshape([1, labels.numel()]))
                .reshape(labels.shape())
        });
        let weighted = |x: Self| match &label_weights {
            Some(w) => x * Self::constant(w),
            None => x,
        };
        let mut losses = weighted(-log_p.gather(1, &index).squeeze(1));
        if *smoothing > 0.0 {
            let mut per_class = vec![1; self.shape().rank()];
            per_class[1] = classes;
            let all = weights.clone().unwrap_or_else(|| TensorOf::ones(classes)).reshape(per_class);
            let spread =
                (log_p * Self::constant(all.unary(Unary::Mul(-smoothing / classes as f64)))).sum_axes(&[1], false);
            losses = (1.0 - smoothing) * losses + spread;
        }
        match (reduction, label_weights) {
            (Reduction::Mean, Some(w)) => losses.sum() / w.sum(&[], false).item().to_f64(),
            _ => reduction.of(losses),
        }
    }
}

/// Checks what goes in, and returns the number of classes.
#[track_caller]
fn check<T: Float>(x: Shape, labels: &TensorOf<i32>, weights: Option<&TensorOf<T>>, smoothing: f64) -> usize {
    let fits = x.rank() >= 2 && [&x[..1], &x[2..]].concat() == *labels.shape();
    assert!(
        fits,
        "cross_entropy: labels do not fit\n  logits (N,C,…) = {x}\n  labels (N,…)   = {}\n  rule: labels have the logits' shape without C",
        labels.shape()
    );
    assert!(
        labels.numel() > 0,
        "cross_entropy: the batch is empty\n  logits (N,C,…) = {x}\n  rule: at least one sample"
    );
    let classes = x[1];
    let (low, high) = (labels.min(&[], false).item(), labels.max(&[], false).item());
    let worst = if low < 0 { low } else { high };
    assert!(
        low >= 0 && (high as usize) < classes,
        "cross_entropy: label {worst} is out of range\n  logits (N,C,…) = {x}\n  rule: 0 ≤ label < C = {classes}"
    );
    if let Some(w) = weights {
        assert!(
            w.shape() == [classes],
            "cross_entropy: weights have shape {}\n  rule: one for each of {classes} classes",
            w.shape()
        );
    }
    assert!((0.0..=1.0).contains(&smoothing), "cross_entropy: label smoothing is {smoothing}\n  rule: 0 ≤ ε ≤ 1");
    classes
}

impl<T: Float> VarOf<T> {
    /// How many of the logits' largest classes are the labels: x (N,C,…), labels (N,…).
    ///
    /// # Panics
    /// If the shapes do not fit.
    #[track_caller]
    pub fn correct(&self, labels: &TensorOf<i32>) -> usize {
        let predicted = self.value().argmax(1);
        let hits = predicted.compare(chainrule_tensor::Compare::Equal, labels);
        hits.to_f64().sum(&[], false).item() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [[0.0, 0.0], [0.0, 0.0]]);
        let labels = TensorOf::from([1, 0]);
        let loss = x.cross_entropy(&labels);
        assert!((loss.item() - 2f64.ln()).abs() < 1e-15);
        assert_eq!(loss.backward()[&x].to_vec(), [0.25, -0.25, -0.25, 0.25]);
        let weighted = CrossEntropy { weights: Some([1.0, 3.0].into()), ..CrossEntropy::default() };
        let loss = x.cross_entropy_with(&labels, &weighted);
        assert_eq!(loss.backward()[&x].to_vec(), [0.375, -0.375, -0.125, 0.125]);
    }

    #[test]
    #[should_panic(expected = "label 2 is out of range")]
    fn a_label_out_of_range_is_named() {
        let _ = Var64::constant([[0.0, 0.0]]).cross_entropy(&[2].into());
    }
}
