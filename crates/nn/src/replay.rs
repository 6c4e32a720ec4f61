//! Training steps that a GPU runs as one: recorded once, replayed from then on.

use chainrule_autograd::VarOf;
use chainrule_tensor::cuda::{Graph, GraphMemory, Precision, precision};
use chainrule_tensor::{Device, Float, TensorOf};

use crate::module::{Item, Module, Visitor};
use crate::optim::Optimizer;

/// Steps of a kind that run one by one before one is recorded: the first makes the optimizer's state, the second finds
/// all other memory that a step needs.
const WARM_UP: u32 = 2;
/// Recordings that may come to nothing, as where somebody always holds a parameter, before no more are made.
const MOST_FAILURES: u32 = 3;

/// What a step of training is given.
pub struct Step<'a, T: Float = f32> {
    /// The batch's inputs, such as images (N,C,H,W).
    pub inputs: &'a TensorOf<T>,
    /// Its labels.
    pub labels: &'a TensorOf<i32>,
    /// What changes the parameters.
    pub optimizer: &'a mut dyn Optimizer<T>,
    /// Sums over many steps, such as of losses: what the step adds to, to be read whenever somebody wants to.
    pub totals: &'a mut [TensorOf<f64>],
}

/// Runs training steps. On the processor that is all it does; on a GPU it records the third step for each shape of batch
/// as one CUDA graph and replays that for all further ones. Small nets spend most of their time starting kernels one by
/// one, a replay starts them all at once.
///
/// The step has to do the same each time, apart from the batch, the learning rate and the count of steps: it makes one step
/// of the optimizer, reads no number from the GPU, sends none there, and leaves the GPU to this thread. The net and the optimizer change as if each step had run by itself;
/// where somebody holds on to a parameter, a running statistic or a total, the next step runs by itself and another is
/// recorded, so that what is held stays as it was.
///
/// ```
/// use chainrule_autograd::Var;
/// use chainrule_nn::{Adam, Linear, Module, Optimizer, Replay};
/// use chainrule_tensor::{Device, Rng, Tensor, TensorOf};
///
/// let net = Linear::new(4, 3, &mut Rng::seed(0));
/// let mut optimizer = Adam::new(net.parameters(), 1e-3);
/// let mut totals = [TensorOf::<f64>::zeros(())];
/// let mut replay = Replay::new(&net, Device::Cpu);
/// for _ in 0..5 {
///     replay.run(&Tensor::ones([2, 4]), &[0, 2].into(), &mut optimizer, &mut totals, |step| {
///         let loss = net.forward(&Var::constant(step.inputs)).cross_entropy(step.labels);
///         step.optimizer.step(&loss.backward());
///         step.totals[0].add_assign(&loss.value().to_f64());
///     });
/// }
/// println!("mean loss {}", totals[0].item() / 5.0);
/// ```
pub struct Replay<'a, T: Float = f32> {
    net: &'a dyn Module<T>,
    parameters: Vec<VarOf<T>>,
    device: Device,
    kinds: Vec<Kind<T>>,
}

/// Steps of one shape of batch.
struct Kind<T: Float> {
    memory: GraphMemory,
    inputs: TensorOf<T>,
    labels: TensorOf<i32>,
    warm: u32,
    /// Recordings that came to nothing since the last that did not.
    failures: u32,
    recorded: Option<Recorded>,
}

/// A recorded step, and what was so when it was recorded.
struct Recorded {
    graph: Graph,
    /// What decides what a step does: the precision, which parameters are frozen, which layers are training.
    settings: (Precision, Vec<bool>),
    addresses: Vec<u64>,
    counts: Vec<Count>,
    lr: f64,
}

/// What a counter of the net or a parameter's count of steps was at the start of a step, and by how much the step raised it.
#[derive(Clone, Copy)]
struct Count {
    before: u64,
    by: u64,
}

impl<'a, T: Float> Replay<'a, T> {
    /// For steps that train a net on the device that it lies on.
    pub fn new(net: &'a dyn Module<T>, device: Device) -> Self {
        Self { net, parameters: net.parameters(), device, kinds: Vec::new() }
    }

