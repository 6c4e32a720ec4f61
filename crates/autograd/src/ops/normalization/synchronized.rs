//! Batch normalization by the statistics of all processes that train together.

use std::sync::Arc;

use chainrule_tensor::{Binary, Epilogue, Float, Unary, ranges};

use crate::graph::VarOf;
use crate::ops::normalization::batch_norm::{BatchNorm, Of};
use crate::ops::normalization::processes::{BatchStatistics, NAME, Processes, merged};
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
