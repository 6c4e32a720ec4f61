//! A learning rate that is reduced when results stop improving.

use chainrule_tensor::ranges;
use serde::{Deserialize, Serialize};

/// Multiplies the learning rate by a factor when a metric, such as the validation loss of each epoch, has not improved for
/// some epochs, as `torch.optim.lr_scheduler.ReduceLROnPlateau`.
///
/// A metric is better than the best so far, b, if it is less than `b·(1 − threshold)`, with [`PlateauMode::Max`] if it is greater
/// than `b·(1 + threshold)`; NaN never is. After more than `patience` epochs in a row without a better one the rate is
/// reduced; then `cooldown` epochs are not counted. A reduction by 1e-8 or less is not made.
///
/// It has state: with [`Progress::plateau`](crate::Progress::plateau), a checkpoint holds it.
///
/// ```
/// use chainrule_nn::ReduceLrOnPlateau;
/// let mut plateau = ReduceLrOnPlateau::new(0.1).patience(1);
/// for loss in [1.0, 0.8, 0.9, 0.85, 0.7] {
///     plateau.step(loss); // then: optimizer.set_lr(plateau.lr())
/// }
/// assert_eq!(plateau.lr(), 0.1 * 0.1);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Plateau", into = "Plateau")]
pub struct ReduceLrOnPlateau(Plateau);

/// Whether a metric is to become small, such as a loss, or large, such as an accuracy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlateauMode {
    /// Less is better.
    #[default]
    Min,
    /// More is better.
    Max,
}

/// A difference of two rates that is no reduction: PyTorch's `eps`.
const LEAST_REDUCTION: f64 = 1e-8;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Plateau {
    mode: PlateauMode,
    factor: f64,
    patience: u64,
    threshold: f64,
    /// Whether the threshold is a difference, not a share of the best metric.
    absolute: bool,
    cooldown: u64,
    min_lr: f64,
    lr: f64,
    best: Option<f64>,
    bad_epochs: u64,
    /// Epochs of the cooldown that are left.
    cooling: u64,
}

impl From<ReduceLrOnPlateau> for Plateau {
    fn from(ReduceLrOnPlateau(plateau): ReduceLrOnPlateau) -> Self {
        plateau
    }
}

impl TryFrom<Plateau> for ReduceLrOnPlateau {
    type Error = String;

    /// Checks the numbers of a file.
    fn try_from(plateau: Plateau) -> Result<Self, String> {
        let check = |name, x| ranges::checked(NAME, name, x, ranges::NOT_NEGATIVE);
        ranges::checked(NAME, "factor", plateau.factor, ranges::BELOW_ONE)?;
        check("lr", plateau.lr)?;
        check("threshold", plateau.threshold)?;
        check("min_lr", plateau.min_lr)?;
        Ok(Self(plateau))
    }
}

const NAME: &str = "ReduceLrOnPlateau";

impl ReduceLrOnPlateau {
    /// For a metric that is to become small, with factor 0.1, patience 10, threshold 1e-4 of the best metric, neither
    /// cooldown nor a least rate.
    ///
    /// # Panics
    /// If the learning rate is negative, infinite or NaN.
    #[track_caller]
    pub fn new(lr: f64) -> Self {
        let plateau = Plateau {
            mode: PlateauMode::Min,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            absolute: false,
            cooldown: 0,
            min_lr: 0.0,
            lr,
            best: None,
            bad_epochs: 0,
            cooling: 0,
        };
        Self(plateau).checked()
    }

    #[track_caller]
    fn checked(self) -> Self {
        match Self::try_from(self.0) {
            Ok(plateau) => plateau,
            Err(text) => panic!("{text}"),
        }
    }

    /// Whether the metric is to become small or large.
    #[must_use]
    pub fn mode(mut self, mode: PlateauMode) -> Self {
        self.0.mode = mode;
        self
    }

    /// The factor by which the rate is multiplied.
    ///
    /// # Panics
    /// If it is not in [0, 1).
    #[track_caller]
    #[must_use]
    pub fn factor(mut self, factor: f64) -> Self {
        self.0.factor = factor;
        self.checked()
    }

    /// The number of epochs without a better metric that do not yet reduce the rate.
    #[must_use]
    pub fn patience(mut self, epochs: u64) -> Self {
        self.0.patience = epochs;
        self
    }

