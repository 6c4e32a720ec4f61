//! The exponential moving average of a net's weights.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, SgdSlot, SgdStep, TensorOf, ranges};
use serde::{Deserialize, Serialize};

use crate::checkpoint::contents;
use crate::module::{Item, Module, Visitor};
use crate::snapshot::copy;

/// The exponential moving average (EMA) of all parameters and buffers of a net, which often classifies better than the last
/// weights do (Polyak, Juditsky: "Acceleration of stochastic approximation by averaging", 1992).
///
/// The first [`update`](Self::update) copies the weights; each later one computes `average += (1 − decay)·(weights −
/// average)`, as `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn(decay)` and `use_buffers=True`, or timm's
/// `ModelEmaV3`. Running statistics are buffers and so averaged too; counters, such as that of dropout, are not.
///
/// ```
/// use chainrule_autograd::Var;
/// use chainrule_nn::{Ema, Linear, Module, Optimizer, Sgd};
/// use chainrule_tensor::Rng;
///
/// let net: Linear = Linear::new(2, 1, &mut Rng::seed(0));
/// let mut sgd = Sgd::new(net.parameters(), 0.1);
/// let mut ema = Ema::new(&net, 0.9);
/// for _ in 0..3 {
///     sgd.step(&net.forward(&Var::constant([[1.0, 2.0]])).sum().backward());
///     ema.update(&net);
/// }
/// let last = net.weight.value().to_vec();
/// {
///     let _averaged = ema.averaged(&net);
///     assert_ne!(net.weight.value().to_vec(), last); // evaluate the average here
/// }
/// assert_eq!(net.weight.value().to_vec(), last);
/// ```
#[derive(Debug)]
pub struct Ema<T: Float = f32> {
    pub(crate) settings: Settings,
    /// The parameters, then the buffers, by path.
    pub(crate) average: Vec<(String, TensorOf<T>)>,
    /// What the kernel tells of new values; the optimizer has its own.
    non_finite: TensorOf<T>,
}

/// All of an average but its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) decay: f64,
    pub(crate) warm_up: bool,
    /// The number of updates.
    pub(crate) updates: u64,
}

impl Settings {
    /// The decay of the next update.
    fn next_decay(&self) -> f64 {
        let updates = self.updates as f64;
        if self.warm_up { self.decay.min((1.0 + updates) / (10.0 + updates)) } else { self.decay }
    }

    /// What differs from saved settings, apart from the number of updates, which is state.
    pub(crate) fn differences(&self, saved: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        if self.decay != saved.decay {
            differences.push(format!("decay: saved {}, this average has {}", saved.decay, self.decay));
        }
        if self.warm_up != saved.warm_up {
            let text = |warm_up| if warm_up { "with warm-up" } else { "without warm-up" };
            differences.push(format!("saved {}, this average is {}", text(saved.warm_up), text(self.warm_up)));
        }
        differences
    }
}

impl<T: Float> Ema<T> {
    /// An average that begins with the weights of `net`, on its device. The decay is the part of the average that an update
    /// keeps, such as 0.999: about the last 1 / (1 − decay) updates count.
    ///
    /// # Panics
    /// If `decay` is not in [0, 1).
    #[track_caller]
    pub fn new(net: &dyn Module<T>, decay: f64) -> Self {
        ranges::check("Ema", "decay", decay, ranges::BELOW_ONE);
        // In the memory format of the parameters, which the update then need not convert.
        let own = |(path, x): (String, TensorOf<T>)| (path, copy(&x).to_as_parameter(x.device()));
        let average: Vec<(String, TensorOf<T>)> = contents(net).0.into_iter().map(own).collect();
        let device = average.first().map_or_else(Default::default, |(_, x)| x.device());
        let non_finite = TensorOf::full_on(device, (), T::ZERO);
        Self { settings: Settings { decay, warm_up: false, updates: 0 }, average, non_finite }
    }

    /// Limits the decay of the update after t others to (1 + t)/(10 + t), so that the average soon forgets the first weights
    /// (`num_updates` of TensorFlow's `ExponentialMovingAverage`).
    #[must_use]
    pub fn warm_up(mut self) -> Self {
        self.settings.warm_up = true;
        self
    }