    /// Runs a step, recorded where that is possible.
    ///
    /// # Panics
    /// If the step does, or if a step that is recorded reads from the GPU.
    #[track_caller]
    pub fn run(
        &mut self,
        inputs: &TensorOf<T>,
        labels: &TensorOf<i32>,
        optimizer: &mut dyn Optimizer<T>,
        totals: &mut [TensorOf<f64>],
        step: impl FnOnce(Step<'_, T>),
    ) {
        let Device::Cuda(ordinal) = self.device else {
            return step(Step { inputs, labels, optimizer, totals });
        };
        let net = self.net;
        let mut parameters = self.parameters.clone();
        for parameter in optimizer.parameters() {
            if parameters.iter().all(|known| known.id() != parameter.id()) {
                parameters.push(parameter);
            }
        }
        let kind = self.kind(ordinal, inputs, labels);
        kind.inputs.copy_from(inputs);
        kind.labels.copy_from(labels);
        let batch = [kind.inputs.gpu_address(), kind.labels.gpu_address()];
        let parameters: Vec<&VarOf<T>> = parameters.iter().collect();
        let mut state = State { net, parameters: &parameters, batch, optimizer, totals };
        if let Some(recorded) = &kind.recorded {
            if let Some((steps, rate)) = recorded.fits(&mut state) {
                recorded.graph.replay(steps, rate);
                return state.count(&recorded.counts);
            }
            (kind.recorded, kind.warm) = (None, WARM_UP - 1);
        }
        let Kind { memory, inputs, labels, warm, failures, recorded } = kind;
        if *warm < WARM_UP || *failures == MOST_FAILURES {
            *warm = WARM_UP.min(*warm + 1);
            return memory.run(|| step(Step { inputs, labels, optimizer: state.optimizer, totals: state.totals }));
        }
        let (addresses, before, lr) = (state.addresses(), state.counts(), state.optimizer.lr());
        let settings = state.settings();
        let (graph, ()) =
            memory.record(|| step(Step { inputs, labels, optimizer: state.optimizer, totals: state.totals }));
        // Recorded is not run.
        graph.replay(0, 1.0);
        let counts: Vec<Count> =
            before.iter().zip(state.counts()).map(|(&before, after)| Count { before, by: after - before }).collect();
        // If something moved, a replay would read what the first run left at its old place.
        let stays = addresses.is_some() && state.addresses() == addresses;
        *failures += 1;
        if stays && counts.iter().all(|count| count.by <= 1) {
            *failures = 0;
            *recorded = addresses.map(|addresses| Recorded { graph, settings, addresses, counts, lr });
        }
    }

    /// The kind of step for batches of this shape.
    fn kind(&mut self, ordinal: usize, inputs: &TensorOf<T>, labels: &TensorOf<i32>) -> &mut Kind<T> {
        let found = self
            .kinds
            .iter()
            .position(|kind| kind.inputs.shape() == inputs.shape() && kind.labels.shape() == labels.shape());
        let at = found.unwrap_or_else(|| {
            let memory = GraphMemory::new(ordinal).unwrap_or_else(|error| panic!("{error}"));
            self.kinds.push(Kind {
                memory,
                inputs: TensorOf::full_on(self.device, inputs.shape(), T::ZERO),
                labels: TensorOf::full_on(self.device, labels.shape(), 0),
                warm: 0,
                failures: 0,
                recorded: None,
            });
            self.kinds.len() - 1
        });
        &mut self.kinds[at]
    }
}

impl Recorded {
    /// How many steps after the recorded one the next is, and its learning rate as a multiple of the recorded one; `None`
    /// if the recorded step cannot stand for it.
    fn fits<T: Float>(&self, state: &mut State<'_, T>) -> Option<(u64, f64)> {
        let steps = {
            let now = state.counts();
            let mut passed = self.counts.iter().zip(now).filter(|(count, _)| count.by == 1);
            let since = |(count, now): (&Count, u64)| now.checked_sub(count.before);
            let first = passed.next().map_or(Some(0), since)?;
            passed.all(|pair| since(pair) == Some(first)).then_some(first)?
        };
        if state.settings() != self.settings {
            return None;
        }
        let lr = state.optimizer.lr();
        let rate = if lr == self.lr { 1.0 } else { lr / self.lr };
        (rate.is_finite() && state.addresses().as_ref() == Some(&self.addresses)).then_some((steps, rate))
    }
}

/// All that a step changes.
struct State<'a, T: Float> {
    net: &'a dyn Module<T>,
    parameters: &'a [&'a VarOf<T>],
    /// Where the batch is.
    batch: [Option<u64>; 2],
    optimizer: &'a mut dyn Optimizer<T>,
    totals: &'a mut [TensorOf<f64>],
}

impl<T: Float> State<'_, T> {
    /// Where everything lies on the GPU, if nobody else holds any of it and all of it lies there.
    fn addresses(&mut self) -> Option<Vec<u64>> {
        let mut addresses = self.batch.to_vec();
        let mut own = true;
        let mut see = |x: &mut TensorOf<T>| {
            own &= x.is_unshared();
            addresses.push(x.gpu_address());
        };
        VarOf::update_all(self.parameters, |values| values.into_iter().for_each(&mut see));
        self.net.visit(&mut Visitor::new(&mut |_, item| {
            if let Item::Buffer(buffer) = item {
                buffer.update(&mut see);
            }
        }));
        self.optimizer.visit_state(&mut see);
        for total in self.totals.iter_mut() {
            own &= total.is_unshared();
            addresses.push(total.gpu_address());
        }
        addresses.into_iter().collect::<Option<Vec<u64>>>().filter(|_| own)
    }

    fn settings(&self) -> (Precision, Vec<bool>) {
        let mut settings: Vec<bool> = self.parameters.iter().map(|parameter| parameter.requires_grad()).collect();
        self.net.visit(&mut Visitor::new(&mut |_, item| {
            if let Item::Mode(mode) = item {
                settings.push(mode.is_training());
            }
        }));
        (precision(), settings)
    }

    /// All counts that steps raise: the net's, then the parameters'.
    fn counts(&self) -> Vec<u64> {
        let mut counts = Vec::new();
        self.net.visit(&mut Visitor::new(&mut |_, item| {
            if let Item::Counter(counter) = item {
                counts.push(counter.get());
            }
        }));
        counts.extend(self.optimizer.steps());
        counts
    }

    /// Counts a replay of the step that raised the counts so.
    fn count(&mut self, counts: &[Count]) {
        let mut raised = counts.iter();
        self.net.visit(&mut Visitor::new(&mut |_, item| {
            if let Item::Counter(counter) = item {
                counter.set(counter.get() + raised.next().map_or(0, |count| count.by));
            }
        }));
        self.optimizer.count_step();
    }
}