    /// The share of the best metric by which a better one must differ from it.
    ///
    /// # Panics
    /// If it is negative, infinite or NaN.
    #[track_caller]
    #[must_use]
    pub fn threshold(mut self, share: f64) -> Self {
        (self.0.threshold, self.0.absolute) = (share, false);
        self.checked()
    }

    /// The difference by which a better metric must differ from the best one (`threshold_mode="abs"`).
    ///
    /// # Panics
    /// If it is negative, infinite or NaN.
    #[track_caller]
    #[must_use]
    pub fn absolute_threshold(mut self, difference: f64) -> Self {
        (self.0.threshold, self.0.absolute) = (difference, true);
        self.checked()
    }

    /// The number of epochs after a reduction that are not counted as bad ones.
    #[must_use]
    pub fn cooldown(mut self, epochs: u64) -> Self {
        self.0.cooldown = epochs;
        self
    }

    /// The least learning rate.
    ///
    /// # Panics
    /// If it is negative, infinite or NaN.
    #[track_caller]
    #[must_use]
    pub fn min_lr(mut self, lr: f64) -> Self {
        self.0.min_lr = lr;
        self.checked()
    }

    /// The learning rate, to be set with [`Optimizer::set_lr`](crate::Optimizer::set_lr).
    pub fn lr(&self) -> f64 {
        self.0.lr
    }

    /// Takes the metric of an epoch into account.
    pub fn step(&mut self, metric: f64) {
        let plateau = &mut self.0;
        if plateau.is_better(metric) {
            // A checkpoint has no infinity.
            plateau.best = Some(metric.clamp(f64::MIN, f64::MAX));
            plateau.bad_epochs = 0;
        } else {
            plateau.bad_epochs += 1;
        }
        if plateau.cooling > 0 {
            plateau.cooling -= 1;
            plateau.bad_epochs = 0;
        }
        if plateau.bad_epochs > plateau.patience {
            let reduced = (plateau.lr * plateau.factor).max(plateau.min_lr);
            if plateau.lr - reduced > LEAST_REDUCTION {
                plateau.lr = reduced;
            }
            (plateau.cooling, plateau.bad_epochs) = (plateau.cooldown, 0);
        }
    }
}

impl Plateau {
    fn is_better(&self, metric: f64) -> bool {
        let Self { threshold, absolute, .. } = *self;
        match (self.mode, self.best) {
            (PlateauMode::Min, None) => metric < f64::INFINITY,
            (PlateauMode::Max, None) => metric > f64::NEG_INFINITY,
            (PlateauMode::Min, Some(best)) => {
                metric < if absolute { best - threshold } else { best * (1.0 - threshold) }
            }
            (PlateauMode::Max, Some(best)) => {
                metric > if absolute { best + threshold } else { best * (1.0 + threshold) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_state_goes_on_with_the_same_bits() {
        let losses = [0.9, f64::NAN, 0.7, f64::INFINITY, 0.71, 0.72, 0.73, 0.74, 0.6999, 0.8, 0.9, 1.0, 1.1];
        let start = ReduceLrOnPlateau::new(0.3).factor(0.7).patience(1).cooldown(1).threshold(1e-3);
        let after = |mut plateau: ReduceLrOnPlateau, losses: &[f64]| {
            for &loss in losses {
                plateau.step(loss);
            }
            plateau
        };
        let whole = after(start.clone(), &losses);
        for cut in 0..losses.len() {
            let text = serde_json::to_string(&after(start.clone(), &losses[..cut])).unwrap();
            assert_eq!(after(serde_json::from_str(&text).unwrap(), &losses[cut..]), whole);
        }
        assert_eq!(whole.lr(), 0.3 * 0.7 * 0.7 * 0.7);
    }

    #[test]
    fn numbers_are_checked_also_those_of_a_file() {
        let text = serde_json::to_string(&ReduceLrOnPlateau::new(0.1)).unwrap();
        let error = serde_json::from_str::<ReduceLrOnPlateau>(&text.replace("\"factor\":0.1", "\"factor\":2"));
        assert_eq!(error.unwrap_err().to_string(), "ReduceLrOnPlateau: factor is 2\n  rule: 0 ≤ factor < 1");
    }

    #[test]
    #[should_panic(expected = "ReduceLrOnPlateau: min_lr is -1\n  rule: 0 ≤ min_lr < ∞")]
    fn a_negative_rate_is_refused() {
        let _ = ReduceLrOnPlateau::new(0.1).min_lr(-1.0);
    }
}
