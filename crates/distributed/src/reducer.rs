//! The sums of gradients over processes, started while the backward walk computes others.

use std::collections::BTreeMap;

use chainrule_autograd::{GradientsOf, Observer, Operation, VarOf};
use chainrule_tensor::TensorOf;

use crate::buffer::Reducible;
use crate::communicator::{Communicator, Pending};
use crate::error::DistributedError;
use crate::shards::TreeSum;

/// How buffers of all processes become their sum.
#[derive(Clone, Debug)]
pub(crate) enum Combine {
    /// By the engine, in an order of its own.
    AllReduce,
    /// All are gathered, and those of the processes that have samples are added as a binary tree.
    InOrder { filled: Vec<bool> },
}

impl Combine {
    /// Starts the sum of a buffer (n).
    pub(crate) fn start<'c, T: Reducible>(
        &self,
        communicator: &'c dyn Communicator,
        x: &TensorOf<T>,
    ) -> Box<dyn Pending + 'c> {
        match self {
            Self::AllReduce => communicator.all_reduce(T::into_buffer(x)),
            Self::InOrder { .. } => communicator.all_gather(T::into_buffer(x)),
        }
    }

    /// The sum (n) that was started.
    pub(crate) fn wait<T: Reducible>(&self, pending: Box<dyn Pending + '_>) -> Result<TensorOf<T>, DistributedError> {
        let found = T::from_buffer(pending.wait()?);
        let Self::InOrder { filled } = self else { return Ok(found) };
        let n = found.numel() / filled.len();
        let mut sum = TreeSum::new();
        for (rank, &filled) in filled.iter().enumerate() {
            sum.push(filled.then(|| found.narrow(0, rank * n..(rank + 1) * n)), &added);
        }
        Ok(sum.total(&added).expect("a batch has a sample"))
    }
}

/// Sums the gradients of a batch over the processes.
///
/// Gradients are put together in buckets, since an operation on a small buffer costs as much as on a large one. The buckets
/// are the same on all processes, and are started in the same order: from the last parameters of the net, whose gradients
/// the walk finds first.
pub(crate) struct Reducer<'c, T: Reducible> {
    communicator: &'c dyn Communicator,
    combine: &'c Combine,
    buckets: Vec<Bucket<T>>,
    /// The bucket of a parameter and its place in it, by its id.
    places: BTreeMap<u64, (usize, usize)>,
    /// The partial sums of earlier shards, the newest first.
    earlier: Vec<GradientsOf<T>>,
    started: Vec<Box<dyn Pending + 'c>>,
}

struct Bucket<T: Reducible> {
    parameters: Vec<VarOf<T>>,
    gradients: Vec<Option<TensorOf<T>>>,
}

impl<'c, T: Reducible> Reducer<'c, T> {
    /// For the gradients of parameters, in buckets of about `bucket_bytes`.
    pub(crate) fn new(
        communicator: &'c dyn Communicator,
        combine: &'c Combine,
        parameters: Vec<VarOf<T>>,
        bucket_bytes: usize,
    ) -> Self {
        let mut buckets: Vec<Bucket<T>> = Vec::new();
        let mut places = BTreeMap::new();
        let mut bytes = bucket_bytes;
        for parameter in parameters.into_iter().rev().filter(VarOf::requires_grad) {
            if bytes >= bucket_bytes {
                buckets.push(Bucket { parameters: Vec::new(), gradients: Vec::new() });
                bytes = 0;
            }
            bytes += parameter.shape().numel() * size_of::<T>();
            let at = buckets.len() - 1;
            let bucket = &mut buckets[at];
            places.insert(parameter.id(), (at, bucket.parameters.len()));
            bucket.parameters.push(parameter);
            bucket.gradients.push(None);
        }
        Self { communicator, combine, buckets, places, earlier: Vec::new(), started: Vec::new() }
    }

    /// The next walk is that of the last shard of this process: its gradients are final, with those of the earlier ones.
    pub(crate) fn last_shard(&mut self, earlier: impl DoubleEndedIterator<Item = GradientsOf<T>>) {
        self.earlier = earlier.rev().collect();
    }

    /// Starts the buckets that are complete, up to the first that is not, and lets the engine work on the others.
    fn advance(&mut self) {
        while let Some(bucket) = self.buckets.get_mut(self.started.len())
            && bucket.gradients.iter().all(Option::is_some)
        {
            let flat: Vec<TensorOf<T>> =
                bucket.gradients.iter_mut().flatten().map(|gradient| gradient.reshape(gradient.numel())).collect();
            bucket.gradients.clear();
            let flat = TensorOf::concat(&flat.iter().collect::<Vec<_>>(), 0);
            self.started.push(self.combine.start(self.communicator, &flat));
        }
        self.started.iter_mut().for_each(|pending| pending.progress());
    }

    /// The gradients of the batch, on all processes the same.
    ///
    /// # Panics
    /// If this process had a shard, and a parameter did not get a gradient.
    #[track_caller]
    pub(crate) fn finish(mut self, had_shard: bool) -> Result<GradientsOf<T>, DistributedError> {
        for bucket in &mut self.buckets[self.started.len()..] {
            for (parameter, gradient) in bucket.parameters.iter().zip(&mut bucket.gradients) {
                assert!(
                    !had_shard || gradient.is_some(),
                    "data parallel: no gradient for '{}'\n  rule: the loss depends on every parameter of the net that is not frozen",
                    parameter.name()
                );
                let zeros = || TensorOf::full_on(parameter.value().device(), parameter.shape(), T::ZERO);
                gradient.get_or_insert_with(zeros);
            }
        }
        self.advance();
        let mut gradients = Vec::new();
        for (bucket, pending) in self.buckets.into_iter().zip(self.started) {
            let flat = self.combine.wait::<T>(pending)?;
            let mut start = 0;
            for parameter in bucket.parameters {
                let end = start + parameter.shape().numel();
                let gradient = flat.narrow(0, start..end).reshape(parameter.shape());
                gradients.push((parameter, gradient));
                start = end;
            }
        }
        Ok(gradients.into_iter().collect())
    }
}

/// The sum of two terms.
#[expect(clippy::needless_pass_by_value, reason = "the terms of a sum are not used again")]
pub(crate) fn added<T: Reducible>(mut left: TensorOf<T>, right: TensorOf<T>) -> TensorOf<T> {
    left.add_assign(&right);
    left
}

impl<T: Reducible> Observer<T> for Reducer<'_, T> {
    fn is_eager(&self) -> bool {
        true
    }

    fn node_done(&mut self, _op: &Operation<T>, _dy: &VarOf<T>, _gradients: &[Option<VarOf<T>>]) {
        self.started.iter_mut().for_each(|pending| pending.progress());
    }

    fn gradient_final(&mut self, parameter: &VarOf<T>, gradient: &VarOf<T>) {
        let Some(&(bucket, place)) = self.places.get(&parameter.id()) else { return };
        let mut sum = gradient.value().clone();
        for earlier in &self.earlier {
            sum = added(earlier[parameter].clone(), sum);
        }
        self.buckets[bucket].gradients[place] = Some(sum);
        self.advance();
    }
}
