//! How a step is taken: its loss, its learning rate, and the limit of its gradients.

use chainrule::prelude::*;
use clap::{Args, ValueEnum};

use super::options::Options;
use crate::failure::Failure;
use crate::numbers::{not_negative, positive, share};

/// The options of a step.
#[derive(Args, Clone, Debug)]
pub struct RecipeOptions {
    /// Learning rate over the run: the same; a tenth after each third; down to 0 along a cosine; or up to --lr in 30 % of the steps, then down
    #[arg(long, value_enum, default_value_t = ScheduleKind::Constant)]
    schedule: ScheduleKind,
    /// Steps over which the learning rate first rises to that of the schedule's start
    #[arg(long, value_name = "STEPS", default_value_t = 0)]
    warm_up: u64,
    /// Weight decay [default: 0, for adamw 0.01]
    #[arg(long, value_parser = not_negative, allow_negative_numbers = true)]
    weight_decay: Option<f64>,
    /// Label smoothing: the part of the target that is spread evenly over all classes
    #[arg(long, default_value_t = 0.0, value_parser = share, allow_negative_numbers = true)]
    label_smoothing: f64,
    /// Largest norm of all gradients of a step together; larger gradients are scaled down to it
    #[arg(long, value_name = "NORM", value_parser = positive, allow_negative_numbers = true)]
    clip_norm: Option<f64>,
}

/// The course of the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScheduleKind {
    Constant,
    Step,
    Cosine,
    OneCycle,
}

impl RecipeOptions {
    /// The weight decay, if it is given.
    pub fn weight_decay(&self) -> Option<f64> {
        self.weight_decay
    }

    /// The flags that a resumed run must share with the saved one, and their values.
    pub fn settings(&self, epochs: u32) -> Vec<(&'static str, String)> {
        let or = |x: Option<f64>, default: &str| x.map_or(default.to_owned(), |x| x.to_string());
        let mut settings = vec![
            ("--schedule", self.schedule.to_possible_value().expect("none is hidden").get_name().to_owned()),
            ("--warm-up", self.warm_up.to_string()),
            ("--weight-decay", or(self.weight_decay, "default of the optimizer")),
            ("--label-smoothing", self.label_smoothing.to_string()),
            ("--clip-norm", or(self.clip_norm, "none")),
        ];
        // The other schedules depend on the length of the run.
        if self.schedule != ScheduleKind::Constant {
            settings.push(("--epochs", epochs.to_string()));
        }
        settings
    }
}

/// The steps of a run.
pub struct Recipe {
    schedule: Schedule,
    loss: CrossEntropy<f32>,
    clip_norm: Option<f64>,
}

impl Recipe {
    /// The recipe of a run whose epochs have `batches` batches.
    ///
    /// # Errors
    /// If the run is shorter than its warm-up.
    pub fn new(options: &Options, batches: usize) -> Result<Self, Failure> {
        let RecipeOptions { schedule, warm_up, label_smoothing, clip_norm, .. } = options.recipe;
        let (lr, steps) = (options.lr, u64::from(options.epochs) * batches as u64);
        if warm_up > steps {
            return Err(Failure::Usage(format!(
                "--warm-up {warm_up}: the run has only {steps} steps; use a shorter warm-up or more --epochs"
            )));
        }
        let rest = (steps - warm_up).max(2);
        let schedule = match schedule {
            ScheduleKind::Constant => Schedule::constant(lr),
            ScheduleKind::Step => Schedule::step(lr, rest.div_ceil(3), 0.1),
            ScheduleKind::Cosine => Schedule::cosine(lr, 0.0, rest),
            ScheduleKind::OneCycle => Schedule::one_cycle(lr, rest),
        };
        let loss = CrossEntropy { label_smoothing, ..CrossEntropy::default() };
        Ok(Self { schedule: schedule.with_warm_up(warm_up), loss, clip_norm })
    }

    /// Sets the learning rate of a step, counted from 0.
    pub fn set_lr(&self, optimizer: &mut dyn Optimizer, step: u64) {
        optimizer.set_lr(self.schedule.lr(step));
    }

    /// The mean loss of a batch, and its logits.
    pub fn loss(&self, net: &dyn Module, images: &Tensor, labels: &TensorOf<i32>) -> (Var, Var) {
        let logits = net.forward(&Var::constant(images));
        (logits.cross_entropy_with(labels, &self.loss), logits)
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
