//! How a step is taken: its loss, its learning rate, which parameters it changes, and the limit of its gradients.

use std::str::FromStr;

use chainrule::data::{Batch, Loader};
use chainrule::nn::Ema;
use chainrule::prelude::*;
use clap::{Args, ValueEnum};

use super::accumulate::{Accumulation, GradientSum};
use super::objective::{LossKind, Objective};
use super::options::Options;
use super::transfer::{Trained, is_under, require_path};
use crate::failure::Failure;
use crate::numbers::{positive, share};

/// The options of a step.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Recipe")]
pub struct RecipeOptions {
    /// The loss
    #[arg(long, value_enum, default_value_t = LossKind::CrossEntropy)]
    pub loss: LossKind,
    /// Learning rate over the run
    #[arg(long, value_enum, default_value_t = ScheduleKind::Constant)]
    schedule: ScheduleKind,
    /// Power of `--schedule polynomial` [default: 1]
    #[arg(long, value_name = "P", value_parser = positive, allow_negative_numbers = true)]
    power: Option<f64>,
    /// Epochs without a lower loss that `--schedule plateau` waits [default: 2]
    #[arg(long, value_name = "N")]
    patience: Option<u64>,
    /// Steps over which the learning rate first rises to that of the schedule's start
    #[arg(long, value_name = "STEPS", default_value_t = 0)]
    warm_up: u64,
    /// Label smoothing: the part of the target that is spread evenly over all classes
    #[arg(long, default_value_t = 0.0, value_parser = share, allow_negative_numbers = true)]
    label_smoothing: f64,
    /// Largest norm of all gradients of a step together; larger gradients are scaled down to it
    #[arg(long, value_name = "NORM", value_parser = positive, allow_negative_numbers = true)]
    clip_norm: Option<f64>,
    /// Test and save the exponential moving average of the weights, which keeps this part of itself at each step, such as 0.999
    #[arg(long, value_name = "DECAY", value_parser = decay)]
    ema: Option<f64>,
    /// Do not train the parameters under PATH; with :N, only train them in the first N epochs
    #[arg(long, value_name = "PATH[:N]")]
    freeze: Option<Freeze>,
}

fn decay(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(decay) if (0.0..1.0).contains(&decay) => Ok(decay),
        _ => Err("expected a number of at least 0 and less than 1, such as 0.999".into()),
    }
}

impl RecipeOptions {
    /// Whether the weights are averaged.
    pub fn has_average(&self) -> bool {
        self.ema.is_some()
    }

    /// The average of the weights of a net, if one is asked for. Its decay is lower in the first steps.
    pub fn ema(&self, net: &dyn Module) -> Option<Ema> {
        self.ema.map(|decay| Ema::new(net, decay).warm_up())
    }

    /// Checks that a flag is given only with a schedule that has it.
    pub fn check(&self) -> Result<(), Failure> {
        for (flag, given, schedule, name) in [
            ("--power", self.power.is_some(), ScheduleKind::Polynomial, "polynomial"),
            ("--patience", self.patience.is_some(), ScheduleKind::Plateau, "plateau"),
        ] {
            if given && self.schedule != schedule {
                return Err(Failure::Usage(format!("{flag} is a setting of `--schedule {name}`")));
            }
        }
        Ok(())
    }

    /// The loss for a number of classes.
    pub fn objective(&self, classes: usize) -> Result<Objective, Failure> {
        Objective::new(self.loss, classes, self.label_smoothing)
    }
}

/// The course of the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScheduleKind {
    /// The same
    Constant,
    /// A tenth after each third of the steps
    Step,
    /// Down to 0 along a cosine
    Cosine,
    /// Up to --lr along a cosine in 30 % of the steps, then down
    OneCycle,
    /// Along straight lines from 0.2 to 1 times --lr in 23 % of the steps, then down to 0.07
    Triangle,
    /// Down to a hundredth, by the same factor at each step
    Exponential,
    /// Down to 0 along a line, or with --power P along (1 − share of the steps)^P
    Polynomial,
    /// A tenth whenever the loss, on the --validation images or without them on the test images, has not fallen for more than --patience epochs
    Plateau,
}

/// Parameters that are frozen after some epochs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Freeze {
    path: String,
    trained_epochs: u64,
}

impl FromStr for Freeze {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, trained_epochs) = match text.split_once(':') {
            None => (text, 0),
            Some((path, epochs)) => {
                (path, epochs.parse().map_err(|_| "expected a number of epochs after the colon, such as conv1:3")?)
            }
        };
        Ok(Self { path: path.to_owned(), trained_epochs })
    }
}

/// The steps of a run.
pub struct Recipe {
    schedule: Schedule,
    warm_up: u64,
    plateau: Option<ReduceLrOnPlateau>,
    objective: Objective,
    clip_norm: Option<f64>,
    freeze: Option<Freeze>,
    trained: Trained,
    accumulation: Accumulation,
}

