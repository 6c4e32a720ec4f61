//! The batches of one epoch, prepared on demand or prefetched by worker threads.
//!
//! Worker k of W prepares batches k, k + W, k + 2W … and sends them to its own channel; the iterator reads the channels
//! round-robin, so batches arrive in order whatever the speed of the workers.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

use crate::loader::{Batch, BatchMaker, Loader};
use crate::transform::Sample;

/// The capacity of a worker's channel: one finished batch, while the worker prepares the next.
const AHEAD: usize = 1;

/// An iterator over the batches of an epoch. Dropping it stops its threads.
#[derive(Debug)]
pub struct Epoch {
    maker: BatchMaker,
    remaining: Range<usize>,
    first: usize,
    sample: Sample,
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    /// `None` only during drop.
    batches: Option<Receiver<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// The batches of an epoch.
    pub fn epoch(&self, epoch: u32) -> Epoch {
        self.epoch_from(epoch, 0)
    }

    /// The batches of an epoch from `first_batch` on, to resume a run.
    ///
    /// # Panics
    /// If `first_batch` exceeds the number of batches.
    #[track_caller]
    pub fn epoch_from(&self, epoch: u32, first_batch: usize) -> Epoch {
        let batches = self.batches();
        assert!(
            first_batch <= batches,
            "Loader: epoch {epoch} has {batches} batches, cannot start at batch {first_batch}"
        );
        Epoch::new(BatchMaker::new(self.clone(), epoch), first_batch..batches, self.workers())
    }
}

impl Epoch {
    fn new(maker: BatchMaker, batches: Range<usize>, workers: usize) -> Self {
        let count = workers.min(batches.len());
        let spawn = |worker| Worker::spawn(maker.clone(), batches.clone().skip(worker).step_by(count));
        // If the system cannot start a thread, batches are prepared on demand.
        let workers = (0..count).map(spawn).collect::<Option<Vec<_>>>().unwrap_or_default();
        Self { maker, first: batches.start, remaining: batches, sample: Sample::default(), workers }
    }
}

impl Worker {
    fn spawn(maker: BatchMaker, indices: impl Iterator<Item = usize> + Send + 'static) -> Option<Self> {
        let (sender, receiver) = sync_channel(AHEAD);
        let work = move || {
            let mut sample = Sample::default();
            for index in indices {
                // The receiver is gone: the epoch was dropped.
                if sender.send(maker.make(index, &mut sample)).is_err() {
                    return;
                }
            }
        };
        let thread = Builder::new().name("chainrule-loader".into()).spawn(work).ok()?;
        Some(Self { batches: Some(receiver), thread: Some(thread) })
    }

    /// The worker's next batch. Propagates a panic of its thread.
    fn next(&mut self) -> Batch {
        if let Some(batch) = self.batches.as_ref().and_then(|batches| batches.recv().ok()) {
            return batch;
        }
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(payload)) => resume_unwind(payload),
            _ => unreachable!("a loader thread ended before its last batch without a panic"),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Close the channel first, so that a thread blocked in `send` returns.
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            // Ignore panics in batches that were not consumed; a panic in drop could abort the program.
            let _ = thread.join();
        }
    }
}

impl Iterator for Epoch {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let index = self.remaining.next()?;
        let count = self.workers.len();
        Some(match count {
            0 => self.maker.make(index, &mut self.sample),
            _ => self.workers[(index - self.first) % count].next(),
        })
    }

    /// Batches that are prepared on demand are not prepared if they are skipped.
    fn nth(&mut self, n: usize) -> Option<Batch> {
        let skipped = n.min(self.remaining.len());
        if self.workers.is_empty() {
            self.remaining.start += skipped;
        } else {
            self.by_ref().take(skipped).for_each(drop);
        }
        self.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.remaining.size_hint()
    }
}

impl ExactSizeIterator for Epoch {}
