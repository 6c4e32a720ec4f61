//! CUDA graph capture and replay of training steps.

use chainrule_autograd::VarOf;
use chainrule_tensor::cuda::{Graph, GraphMemory, Precision, precision};
use chainrule_tensor::{Device, Float, TensorOf};

use crate::module::{Item, Module, Visitor};
use crate::optim::Optimizer;

/// Eager steps before a capture: the first one allocates the optimizer state, the second all other memory of a step.
const WARM_UP: u32 = 2;
/// Failed captures before falling back to eager steps for good, for instance if a parameter always has a live alias.
const MAX_FAILURES: u32 = 3;

/// The arguments of a training step.
pub struct Step<'a, T: Float = f32> {
    /// The batch's inputs, such as images (N,C,H,W).
    pub inputs: &'a TensorOf<T>,
    /// The batch's labels.
    pub labels: &'a TensorOf<i32>,
    /// The optimizer.
    pub optimizer: &'a mut dyn Optimizer<T>,
    /// Running totals, such as of the loss, to which the step adds. They can be read between steps.
    pub totals: &'a mut [TensorOf<f64>],
}

/// Runs training steps. On the CPU it just calls the step. On a GPU it captures the third step of each batch shape as a
/// CUDA graph and replays the graph from then on: small nets spend most of their time launching kernels one by one, and a
/// replay launches all of them at once.
///
/// The step must do the same work each time, except for the batch, the learning rate and the step count. It performs one
/// optimizer step, downloads no value from the GPU, uploads none, and no other thread uses the GPU meanwhile. The net and
/// the optimizer change as if each step ran eagerly. If a parameter, buffer, optimizer state or total has a live alias, the
/// next step runs eagerly and another one is captured, so that the alias keeps its value.
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
    captures: Vec<Capture<T>>,
}

/// The captured step of one batch shape.
struct Capture<T: Float> {
    memory: GraphMemory,
    inputs: TensorOf<T>,
    labels: TensorOf<i32>,
    /// Eager steps so far.
    warm_up: u32,
    /// Failed captures since the last successful one.
    failures: u32,
    captured: Option<Captured>,
}

/// A captured step, and the conditions under which it is valid.
struct Captured {
    graph: Graph,
    /// The settings that determine what a step does: precision, frozen parameters, layers in training mode.
    settings: (Precision, Vec<bool>),
    addresses: Vec<u64>,
    counts: Vec<Count>,
    lr: f64,
}

/// A counter of the net, or the step count of a parameter: its value before the captured step, and its increment.
#[derive(Clone, Copy)]
struct Count {
    before: u64,
    increment: u64,
}

impl<'a, T: Float> Replay<'a, T> {
    /// For steps that train `net`, whose parameters are on `device`.
    pub fn new(net: &'a dyn Module<T>, device: Device) -> Self {
        Self { net, parameters: net.parameters(), device, captures: Vec::new() }
    }

