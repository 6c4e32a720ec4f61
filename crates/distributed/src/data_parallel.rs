//! The gradients of a batch that several processes share.

use std::ops::Range;
use std::rc::Rc;

use chainrule_autograd::{GradientsOf, VarOf};
use chainrule_nn::Module;
use chainrule_tensor::Unary;

use crate::buffer::Reducible;
use crate::communicator::Communicator;
use crate::error::DistributedError;
use crate::reducer::{Combine, Reducer, added};
use crate::shards::{Shards, TreeSum};
use crate::step_state::StepState;

/// The size of a bucket of gradients: about where an operation's bandwidth outweighs its latency.
const BUCKET_BYTES: usize = 4 << 20;

/// Computes the gradients of batches together with other processes.
///
/// The processes have the same net. Each computes the gradients of its shards of a batch; the sums over all shards, weighted
/// by the number of samples, are the gradients of the mean loss of the batch, the same on all processes. So are the running
/// statistics of batch normalization, whose changes are averaged likewise; each shard is normalized by its own statistics.
/// Layers that draw random numbers draw others for each shard.
///
/// ```
/// use std::rc::Rc;
/// use chainrule_autograd::Var64;
/// use chainrule_distributed::{Alone, DataParallel, Shards};
/// use chainrule_nn::{Linear, Module, Optimizer, Sgd};
/// use chainrule_tensor::{Rng, Tensor64};
///
/// let net: Linear<f64> = Linear::new(3, 1, &mut Rng::seed(0));
/// let mut optimizer = Sgd::new(net.parameters(), 0.1);
/// let x = Tensor64::from_fn([8, 3], |i| i as f64);
/// // Every process runs this; the communicator is that of MPI or NCCL.
/// let communicator = Rc::new(Alone);
/// let shards = Shards::new(4, &*communicator)?;
/// let replicas = DataParallel::new(communicator, shards);
/// let gradients = replicas.gradients(&net, 8, |_, samples| {
///     net.forward(&Var64::constant(x.narrow(0, samples))).square().mean()
/// })?;
/// optimizer.step(&gradients);
/// # Ok::<(), chainrule_distributed::DistributedError>(())
/// ```
pub struct DataParallel {
    communicator: Rc<dyn Communicator>,
    shards: Shards,
    in_order: bool,
    bucket_bytes: usize,
}

impl DataParallel {
    /// Batches in shards. The sums have a fixed order, and so the same bits on any number of processes: the gradients of all
    /// processes are gathered, which moves more bytes than the engine's own sum.
    pub fn new(communicator: Rc<dyn Communicator>, shards: Shards) -> Self {
        Self { communicator, shards, in_order: true, bucket_bytes: BUCKET_BYTES }
    }

    /// A shard for each process, and sums in the order of the engine: the results agree with those of one process up to
    /// rounding.
    pub fn fast(communicator: Rc<dyn Communicator>) -> Self {
        let shards = Shards::one_each(&*communicator);
        Self { communicator, shards, in_order: false, bucket_bytes: BUCKET_BYTES }
    }

    /// The size of a bucket: a sum over processes starts when so many bytes of gradients are final. By default 4 MiB.
    #[must_use]
    pub fn bucket_bytes(self, bucket_bytes: usize) -> Self {
        Self { bucket_bytes, ..self }
    }

    /// The processes.
    pub fn communicator(&self) -> &dyn Communicator {
        &*self.communicator
    }

    /// The shards of a batch.
    pub fn shards(&self) -> &Shards {
        &self.shards
    }

    /// The gradients of a batch of `n` samples. `loss` is called for each shard of this process, with its number and its
    /// samples in the batch, and returns the mean loss of these; it runs the net's forward pass once.
    ///
    /// # Errors
    /// If another process does not take part in time, or the engine fails.
    ///
    /// # Panics
    /// If the loss does not depend on a parameter of the net that is not frozen, or n is 0.
    #[track_caller]
    pub fn gradients<T: Reducible>(
        &self,
        net: &dyn Module<T>,
        n: usize,
        mut loss: impl FnMut(usize, Range<usize>) -> VarOf<T>,
    ) -> Result<GradientsOf<T>, DistributedError> {
        assert!(n > 0, "data parallel: a batch of no samples");
        let communicator = self.communicator();
        let combine = if self.in_order {
            Combine::InOrder { filled: self.shards.filled(n, communicator.size()) }
        } else {
            Combine::AllReduce
        };
        let mut reducer = Reducer::new(communicator, &combine, net.parameters(), self.bucket_bytes);
        let before = StepState::of(net);
        let last = self.shards.local().rev().find(|&shard| !self.shards.samples(n, shard).is_empty());
        let (mut sum, mut changes) = (TreeSum::new(), TreeSum::new());
        let add_gradients = |mut left: GradientsOf<T>, right: GradientsOf<T>| {
            left.add(&right);
            left
        };
        let mut walk = None;
        for shard in self.shards.local().take_while(|&shard| last.is_some_and(|last| shard <= last)) {
            let samples = self.shards.samples(n, shard);
            if samples.is_empty() {
                sum.push(None, &add_gradients);
                changes.push(None, &added);
                continue;
            }
            let share = samples.len() as f64 / n as f64;
            before.begin(net, shard);
            // Weighted before the walk, not the gradients after it: what the walk sums over processes is weighted too.
            let loss = weighted(loss(shard, samples), share);
            changes.push(Some(before.changes(net, shard).unary(Unary::Mul(share))), &added);
            if Some(shard) == last {
                walk = Some(loss);
            } else {
                sum.push(Some(loss.backward()), &add_gradients);
            }
        }
        // The state is small, and there before the gradients: its sum is complete when theirs are.
        let changes = changes.total(&added);
        let changes =
            (before.numel() > 0).then(|| combine.start(communicator, &changes.unwrap_or_else(|| before.unchanged())));
        if let Some(loss) = &walk {
            reducer.last_shard(sum.into_partial());
            loss.backward_observed(&[], &mut reducer);
        }
        let gradients = reducer.finish(walk.is_some())?;
        if let Some(changes) = changes {
            before.finish(net, &combine.wait(changes)?);
        }
        Ok(gradients)
    }
}

fn weighted<T: Reducible>(loss: VarOf<T>, share: f64) -> VarOf<T> {
    if share == 1.0 { loss } else { share * loss }
}
