//! Cross-entropy of logits and class labels.

use chainrule_tensor::{Float, TensorOf, Unary, ranges};

use super::labels::{Labels, of_label, one_for_each};
use super::mse::Reduction;
use crate::attribute::Attribute;
use crate::graph::{Operation, Rule, Tangent, VarOf};
use crate::scope::open_with;

/// The options of [`VarOf::cross_entropy_with`] and [`VarOf::soft_cross_entropy_with`]; the defaults are those of
/// [`VarOf::cross_entropy`].
#[derive(Clone, Debug)]
pub struct CrossEntropy<T: Float> {
    /// The weight of each class: (C).
    pub weights: Option<TensorOf<T>>,
    /// The label smoothing ε: the part of the target that is distributed evenly over all classes (Szegedy and others,
    /// 2016), in [0, 1].
    pub label_smoothing: f64,
    /// The label of samples that do not count: their loss and gradient are 0. `PyTorch` ignores −100 unless told otherwise.
    /// Class probabilities have no such label.
    pub ignore_index: Option<i32>,
    /// The reduction of the losses of single samples.
    pub reduction: Reduction,
}

impl<T: Float> Default for CrossEntropy<T> {
    fn default() -> Self {
        Self { weights: None, label_smoothing: 0.0, ignore_index: None, reduction: Reduction::Mean }
    }
}

impl<T: Float> CrossEntropy<T> {
    pub(super) fn attributes(&self) -> Vec<Attribute> {
        let weights = self.weights.as_ref().map(|w| Attribute::new("class weights", w.to_f64()).symbol("w"));
        let smoothing = Attribute::new("label smoothing", self.label_smoothing).symbol("ε");
        let ignored = self.ignore_index.map(|label| Attribute::new("ignored label", i64::from(label)));
        [self.reduction.attribute(), smoothing].into_iter().chain(weights).chain(ignored).collect()
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

    /// Cross-entropy with class weights w, label smoothing ε and a reduction, as `torch.nn.CrossEntropyLoss`:
    /// each sample's loss is `−Σ q[c] · ln softmax(x)[c]`, `q[c] = (1 − ε)·w[label]·[c = label] + ε/C·w[c]`; the mean
    /// divides the sum by `Σ w[label]`. Samples with the ignored label count neither in the sum nor there; the mean is NaN if
    /// all have it.
    ///
    /// # Panics
    /// If the shapes do not fit, the batch is empty, a label is out of range or the label smoothing is not in [0, 1].
    #[track_caller]
    #[must_use]
    pub fn cross_entropy_with(&self, labels: &TensorOf<i32>, options: &CrossEntropy<T>) -> Self {
        let CrossEntropy { weights, label_smoothing: smoothing, ignore_index, reduction } = options;
        let _scope = open_with("cross_entropy", || options.attributes());
        let labels = Labels::new(labels, *ignore_index);
        let [losses, max, ln] = self.value().cross_entropy(&labels.valid);
        let mut losses = Self::record(losses, [self], Losses { labels: labels.valid.clone(), max, ln });
        let classes = self.shape()[1];
        let label_weights = weights.as_ref().map(|w| labels.weights("cross_entropy", w, classes));
        ranges::check("cross_entropy", "label_smoothing", *smoothing, ranges::SHARE);
        if let Some(w) = &label_weights {
            losses = losses * Self::constant(w);
        }
        if *smoothing > 0.0 {
            let mut per_class = vec![1; self.shape().rank()];
            per_class[1] = classes;
            let all =
                weights.clone().unwrap_or_else(|| TensorOf::full_on(self.device(), classes, T::ONE)).reshape(per_class);
            let spread = (self.log_softmax(1) * Self::constant(all.unary(Unary::Mul(-smoothing / classes as f64))))
                .sum_axes(&[1], false);
            losses = (1.0 - smoothing) * losses + spread;
        }
        labels.reduce(losses, label_weights, *reduction)
    }
}

/// The rule of the loss of each sample.
struct Losses<T: Float> {
    labels: TensorOf<i32>,
    max: TensorOf<T>,
    ln: TensorOf<T>,
}

impl<T: Float> Rule<T> for Losses<T> {
    describe! {
        name: "cross_entropy",
        formula: "y = ln Σ exp(x) − x[label]",
        derivative: "dx = dy · (softmax(x) − onehot(label))",
        saved: "x, labels, max x, ln Σ exp(x − max)",
    }
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("labels", &self.labels).symbol("label")]
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let x = op.parent(0);
        let Self { labels, max, ln } = self;
        let dx = x.value().cross_entropy_backward(&dy.value(), labels, max, ln);
        vec![Some(VarOf::record(dx, [dy, x], LossesBackward { labels: labels.clone() }))]
    }
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        // The mean of dx, weighted with the probabilities, less that of the label.
        let dx = dx[0].as_ref()?;
        let mean = (dx * op.parent(0).softmax(1)).sum_axes(&[1], false);
        Some(Tangent::forward(mean - of_label(dx, &self.labels)))
    }
}

/// The rule of dx as a function of (dy, x).
struct LossesBackward {
    labels: TensorOf<i32>,
}

impl<T: Float> Rule<T> for LossesBackward {
    describe! {
        name: "cross_entropy backward",
        formula: "dx = dy · (softmax(x) − onehot(label))",
        derivative: "d(dy) = Σ dz·p − dz[label], d(x) = dy · p · (dz − Σ dz·p), p = softmax(x)",
        saved: "dy, x, labels",
    }
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("labels", &self.labels).symbol("label")]
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (dy, x) = (op.parent(0), op.parent(1));
        let shape = self.labels.shape();
        let one_each = one_for_each(&self.labels);
        let p = x.softmax(1);
        let mean = (dz * &p).sum_axes(&[1], true);
        vec![
            needs[0].then(|| mean.reshape(shape) - of_label(dz, &self.labels)),
            needs[1].then(|| dy.reshape(one_each) * &p * (dz - &mean)),
        ]
    }
}

impl<T: Float> VarOf<T> {
    /// The number of samples whose largest logit is that of the label: x (N,C,…), labels (N,…).
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    pub fn correct(&self, labels: &TensorOf<i32>) -> usize {
        self.hits(labels).item() as usize
    }

    /// As [`correct`](Self::correct), as a scalar tensor on the device of the logits; does not synchronize.
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    #[must_use]
    pub fn hits(&self, labels: &TensorOf<i32>) -> TensorOf<f64> {
        let predicted = self.value().argmax(1);
        predicted.compare(chainrule_tensor::Compare::Equal, labels).to_f64().sum(&[], false)
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
    fn ignored_samples_have_neither_loss_nor_gradient() {
        let x = Var64::parameter("x", [[0.0, 0.0], [5.0, 1.0], [0.0, 0.0]]);
        let options = CrossEntropy { ignore_index: Some(-100), ..CrossEntropy::default() };
        let loss = x.cross_entropy_with(&[1, -100, 0].into(), &options);
        assert!((loss.item() - 2f64.ln()).abs() < 1e-15);
        assert_eq!(loss.backward()[&x].to_vec(), [0.25, -0.25, 0.0, 0.0, -0.25, 0.25]);
    }

    #[test]
    #[should_panic(expected = "label 2 is out of range")]
    fn a_label_out_of_range_is_named() {
        let _ = Var64::constant([[0.0, 0.0]]).cross_entropy(&[2].into());
    }
}
