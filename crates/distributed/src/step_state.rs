//! What a forward pass changes in a net besides its parameters: running statistics, and counters of random draws.

use chainrule_nn::{Item, Module, Visitor};
use chainrule_tensor::{Binary, Device, Float, TensorOf};

/// The numbers of a counter that belong to one shard: the draws of each shard are those that so many steps would make, so
/// that no two shards of a step have the same random numbers.
const DRAWS_OF_A_SHARD: u64 = 1 << 20;

/// The buffers and counters of a net before a step. Each shard of the step starts from them, and the step changes them by the
/// mean of what its shards change.
pub(crate) struct StepState<T: Float> {
    buffers: Vec<TensorOf<T>>,
    counters: Vec<u64>,
    device: Device,
}

impl<T: Float> StepState<T> {
    pub(crate) fn of(net: &dyn Module<T>) -> Self {
        let (mut buffers, mut counters) = (Vec::new(), Vec::new());
        net.visit(&mut Visitor::new(&mut |_, item| match item {
            Item::Buffer(buffer) => buffers.push(buffer.get()),
            Item::Counter(counter) => counters.push(counter.get()),
            _ => {}
        }));
        let device = net.parameters().first().map_or(Device::Cpu, |parameter| parameter.value().device());
        Self { buffers, counters, device }
    }

    /// Returns the net to this state, for the forward pass of a shard.
    pub(crate) fn begin(&self, net: &dyn Module<T>, shard: usize) {
        self.restore(net, |count| count + shard as u64 * DRAWS_OF_A_SHARD);
    }

    fn restore(&self, net: &dyn Module<T>, count: impl Fn(u64) -> u64) {
        let (mut buffers, mut counters) = (self.buffers.iter(), self.counters.iter());
        net.visit(&mut Visitor::new(&mut |_, item| match item {
            Item::Buffer(buffer) => buffer.set(buffers.next().expect("the net is the same").clone()),
            Item::Counter(counter) => counter.set(count(*counters.next().expect("the net is the same"))),
            _ => {}
        }));
    }

    /// What the forward pass of a shard has changed (n): differences of the buffers, increments of the counters.
    pub(crate) fn changes(&self, net: &dyn Module<T>, shard: usize) -> TensorOf<T> {
        let (mut changes, mut increments) = (Vec::new(), Vec::new());
        let (mut buffers, mut counters) = (self.buffers.iter(), self.counters.iter());
        net.visit(&mut Visitor::new(&mut |_, item| match item {
            Item::Buffer(buffer) => {
                let before = buffers.next().expect("the net is the same");
                let change = buffer.get().binary(Binary::Sub, before);
                changes.push(change.reshape(change.numel()));
            }
            Item::Counter(counter) => {
                let before = counters.next().expect("the net is the same") + shard as u64 * DRAWS_OF_A_SHARD;
                increments.push(T::from_f64((counter.get() - before) as f64));
            }
            _ => {}
        }));
        changes.push(TensorOf::from_slice(&increments, increments.len()).to(self.device));
        TensorOf::concat(&changes.iter().collect::<Vec<_>>(), 0)
    }

    /// The number of [`changes`](Self::changes).
    pub(crate) fn numel(&self) -> usize {
        self.buffers.iter().map(TensorOf::numel).sum::<usize>() + self.counters.len()
    }

    /// No changes.
    pub(crate) fn unchanged(&self) -> TensorOf<T> {
        TensorOf::full_on(self.device, self.numel(), T::ZERO)
    }

    /// Sets the net to this state with the changes of a step.
    pub(crate) fn finish(&self, net: &dyn Module<T>, changes: &TensorOf<T>) {
        let mut start = 0;
        let mut next = |numel: usize| {
            start += numel;
            changes.narrow(0, start - numel..start)
        };
        let changed = |buffer: &TensorOf<T>| buffer.binary(Binary::Add, &next(buffer.numel()).reshape(buffer.shape()));
        let buffers: Vec<TensorOf<T>> = self.buffers.iter().map(changed).collect();
        let increments: Vec<u64> =
            next(self.counters.len()).to_vec().into_iter().map(|change| change.to_f64().round() as u64).collect();
        let counters = self.counters.iter().zip(increments).map(|(before, increment)| before + increment).collect();
        Self { buffers, counters, device: self.device }.restore(net, |count| count);
    }
}
