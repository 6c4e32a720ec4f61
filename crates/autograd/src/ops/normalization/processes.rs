//! The batches of all processes that train together: their statistics, and sums over them.

use std::sync::Arc;

use chainrule_tensor::{BatchNormGradients, Binary, Epilogue, Float, TensorOf, Unary};

use crate::graph::VarOf;
use crate::ops::reduction::channel_sum::channels;
use crate::replica_group::ReplicaGroup;

/// The statistics of one batch, from which a layer updates its running statistics.
#[derive(Clone, Debug)]
pub struct BatchStatistics<T: Float> {
    /// The mean of each channel: (C).
    pub mean: TensorOf<T>,
    /// The biased variance of each channel: (C).
    pub variance: TensorOf<T>,
    /// The number of elements of each channel.
    pub count: usize,
}

pub(super) const NAME: &str = "batch_norm_synchronized";

/// The processes whose batches were normalized together.
pub(super) struct Processes<T: Float> {
    pub(super) group: Arc<dyn ReplicaGroup<T>>,
    /// The number of elements of each channel on all processes.
    pub(super) count: usize,
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
pub(super) fn merged<T: Float>(x: &TensorOf<T>, group: &dyn ReplicaGroup<T>) -> BatchStatistics<T> {
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