    /// The number of updates.
    pub fn updates(&self) -> u64 {
        self.settings.updates
    }

    /// Averages the weights of `net` in, in one pass; usually after each step of the optimizer. A GPU is not synchronized.
    ///
    /// Call it after [`Replay::run`](crate::Replay::run), not in its step: a replay would repeat the decay of the captured
    /// step.
    ///
    /// # Panics
    /// If it is another net, or on another device.
    #[track_caller]
    pub fn update(&mut self, net: &dyn Module<T>) {
        let weights = contents(net).0;
        self.check(&weights);
        let pairs = self.average.iter_mut().map(|(_, average)| average).zip(weights.iter().map(|(_, x)| x));
        if self.settings.updates == 0 {
            pairs.for_each(|(average, weights)| average.copy_from(weights));
        } else {
            // With the weights w as gradient, SGD's step is a −= lr·(w + weight_decay·a) = (1 − decay)·(a − w).
            let lr = self.settings.next_decay() - 1.0;
            let step = SgdStep { lr, momentum: 0.0, dampening: 0.0, nesterov: false, weight_decay: -1.0, first: false };
            let slot = |(parameter, gradient)| SgdSlot { parameter, gradient, momentum: None, step };
            TensorOf::sgd_step(pairs.map(slot).collect(), &mut self.non_finite);
        }
        self.settings.updates += 1;
    }

    /// Gives `net` the averaged weights until the result is dropped, which returns its own to the same bits. Both are written
    /// in place, so that captured steps stay valid.
    ///
    /// # Panics
    /// If it is another net, or on another device.
    #[must_use = "the net has the averaged weights only until this is dropped"]
    #[track_caller]
    pub fn averaged<'a>(&self, net: &'a dyn Module<T>) -> Averaged<'a, T> {
        let own = {
            // An alias that lived on would make `write` move what it writes.
            let weights = contents(net).0;
            self.check(&weights);
            weights.iter().map(|(_, x)| copy(x)).collect()
        };
        write(net, self.average.iter().map(|(_, average)| average));
        Averaged { net, own }
    }

    /// Gives `net` the averaged weights for good, such as to use it after training.
    ///
    /// # Panics
    /// If it is another net, or on another device.
    #[track_caller]
    pub fn copy_to(&self, net: &dyn Module<T>) {
        self.check(&contents(net).0);
        write(net, self.average.iter().map(|(_, average)| average));
    }

    #[track_caller]
    fn check(&self, weights: &[(String, TensorOf<T>)]) {
        let shape = |(path, x): &(String, TensorOf<T>)| (path.clone(), x.shape());
        assert!(
            weights.iter().map(shape).eq(self.average.iter().map(shape)),
            "Ema: it is of another net\n  rule: use the net that it was made for"
        );
        let other = weights.iter().zip(&self.average).find(|((_, x), (_, average))| x.device() != average.device());
        if let Some(((path, x), (_, average))) = other {
            panic!(
                "Ema: {path} is on {}, its average on {}\n  rule: make the Ema after Module::to",
                x.device(),
                average.device()
            );
        }
    }
}

/// A net with averaged weights; dropped, it gets its own again. The result of [`Ema::averaged`].
///
/// What a step of an optimizer changes meanwhile is lost.
pub struct Averaged<'a, T: Float> {
    net: &'a dyn Module<T>,
    own: Vec<TensorOf<T>>,
}

impl<T: Float> Drop for Averaged<'_, T> {
    fn drop(&mut self) {
        write(self.net, self.own.iter());
    }
}

/// Writes values, in the order of `contents`, into the parameters and buffers.
fn write<'a, T: Float>(net: &dyn Module<T>, mut values: impl Iterator<Item = &'a TensorOf<T>>) {
    let mut next = || values.next().expect("the net is the same");
    for parameter in net.parameters() {
        VarOf::update(&parameter, |x| x.copy_from(next()));
    }
    net.visit(&mut Visitor::new(&mut |_, item| {
        if let Item::Buffer(buffer) = item {
            buffer.update(|x| x.copy_from(next()));
        }
    }));
}
