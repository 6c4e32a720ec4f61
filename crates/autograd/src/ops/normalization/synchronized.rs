//! Batch normalization by the statistics of all processes that train together.

use std::sync::Arc;

use chainrule_tensor::{BatchNormGradients, Binary, Epilogue, Float, TensorOf, Unary, ranges};

use crate::graph::{Tangent, VarOf};
use crate::ops::normalization::batch_norm::{BatchNorm, BatchStatistics, Of};
use crate::ops::normalization::batch_norm_gradients::normalized;
use crate::ops::reduction::channel_sum::channels;
use crate::recompute::computed_once;
use crate::replica_group::ReplicaGroup;

impl<T: Float> VarOf<T> {
    /// [`batch_norm_with`](Self::batch_norm_with) by the mean and the biased variance of the batches of all processes, which
    /// may have different numbers of samples, also none (`torch.nn.SyncBatchNorm`). The results are those of `batch_norm_with`
    /// on the whole batch up to rounding, and with one process bit for bit. Returns the statistics of the whole batch, the same
    /// bits on all processes.
    ///
    /// `dx = γ/√(var + ε) · (dz − Σ dz/m − x̂·Σ (dz·x̂)/m)` with the sums over all processes and the number m of elements of a
    /// channel on all of them. `dβ = Σ dz` and `dγ = Σ dz·x̂` are of this process alone: the sum over the processes, which
    /// training takes for all parameters, is the gradient of the loss. γ and β are the same on all processes.
    ///
    /// Gathers 2C + 2 numbers, and in the backward pass reduces 2C. What is [recomputed](crate::recompute) does not gather again.
    ///
    /// # Panics
    /// If x has fewer than two axes, no process has elements, another shape does not match, ε is negative, infinite or NaN, or
    /// the group fails.
    #[track_caller]
    pub fn batch_norm_synchronized(
        &self,
        gamma: &Self,
        beta: &Self,
        eps: f64,
        epilogue: Epilogue<'_, Self>,
        group: &Arc<dyn ReplicaGroup<T>>,
    ) -> (Self, BatchStatistics<T>) {
        if group.size() == 1 {
            return self.batch_norm_with(gamma, beta, eps, epilogue);
        }
        ranges::check(NAME, "eps", eps, ranges::NOT_NEGATIVE);
        let (x, residual) = (self.value(), epilogue.residual.map(Self::value));
        let shape = x.shape();
        assert!(shape.rank() >= 2, "{NAME}: the input (N,C,…) has at least two axes, not {shape}");
        for (name, row) in [("gamma", gamma.shape()), ("beta", beta.shape())] {
            assert!(
                row == [shape[1]],
                "{NAME}: {name} has shape {row}, the input (N,C,…) {shape}\n  rule: one number for each channel"
            );
        }
        let statistics = computed_once(|| merged(&x, &**group));
        let BatchStatistics { mean, variance, count } = statistics.clone();
        let istd = variance.unary(Unary::Add(eps)).unary(Unary::Sqrt).unary(Unary::Reciprocal);
        let scale = gamma.value().binary(Binary::Mul, &istd);
        let then = epilogue.with_residual(residual.as_deref());
        let y = x.batch_norm_apply(&mean, &scale, &beta.value(), then);
        let rule = BatchNorm {
            mean,
            istd,
            of: Of::Processes(Processes { group: group.clone(), count }),
            eps,
            relu: epilogue.relu,
            residual: epilogue.residual.is_some(),
        };
        let y = Self::record(y, [self, gamma, beta].into_iter().chain(epilogue.residual), rule);
        (y, statistics)
    }
}

const NAME: &str = "batch_norm_synchronized";

/// The processes whose batches were normalized together.
pub(super) struct Processes<T: Float> {
    group: Arc<dyn ReplicaGroup<T>>,
    /// The number of elements of each channel on all processes.
    count: usize,
}

