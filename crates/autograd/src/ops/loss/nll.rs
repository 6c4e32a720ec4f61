//! The negative log-likelihood of log-probabilities and class labels, composed of other ops.

use chainrule_tensor::{Float, TensorOf};

use super::labels::{Labels, of_label};
use super::mse::Reduction;
use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::scope::open_with;

/// The options of [`VarOf::nll_loss_with`]; the defaults are those of [`VarOf::nll_loss`].
#[derive(Clone, Debug)]
pub struct NllLoss<T: Float> {
    /// The weight of each class: (C).
    pub weights: Option<TensorOf<T>>,
    /// The label of samples that do not count: their loss and gradient are 0. `PyTorch` ignores −100 unless told otherwise.
    pub ignore_index: Option<i32>,
    /// The reduction of the losses of single samples.
    pub reduction: Reduction,
}

impl<T: Float> Default for NllLoss<T> {
    fn default() -> Self {
        Self { weights: None, ignore_index: None, reduction: Reduction::Mean }
    }
}

impl<T: Float> VarOf<T> {
    /// The mean over samples of `−x[label]`: log-probabilities x (N,C) or (N,C,H,W), labels (N) or (N,H,W) in 0..C.
    ///
    /// `dx = −dy · onehot(label) / N`. Of the [`log_softmax`](Self::log_softmax) of logits it is
    /// [`cross_entropy`](Self::cross_entropy), which is one pass.
    ///
    /// # Panics
    /// If the shapes do not fit or a label is out of range.
    #[track_caller]
    #[must_use]
    pub fn nll_loss(&self, labels: &TensorOf<i32>) -> Self {
        self.nll_loss_with(labels, &NllLoss::default())
    }

    /// As [`nll_loss`](Self::nll_loss) with class weights w, an ignored label and a reduction, as `torch.nn.NLLLoss`: each
    /// sample's loss is `−w[label]·x[label]`, and the mean divides the sum by `Σ w[label]`, both without the ignored samples;
    /// NaN if all are.
    ///
    /// # Panics
    /// If the shapes do not fit or a label is out of range.
    #[track_caller]
    #[must_use]
    pub fn nll_loss_with(&self, labels: &TensorOf<i32>, options: &NllLoss<T>) -> Self {
        const NAME: &str = "nll_loss";
        let NllLoss { weights, ignore_index, reduction } = options;
        let x = self.shape();
        let fits = x.rank() >= 2 && labels.rank() + 1 == x.rank() && labels.shape()[..] == [&x[..1], &x[2..]].concat();
        assert!(
            fits,
            "{NAME}: the shapes do not fit\n  input  = {x}\n  labels = {}\n  rule: input (N,C,…), labels (N,…)",
            labels.shape()
        );
        let ignored = ignore_index.map(|label| Attribute::new("ignored label", i64::from(label)));
        let weighted = weights.as_ref().map(|w| Attribute::new("class weights", w.to_f64()).symbol("w"));
        let _scope = open_with(NAME, || [reduction.attribute()].into_iter().chain(weighted).chain(ignored).collect());
        let labels = Labels::new(labels, *ignore_index);
        let weights = weights.as_ref().map(|w| labels.weights(NAME, w, x[1]));
        let mut losses = -of_label(self, &labels.valid);
        if let Some(w) = &weights {
            losses = losses * Self::constant(w);
        }
        labels.reduce(losses, weights, *reduction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Var64;

    #[test]
    fn by_hand() {
        let x = Var64::parameter("x", [[-1.0, -2.0], [-3.0, -4.0], [-5.0, -6.0]]);
        let options = NllLoss { weights: Some([1.0, 3.0].into()), ignore_index: Some(7), ..NllLoss::default() };
        let loss = x.nll_loss_with(&[1, 7, 0].into(), &options);
        assert_eq!(loss.item(), (3.0 * 2.0 + 5.0) / 4.0);
        assert_eq!(loss.backward()[&x].to_vec(), [0.0, -0.75, 0.0, 0.0, -0.25, 0.0]);
    }

    #[test]
    fn of_ignored_samples_alone_there_is_no_mean() {
        let x = Var64::constant([[-1.0, f64::NAN]]);
        let options = |reduction| NllLoss { ignore_index: Some(-100), reduction, ..NllLoss::default() };
        assert!(x.nll_loss_with(&[-100].into(), &options(Reduction::Mean)).item().is_nan());
        assert_eq!(x.nll_loss_with(&[-100].into(), &options(Reduction::Sum)).item(), 0.0);
    }

    #[test]
    #[should_panic(
        expected = "nll_loss: the shapes do not fit\n  input  = (1, 2)\n  labels = (2,)\n  rule: input (N,C,…), labels (N,…)"
    )]
    fn there_is_a_label_for_each_sample() {
        let _ = Var64::constant([[0.0, 0.0]]).nll_loss(&[1, 0].into());
    }
}
