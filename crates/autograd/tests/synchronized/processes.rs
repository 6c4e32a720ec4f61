//! Threads in place of processes that train together.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use chainrule_autograd::ReplicaGroup;
use chainrule_tensor::{Binary, Float, TensorOf};

/// One of several threads, with channels to and from each. If one panics, its channels close, and the others do too.
struct Process<T: Float> {
    to: Vec<Sender<TensorOf<T>>>,
    from: Mutex<Vec<Receiver<TensorOf<T>>>>,
    calls: Arc<AtomicUsize>,
}

impl<T: Float> ReplicaGroup<T> for Process<T> {
    fn size(&self) -> usize {
        self.to.len()
    }
    fn all_reduce(&self, x: &TensorOf<T>) -> TensorOf<T> {
        self.exchange(x).into_iter().reduce(|a, b| a.binary(Binary::Add, &b)).expect("at least one process")
    }
    fn all_gather(&self, x: &TensorOf<T>) -> TensorOf<T> {
        TensorOf::stack(&self.exchange(x).iter().collect::<Vec<_>>(), 0)
    }
}

impl<T: Float> Process<T> {
    fn exchange(&self, x: &TensorOf<T>) -> Vec<TensorOf<T>> {
        self.calls.fetch_add(1, Relaxed);
        for to in &self.to {
            to.send(x.clone()).expect("the other process runs");
        }
        let from = self.from.lock().expect("one call at a time");
        from.iter().map(|from| from.recv().expect("the other process makes the same calls")).collect()
    }
}

/// A process as `body` gets it: its rank, the group, and the number of the group's calls so far.
pub struct Rank<T: Float> {
    pub rank: usize,
    pub group: Arc<dyn ReplicaGroup<T>>,
    calls: Arc<AtomicUsize>,
}

impl<T: Float> Rank<T> {
    /// The number of collective calls since the last time this was asked.
    pub fn calls(&self) -> usize {
        self.calls.swap(0, Relaxed)
    }
}

/// Runs `body` as so many processes. Returns their results in the order of the ranks.
pub fn run<T: Float, R: Send>(size: usize, body: impl Fn(&Rank<T>) -> R + Sync) -> Vec<R> {
    let mut to: Vec<Vec<Sender<TensorOf<T>>>> = (0..size).map(|_| Vec::new()).collect();
    let mut ranks = Vec::new();
    for _ in 0..size {
        let mut from = Vec::new();
        for to in &mut to {
            let (sender, receiver) = channel();
            to.push(sender);
            from.push(receiver);
        }
        ranks.push(from);
    }
    let body = &body;
    std::thread::scope(|scope| {
        let threads: Vec<_> = to
            .into_iter()
            .zip(ranks)
            .enumerate()
            .map(|(rank, (to, from))| {
                scope.spawn(move || {
                    let calls = Arc::new(AtomicUsize::new(0));
                    let group = Arc::new(Process { to, from: Mutex::new(from), calls: calls.clone() });
                    body(&Rank { rank, group, calls })
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
    })
}