impl<T: Float> Clone for Processes<T> {
    fn clone(&self) -> Self {
        Self { group: self.group.clone(), count: self.count }
    }
}

impl<T: Float> Processes<T> {
    /// The number of processes.
    pub(super) fn size(&self) -> usize {
        self.group.size()
    }

    /// The mean of each channel over all processes, composed of ops: (1,C,1,…).
    pub(super) fn mean(&self, x: &VarOf<T>) -> VarOf<T> {
        (x.channel_sum().all_reduce(&self.group) / self.count as f64).reshape(channels(x.shape()))
    }

    /// The tangent of the output before relu, from those of x, γ, β and r:
    /// `γ/√(var + ε) · (dx − mean(dx) − x̂·mean(dx·x̂)) + dγ·x̂ + dβ + dr`.
    pub(super) fn tangent(&self, [x, gamma]: [&VarOf<T>; 2], dx: &[Option<VarOf<T>>], eps: f64) -> Tangent<T> {
        let (xhat, istd) = normalized(x, eps, Some(self));
        let beside = |row: &VarOf<T>| row.reshape(channels(x.shape()));
        let of_x = |dx: &VarOf<T>| beside(gamma) * &istd * (dx - self.mean(dx) - &xhat * self.mean(&(dx * &xhat)));
        let parts = [
            dx[0].as_ref().map(of_x),
            dx[1].as_ref().map(|dgamma| beside(dgamma) * &xhat),
            dx[2].as_ref().map(beside),
            dx.get(3).cloned().flatten(),
        ];
        Tangent::sum(x.shape(), parts)
    }

    /// dx, and dγ, dβ and dr of this process. If dx is not needed, it is another tensor and nothing is reduced.
    ///
    /// The kernel takes the sums over this process in dx. Those over all processes differ from them by a number for each channel,
    /// so their difference in dx is a normalization of x, to which dx is added in the same pass.
    pub(super) fn gradients(
        &self,
        [dy, x]: [&TensorOf<T>; 2],
        [mean, istd, gamma]: [&TensorOf<T>; 3],
        y: Option<&TensorOf<T>>,
        [need_x, need_r]: [bool; 2],
    ) -> BatchNormGradients<T> {
        let empty = x.numel() == 0;
        let (dx, dgamma, dbeta, dr) = if empty {
            let none = TensorOf::full_on(x.device(), gamma.shape(), T::ZERO);
            (x.clone(), none.clone(), none, need_r.then(|| x.clone()))
        } else {
            x.batch_norm_backward(dy, mean, istd, gamma, y, need_r)
        };
        if !need_x {
            return (dx, dgamma, dbeta, dr);
        }
        let channels = gamma.numel();
        let sums = self.group.all_reduce(&TensorOf::concat(&[&dbeta, &dgamma], 0));
        assert!(
            sums.numel() == 2 * channels,
            "{NAME}: the group returned {} sums for {channels} channels\n  rule: every process normalizes the same channels",
            sums.numel()
        );
        if empty {
            return (dx, dgamma, dbeta, dr);
        }
        let own_count = (x.numel() / channels) as f64;
        let excess = |own: &TensorOf<T>, sums: TensorOf<T>| {
            own.unary(Unary::Div(own_count)).binary(Binary::Sub, &sums.unary(Unary::Div(self.count as f64)))
        };
        let factor = gamma.binary(Binary::Mul, istd);
        let shift = factor.binary(Binary::Mul, &excess(&dbeta, sums.narrow(0, 0..channels)));
        let slope = factor.binary(Binary::Mul, istd);
        let slope = slope.binary(Binary::Mul, &excess(&dgamma, sums.narrow(0, channels..2 * channels)));
        (x.batch_norm_apply(mean, &slope, &shift, Epilogue::add(&dx)), dgamma, dbeta, dr)
    }
}