impl Recipe {
    /// The recipe of a run whose epochs are those of `train`.
    ///
    /// # Errors
    /// If the run is shorter than its warm-up, or the net has no parameter that is to be frozen or trained.
    pub fn new(options: &Options, objective: Objective, net: &dyn Module, train: &Loader) -> Result<Self, Failure> {
        let RecipeOptions { schedule: kind, power, patience, warm_up, clip_norm, freeze, .. } = options.recipe.clone();
        let accumulation = Accumulation::new(options.accumulate.map_or(1, |batches| batches as usize), train);
        let (lr, steps) = (options.optimizer.lr, u64::from(options.epochs) * accumulation.steps());
        if warm_up > steps {
            return Err(Failure::Usage(format!(
                "--warm-up {warm_up}: the run has only {steps} steps; use a shorter warm-up or more --epochs"
            )));
        }
        if let Some(Freeze { path, .. }) = &freeze {
            let names: Vec<String> = net.named_parameters().into_iter().map(|(name, _)| name).collect();
            require_path("--freeze", path, &names)?;
        }
        let rest = (steps - warm_up).max(2);
        let schedule = match kind {
            ScheduleKind::Constant | ScheduleKind::Plateau => Schedule::constant(lr),
            ScheduleKind::Step => Schedule::step(lr, rest.div_ceil(3), 0.1),
            ScheduleKind::Cosine => Schedule::cosine(lr, 0.0, rest),
            ScheduleKind::OneCycle => Schedule::one_cycle(lr, rest),
            ScheduleKind::Triangle => Schedule::triangle(lr, rest, 0.2, 0.23, 0.07),
            ScheduleKind::Exponential => Schedule::exponential(lr, 0.01f64.powf(1.0 / rest as f64)),
            ScheduleKind::Polynomial => Schedule::polynomial(lr, rest, power.unwrap_or(1.0)),
        };
        let plateau =
            (kind == ScheduleKind::Plateau).then(|| ReduceLrOnPlateau::new(lr).patience(patience.unwrap_or(2)));
        let trained = options.transfer.freeze(net)?;
        let schedule = schedule.with_warm_up(warm_up);
        Ok(Self { schedule, warm_up, plateau, objective, clip_norm, freeze, trained, accumulation })
    }

    /// The loss that training minimizes.
    pub fn objective(&self) -> &Objective {
        &self.objective
    }

    /// How batches form steps.
    pub fn accumulation(&self) -> Accumulation {
        self.accumulation
    }

    /// The part of the net that is trained.
    pub fn trained(&self) -> &Trained {
        &self.trained
    }

    /// Sets the net to training, without what is not trained if its statistics are frozen.
    pub fn set_training(&self, net: &dyn Module) {
        net.train();
        self.trained.set_modes(net);
    }

    /// Sets the net to training, and freezes what this epoch, counted from 0, does not train.
    pub fn start_epoch(&self, net: &dyn Module, epoch: u64) {
        self.set_training(net);
        let Some(Freeze { path, trained_epochs }) = &self.freeze else { return };
        for (name, parameter) in net.named_parameters() {
            if is_under(&name, path) && epoch >= *trained_epochs {
                parameter.set_frozen(true);
            }
        }
    }

    /// The learning rate at the start of a run, if it follows the results.
    pub fn plateau(&self) -> Option<ReduceLrOnPlateau> {
        self.plateau.clone()
    }

    /// Sets the learning rate of a step, counted from 0; `plateau` is that of the run at this step.
    pub fn set_lr(&self, optimizer: &mut dyn Optimizer, step: u64, plateau: Option<&ReduceLrOnPlateau>) {
        let reached = plateau.filter(|_| step >= self.warm_up);
        optimizer.set_lr(reached.map_or_else(|| self.schedule.lr(step), ReduceLrOnPlateau::lr));
    }

    /// The mean loss of a batch, and its logits.
    pub fn loss(&self, net: &dyn Module, batch: &Batch) -> (Var, Var) {
        self.loss_of(net, &batch.images, &batch.labels, batch.targets.as_ref())
    }

    /// The mean loss of images, and their logits. `targets` are those of mixed images.
    pub fn loss_of(
        &self,
        net: &dyn Module,
        images: &Tensor,
        labels: &TensorOf<i32>,
        targets: Option<&Tensor>,
    ) -> (Var, Var) {
        let logits = self.objective.logits(net, images);
        (self.objective.loss(&logits, labels, targets), logits)
    }

    /// The mean loss of the batches of a step, and its gradients.
    pub fn gradients(&self, net: &dyn Module, batches: &[Batch]) -> (f64, Gradients) {
        let (mut mean, mut sum) = (0.0, GradientSum::default());
        for batch in batches {
            let share = self.accumulation.share(batch.index);
            let (loss, _) = self.loss(net, batch);
            sum.add(loss.backward(), share);
            mean += f64::from(loss.item()) * share;
        }
        (mean, sum.take())
    }

    /// Updates the parameters.
    pub fn update(&self, optimizer: &mut dyn Optimizer, mut gradients: Gradients) {
        if let Some(limit) = self.clip_norm {
            // A norm that is not finite changes nothing; the optimizer notices.
            let _ = gradients.clip_norm(limit);
        }
        optimizer.step(&gradients);
    }
}