    /// Runs a step, as a replay if possible.
    ///
    /// # Panics
    /// If the step panics, or if a step downloads values from the GPU while it is captured.
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
        let capture = self.capture(ordinal, inputs, labels);
        capture.inputs.copy_from(inputs);
        capture.labels.copy_from(labels);
        let batch = [capture.inputs.gpu_address(), capture.labels.gpu_address()];
        let parameters: Vec<&VarOf<T>> = parameters.iter().collect();
        let mut state = State { net, parameters: &parameters, batch, optimizer, totals };
        if let Some(captured) = &capture.captured {
            if let Some((steps, rate)) = captured.step_parameters(&mut state) {
                captured.graph.replay(steps, rate);
                return state.add_counts(&captured.counts);
            }
            (capture.captured, capture.warm_up) = (None, WARM_UP - 1);
        }
        let Capture { memory, inputs, labels, warm_up, failures, captured } = capture;
        if *warm_up < WARM_UP || *failures == MAX_FAILURES {
            *warm_up = WARM_UP.min(*warm_up + 1);
            return memory.run(|| step(Step { inputs, labels, optimizer: state.optimizer, totals: state.totals }));
        }
        let (addresses, before, lr) = (state.addresses(), state.counts(), state.optimizer.lr());
        let settings = state.settings();
        let (graph, ()) =
            memory.record(|| step(Step { inputs, labels, optimizer: state.optimizer, totals: state.totals }));
        let counts: Vec<Count> = before
            .iter()
            .zip(state.counts())
            .map(|(&before, after)| Count { before, increment: after - before })
            .collect();
        // If a tensor moved, a replay would use its old address.
        let unmoved = addresses.is_some() && state.addresses() == addresses;
        *failures += 1;
        if unmoved && counts.iter().all(|count| count.increment <= 1) {
            *failures = 0;
            *captured = addresses.map(|addresses| Captured { graph, settings, addresses, counts, lr });
        }
    }

    /// The capture for batches of this shape.
    fn capture(&mut self, ordinal: usize, inputs: &TensorOf<T>, labels: &TensorOf<i32>) -> &mut Capture<T> {
        let existing = self
            .captures
            .iter()
            .position(|capture| capture.inputs.shape() == inputs.shape() && capture.labels.shape() == labels.shape());
        let index = existing.unwrap_or_else(|| {
            let memory = GraphMemory::new(ordinal).unwrap_or_else(|error| panic!("{error}"));
            self.captures.push(Capture {
                memory,
                inputs: TensorOf::full_on(self.device, inputs.shape(), T::ZERO),
                labels: TensorOf::full_on(self.device, labels.shape(), 0),
                warm_up: 0,
                failures: 0,
                captured: None,
            });
            self.captures.len() - 1
        });
        &mut self.captures[index]
    }
}

impl Captured {
    /// The step parameters of the next step: the number of steps since the captured one, and the learning rate as a multiple
    /// of the captured one; `None` if the captured step is not valid for it.
    fn step_parameters<T: Float>(&self, state: &mut State<'_, T>) -> Option<(u64, f64)> {
        let steps = {
            let now = state.counts();
            let mut passed = self.counts.iter().zip(now).filter(|(count, _)| count.increment == 1);
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

/// Everything that a step changes.
struct State<'a, T: Float> {
    net: &'a dyn Module<T>,
    parameters: &'a [&'a VarOf<T>],
    /// The addresses of the batch.
    batch: [Option<u64>; 2],
    optimizer: &'a mut dyn Optimizer<T>,
    totals: &'a mut [TensorOf<f64>],
}

impl<T: Float> State<'_, T> {
    /// The GPU addresses of everything that a step changes; `None` if a tensor is aliased or not on the GPU.
    fn addresses(&mut self) -> Option<Vec<u64>> {
        let mut addresses = self.batch.to_vec();
        let mut exclusive = true;
        let mut visit = |x: &mut TensorOf<T>| {
            exclusive &= x.is_unshared();
            addresses.push(x.gpu_address());
        };
        VarOf::update_all(self.parameters, |values| values.into_iter().for_each(&mut visit));
        self.net.visit(&mut Visitor::new(&mut |_, item| {
            if let Item::Buffer(buffer) = item {
                buffer.update(&mut visit);
            }
        }));
        self.optimizer.visit_state(&mut visit);
        for total in self.totals.iter_mut() {
            exclusive &= total.is_unshared();
            addresses.push(total.gpu_address());
        }
        addresses.into_iter().collect::<Option<Vec<u64>>>().filter(|_| exclusive)
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

    /// All counters that steps increment: the net's counters, then the step counts of the parameters.
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

    /// Increments all counters after a replay.
    fn add_counts(&mut self, counts: &[Count]) {
        let mut counts = counts.iter();
        self.net.visit(&mut Visitor::new(&mut |_, item| {
            if let Item::Counter(counter) = item {
                counter.set(counter.get() + counts.next().map_or(0, |count| count.increment));
            }
        }));
        self.optimizer.count_step();
    }
}