/// The statistics of the batches of all processes.
#[track_caller]
fn merged<T: Float>(x: &TensorOf<T>, group: &dyn ReplicaGroup<T>) -> BatchStatistics<T> {
    let (shape, device) = (x.shape(), x.device());
    let channels = shape[1];
    let (mean, variance) = if x.numel() == 0 {
        let none = TensorOf::full_on(device, channels, T::ZERO);
        (none.clone(), none)
    } else {
        x.batch_norm_statistics()
    };
    // An f32 has 24 bits, too few for the count.
    let count = x.numel() / channels.max(1);
    let digits = [count / DIGIT, count % DIGIT].map(|digit| T::from_f64(digit as f64));
    let own = TensorOf::concat(&[&mean, &variance, &TensorOf::from_slice(&digits, 2).to(device)], 0);
    let gathered = group.all_gather(&own);
    assert!(
        gathered.shape() == [group.size(), own.numel()],
        "{NAME}: the group gathered {} numbers\n  rule: ({}, {}), every process normalizes the same channels",
        gathered.shape(),
        group.size(),
        own.numel()
    );
    let gathered: Vec<f64> = gathered.to_f64().to_vec();
    let counts = |row: &[f64]| row[2 * channels] * DIGIT as f64 + row[2 * channels + 1];
    let all: Vec<Moments> = (0..channels)
        .map(|c| {
            let rows = gathered.chunks(own.numel());
            let moments = rows.map(|row| {
                let count = counts(row);
                Moments { mean: row[c], squares: row[channels + c] * count, count }
            });
            moments.fold(Moments::default(), Moments::and)
        })
        .collect();
    let count = gathered.chunks(own.numel()).map(counts).sum::<f64>() as usize;
    assert!(count > 0, "{NAME}: no process has elements\n  input (N,C,…) = {shape}\n  rule: at least one sample");
    let of_channel = |f: &dyn Fn(&Moments) -> f64| TensorOf::from_fn(channels, |c| T::from_f64(f(&all[c]))).to(device);
    BatchStatistics { mean: of_channel(&|of| of.mean), variance: of_channel(&|of| of.squares / of.count), count }
}

/// The base of the two digits of a count.
const DIGIT: usize = 1 << 20;

/// The mean of numbers, the sum of the squares of their deviations from it, and how many they are.
#[derive(Clone, Copy, Default)]
struct Moments {
    mean: f64,
    squares: f64,
    count: f64,
}

impl Moments {
    /// Those of both groups of numbers together (Chan, Golub, LeVeque: "Algorithms for computing the sample variance", 1983).
    fn and(self, other: Self) -> Self {
        if self.count == 0.0 || other.count == 0.0 {
            return if self.count == 0.0 { other } else { self };
        }
        let count = self.count + other.count;
        let (distance, share) = (other.mean - self.mean, other.count / count);
        Self {
            mean: self.mean + distance * share,
            squares: self.squares + other.squares + distance * distance * self.count * share,
            count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Moments;

    fn of(numbers: &[f64]) -> Moments {
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        Moments { mean, squares: numbers.iter().map(|x| (x - mean).powi(2)).sum(), count }
    }

    #[test]
    fn moments_of_groups_by_hand() {
        let together =
            [of(&[1.0, 3.0]), Moments::default(), of(&[8.0])].into_iter().fold(Moments::default(), Moments::and);
        assert_eq!((together.mean, together.squares, together.count), (4.0, 26.0, 3.0));
    }

    #[test]
    fn large_means_take_no_digits_from_the_variance() {
        let together = of(&[1e9 - 1.0, 1e9 + 1.0]).and(of(&[1e9 + 4.0])).and(of(&[1e9 - 4.0]));
        assert_eq!(together.mean, 1e9);
        // Means in between have thirds. Squares of the numbers themselves have no digit of this left.
        assert!((together.squares - 34.0).abs() < 1e-6, "{}", together.squares);
    }
}
