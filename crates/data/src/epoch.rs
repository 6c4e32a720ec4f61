//! The batches of one epoch, made on demand or ahead by threads.
//!
//! Worker k of W makes batches k, k + W, k + 2W … into a channel of its own, and the iterator takes from the channels in
//! turn: the order is that of the batches, however fast each worker is.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

use crate::loader::{Batch, BatchMaker};
use crate::transform::Sample;

/// Finished batches that wait in each worker's channel: one to be taken, while the next is being made.
const AHEAD: usize = 1;

/// An iterator over the batches of an epoch. Dropping it early stops its threads.
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
    /// `None` only while this is being dropped.
    batches: Option<Receiver<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl Epoch {
    pub(crate) fn new(maker: BatchMaker, batches: Range<usize>, workers: usize) -> Self {
        let count = workers.min(batches.len());
        let spawn = |worker| Worker::spawn(maker.clone(), batches.clone().skip(worker).step_by(count));
        // A system without room for another thread gets its batches all the same, made on demand.
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
                // Nobody takes it: the epoch was dropped.
                if sender.send(maker.make(index, &mut sample)).is_err() {
                    return;
                }
            }
        };
        let thread = Builder::new().name("chainrule-loader".into()).spawn(work).ok()?;
        Some(Self { batches: Some(receiver), thread: Some(thread) })
    }

    /// The worker's next batch. If its thread panicked, so does this one, with the same payload.
    fn next(&mut self) -> Batch {
        if let Some(batch) = self.batches.as_ref().and_then(|batches| batches.recv().ok()) {
            return batch;
        }
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(payload)) => resume_unwind(payload),
            _ => unreachable!("a loader's thread ended before its last batch without a panic"),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The channel first: a thread that waits in `send` must hear that nobody takes the batch.
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            // A panic in a batch that nobody asked for concerns nobody, and panicking in drop would abort.
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

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.remaining.size_hint()
    }
}

impl ExactSizeIterator for Epoch {}
