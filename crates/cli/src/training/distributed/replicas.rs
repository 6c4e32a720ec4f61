//! The steps of a run whose batches are computed in shards, by one process or by several.

use chainrule::data::{Batch, Loader};
use chainrule::prelude::*;
use chainrule_distributed::{Communicator, DataParallel};

use crate::failure::Failure;
use crate::training::accumulate::GradientSum;
use crate::training::recipe::Recipe;
use crate::training::state::Sums;

/// The replicas of the net, one in each process, and the results of their shards since they were last read.
pub struct Replicas {
    parallel: DataParallel,
    records: Vec<Record>,
    /// What was not finite.
    not_finite: Option<String>,
}

/// The results of a batch.
struct Record {
    batch: usize,
    /// For each shard of this process the mean loss and the number that was classified correctly, as scalars on the device;
    /// `None` if the shard is empty.
    shards: Vec<Option<[TensorOf<f64>; 2]>>,
}

impl Replicas {
    /// The replicas of a run.
    pub fn new(parallel: DataParallel) -> Self {
        Self { parallel, records: Vec::new(), not_finite: None }
    }

    /// The parts of the batches that this process computes.
    pub fn part(&self, train: Loader) -> Loader {
        train.part(self.communicator().rank(), self.communicator().size())
    }

    fn communicator(&self) -> &dyn Communicator {
        self.parallel.communicator()
    }

    /// The number of images of the largest shard of a batch.
    pub fn images_of_a_shard(&self, batch_size: usize) -> usize {
        batch_size.div_ceil(self.parallel.shards().count())
    }

    /// One step of training, or the part of it that a batch is; as [`step`](crate::training::step::step). `batch` has this
    /// process's part of it.
    pub fn step(
        &mut self,
        net: &dyn Module,
        batch: &Batch,
        recipe: &Recipe,
        optimizer: &mut dyn Optimizer,
        sum: &mut GradientSum,
    ) -> Result<(), Failure> {
        let accumulation = recipe.accumulation();
        let n = accumulation.images_of(batch.index);
        let shards = self.parallel.shards();
        let (first, start) = (shards.local().start, shards.samples(n, shards.local().start).start);
        let mut results = vec![None; shards.local().len()];
        let gradients = self.parallel.gradients(net, n, |shard, samples| {
            let own = samples.start - start..samples.end - start;
            let labels = batch.labels.narrow(0, own.clone());
            let targets = batch.targets.as_ref().map(|targets| targets.narrow(0, own.clone()));
            let images = batch.images.narrow(0, own);
            let (loss, logits) = recipe.loss_of(net, &images, &labels, targets.as_ref());
            results[shard - first] = Some([loss.value().to_f64(), logits.hits(&labels)]);
            loss
        })?;
        self.records.push(Record { batch: batch.index, shards: results });
        sum.add(gradients, accumulation.share(batch.index));
        if accumulation.ends(batch.index) {
            recipe.update(optimizer, sum.take());
        }
        Ok(())
    }

    /// Adds the results of all shards since the last call to the sums, in the order of batches and shards. Returns whether any
    /// process was asked to stop.
    pub fn read(&mut self, sums: &mut Sums, recipe: &Recipe, stop: bool) -> Result<bool, Failure> {
        let mut own = vec![f64::from(u8::from(stop))];
        for [loss, hits] in self.records.iter().flat_map(|record| &record.shards).flatten() {
            own.extend([loss.item(), hits.item()]);
        }
        let bytes: Vec<u8> = own.iter().flat_map(|x| x.to_le_bytes()).collect();
        let gathered = self.communicator().all_gather_bytes(&bytes)?;
        let number = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        let mut of_ranks: Vec<_> =
            gathered.iter().map(|bytes| bytes.chunks_exact(size_of::<f64>()).map(number)).collect();
        let stop = of_ranks.iter_mut().fold(false, |any, numbers| any | (numbers.next() != Some(0.0)));
        let (shards, accumulation) = (self.parallel.shards().count(), recipe.accumulation());
        let of_a_rank = shards / of_ranks.len();
        for Record { batch, .. } in self.records.drain(..) {
            let n = accumulation.images_of(batch);
            let mut mean = 0.0;
            for shard in 0..shards {
                let images = self.parallel.shards().samples(n, shard).len();
                if images == 0 {
                    continue;
                }
                let rank = shard / of_a_rank;
                let mut next = || of_ranks[rank].next().expect("a result of each shard that has images");
                let (loss, hits) = (next(), next());
                mean += loss * (images as f64 / n as f64);
                sums.correct += hits as u64;
                if !loss.is_finite() {
                    let what = || format!("batch {}: the loss of shard {shard}, of rank {rank}, is {loss}", batch + 1);
                    self.not_finite.get_or_insert_with(what);
                }
            }
            sums.loss += mean * accumulation.share(batch);
        }
        Ok(stop)
    }

    /// What was not finite.
    pub fn not_finite(&self) -> &str {
        self.not_finite.as_deref().unwrap_or("a weight is not finite after a step whose losses were")
    }
}
