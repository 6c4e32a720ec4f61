//! Learning-rate schedules: pure functions of the step, so only the step has to be saved. One that depends on results is
//! in `plateau.rs`.

use chainrule_tensor::ranges;
use serde::{Deserialize, Serialize};

/// A learning rate as a function of the step or epoch, whichever the program counts.
///
/// ```
/// use chainrule_nn::Schedule;
/// let schedule = Schedule::cosine(0.1, 0.0, 100).with_warm_up(10);
/// assert!((schedule.lr(0) - 0.01).abs() < 1e-12);
/// assert!((schedule.lr(9) - 0.1).abs() < 1e-12);
/// assert!(schedule.lr(110) < 1e-12);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Schedule {
    curve: Curve,
    warm_up: u64,
}

/// A schedule from a file, which may have any numbers.
#[derive(Deserialize)]
struct Unchecked {
    curve: Curve,
    warm_up: u64,
}

impl TryFrom<Unchecked> for Schedule {
    type Error = String;

    fn try_from(Unchecked { curve, warm_up }: Unchecked) -> Result<Self, String> {
        curve.checked()?;
        Ok(Self { curve, warm_up })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Curve {
    Constant { lr: f64 },
    Step { lr: f64, size: u64, gamma: f64 },
    Cosine { lr: f64, end: f64, steps: u64 },
    OneCycle { peak: f64, steps: u64, rising: f64, start_divisor: f64, end_divisor: f64 },
    Triangle { peak: f64, steps: u64, start: f64, rising: f64, end: f64 },
    Exponential { lr: f64, gamma: f64 },
    Polynomial { lr: f64, steps: u64, power: f64 },
    Linear { start: f64, end: f64, steps: u64 },
    Table { lr: Vec<f64> },
    Chained { schedules: Vec<Schedule> },
    Sequential { schedules: Vec<Schedule>, milestones: Vec<u64> },
}

impl Schedule {
    #[track_caller]
    fn new(curve: Curve) -> Self {
        if let Err(text) = curve.checked() {
            panic!("{text}");
        }
        Self { curve, warm_up: 0 }
    }

    /// A constant learning rate.
    ///
    /// # Panics
    /// If it is negative, infinite or NaN.
    #[track_caller]
    pub fn constant(lr: f64) -> Self {
        Self::new(Curve::Constant { lr })
    }

    /// Multiplied by `gamma` every `size` steps (`torch.optim.lr_scheduler.StepLR`).
    ///
    /// # Panics
    /// If the size is 0, or the rate or `gamma` is negative, infinite or NaN.
    #[track_caller]
    pub fn step(lr: f64, size: u64, gamma: f64) -> Self {
        Self::new(Curve::Step { lr, size, gamma })
    }

    /// Cosine annealing from `lr` to `end` over `steps` steps, then constant
    /// (Loshchilov, Hutter: "SGDR: stochastic gradient descent with warm restarts", 2017; without the restarts).
    ///
    /// # Panics
    /// If `steps` is 0, or a rate is negative, infinite or NaN.
    #[track_caller]
    pub fn cosine(lr: f64, end: f64, steps: u64) -> Self {
        Self::new(Curve::Cosine { lr, end, steps })
    }

    /// Rises from `peak`/25 to `peak` over the first 30 % of the steps, then falls to `peak`/250000, both along cosines
    /// (Smith, Topin: "Super-convergence", 2018; `torch.optim.lr_scheduler.OneCycleLR`).
    ///
    /// # Panics
    /// If `steps` is less than 2, or the rate is negative, infinite or NaN.
    #[track_caller]
    pub fn one_cycle(peak: f64, steps: u64) -> Self {
        Self::new(Curve::OneCycle { peak, steps, rising: 0.3, start_divisor: 25.0, end_divisor: 1e4 })
    }

    /// A triangle: along a line from `start`·`peak` to `peak` over the share `rising` of the steps, then along a line to
    /// `end`·`peak` at the end of the last step, and constant from there on. Step t is at the share t/`steps`, as in the
    /// published fast recipes for CIFAR-10, whose numbers are `start` 0.2, `rising` 0.23 and `end` 0.07.
    ///
    /// # Panics
    /// If `steps` is 0, `rising` is not a share, or another number is negative, infinite or NaN.
    #[track_caller]
    pub fn triangle(peak: f64, steps: u64, start: f64, rising: f64, end: f64) -> Self {
        Self::new(Curve::Triangle { peak, steps, start, rising, end })
    }

    /// Multiplied by `gamma` every step (`torch.optim.lr_scheduler.ExponentialLR`): `lr · gammaᵗ`.
    ///
    /// # Panics
    /// If the rate or `gamma` is negative, infinite or NaN.
    #[track_caller]
    pub fn exponential(lr: f64, gamma: f64) -> Self {
        Self::new(Curve::Exponential { lr, gamma })
    }

    /// `lr · (1 − t/steps)^power`, then its value at `steps` (`torch.optim.lr_scheduler.PolynomialLR`, whose default power is 1: a line).
    ///
    /// # Panics
    /// If `steps` is 0, or the rate or the power is negative, infinite or NaN.
    #[track_caller]
    pub fn polynomial(lr: f64, steps: u64, power: f64) -> Self {
        Self::new(Curve::Polynomial { lr, steps, power })
    }

    /// Along a line from `start` to `end` over `steps` steps, then constant (`torch.optim.lr_scheduler.LinearLR`, whose factors
    /// are these rates divided by the base rate).
    ///
    /// # Panics
    /// If `steps` is 0, or a rate is negative, infinite or NaN.
    #[track_caller]
    pub fn linear(start: f64, end: f64, steps: u64) -> Self {
        Self::new(Curve::Linear { start, end, steps })
    }

    /// Any function of the step, then the rate of the last step (`torch.optim.lr_scheduler.LambdaLR`, whose function gives
    /// factors of the base rate). It is computed for all `steps` at once and saved as these numbers: a resumed run needs no
    /// function.
    ///
    /// ```
    /// use chainrule_nn::Schedule;
    /// let schedule = Schedule::from_fn(1000, |t| 0.1 / (1.0 + t as f64).sqrt());
    /// assert_eq!(schedule.lr(3), 0.05);
    /// ```
    ///
    /// # Panics
    /// If `steps` is 0, or a rate is negative, infinite or NaN.
    #[track_caller]
    pub fn from_fn(steps: u64, lr: impl Fn(u64) -> f64) -> Self {
        Self::new(Curve::Table { lr: (0..steps).map(lr).collect() })
    }

    /// The product of the rates of schedules, all but one of which have rates around 1, as factors
    /// (`torch.optim.lr_scheduler.ChainedScheduler`).
    ///
    /// ```
    /// use chainrule_nn::Schedule;
    /// let schedule = Schedule::chained(vec![Schedule::exponential(0.1, 0.5), Schedule::linear(0.25, 1.0, 3)]);
    /// assert_eq!([0, 1, 3].map(|t| schedule.lr(t)), [0.025, 0.025, 0.0125]);
    /// ```
    ///
    /// # Panics
    /// If there are no schedules.
    #[track_caller]
    pub fn chained(schedules: Vec<Self>) -> Self {
        Self::new(Curve::Chained { schedules })
    }

    /// One schedule after the other (`torch.optim.lr_scheduler.SequentialLR`): from step `milestones[i]` on, schedule i + 1
    /// counts its steps from there.
    ///
    /// # Panics
    /// If there are no schedules, not one milestone less than these, or the milestones do not increase.
    #[track_caller]
    pub fn sequential(schedules: Vec<Self>, milestones: Vec<u64>) -> Self {
        Self::new(Curve::Sequential { schedules, milestones })
    }

    /// Adds a linear warm-up of `steps` steps: step t has (t + 1)/steps of the schedule's first rate.
    #[must_use]
    pub fn with_warm_up(self, steps: u64) -> Self {
        Self { warm_up: steps, ..self }
    }

    /// The learning rate at a step, starting from 0.
    pub fn lr(&self, step: u64) -> f64 {
        if step < self.warm_up {
            return self.curve.lr(0) * (step + 1) as f64 / self.warm_up as f64;
        }
        self.curve.lr(step - self.warm_up)
    }
}

/// A count as an exponent. That of 2³¹ decays is no negative one.
fn exponent(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Interpolates from `from` to `to` along half a cosine; `progress` goes from 0 to 1.
fn half_cosine(from: f64, to: f64, progress: f64) -> f64 {
    to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

impl Curve {
    /// An error if a number is outside its range.
    fn checked(&self) -> Result<(), String> {
        let rate = |name: &str, x: f64| ranges::checked("schedule", name, x, ranges::NOT_NEGATIVE);
        let count = |name: &str, n: u64, least: u64| {
            if n >= least { Ok(()) } else { Err(format!("schedule: {name} is {n}\n  rule: {name} ≥ {least}")) }
        };
        match *self {
            Self::Constant { lr } => rate("lr", lr),
            Self::Step { lr, size, gamma } => rate("lr", lr).and(count("size", size, 1)).and(rate("gamma", gamma)),
            Self::Cosine { lr, end, steps } => rate("lr", lr).and(rate("end", end)).and(count("steps", steps, 1)),
            Self::OneCycle { peak, steps, rising, start_divisor, end_divisor } => rate("peak", peak)
                .and(count("steps", steps, 2))
                .and(ranges::checked("schedule", "rising", rising, ranges::SHARE))
                .and(ranges::checked("schedule", "start_divisor", start_divisor, ranges::POSITIVE))
                .and(ranges::checked("schedule", "end_divisor", end_divisor, ranges::POSITIVE)),
            Self::Triangle { peak, steps, start, rising, end } => rate("peak", peak)
                .and(count("steps", steps, 1))
                .and(rate("start", start))
                .and(ranges::checked("schedule", "rising", rising, ranges::SHARE))
                .and(rate("end", end)),
            Self::Exponential { lr, gamma } => rate("lr", lr).and(rate("gamma", gamma)),
            Self::Polynomial { lr, steps, power } => {
                rate("lr", lr).and(count("steps", steps, 1)).and(rate("power", power))
            }
            Self::Linear { start, end, steps } => {
                rate("start", start).and(rate("end", end)).and(count("steps", steps, 1))
            }
            Self::Table { ref lr } => lr
                .iter()
                .enumerate()
                .try_for_each(|(t, &lr)| rate(&format!("lr of step {t}"), lr))
                .and(count("steps", lr.len() as u64, 1)),
            Self::Chained { ref schedules } => count("number of schedules", schedules.len() as u64, 1),
            Self::Sequential { ref schedules, ref milestones } => {
                if schedules.len() == milestones.len() + 1 && milestones.is_sorted_by(|a, b| a < b) {
                    return Ok(());
                }
                Err(format!(
                    "schedule: {} in sequence, with the milestones {milestones:?}\n  rule: one milestone less, increasing",
                    schedules.len()
                ))
            }
        }
    }

    fn lr(&self, step: u64) -> f64 {
        match *self {
            Self::Constant { lr } => lr,
            Self::Step { lr, size, gamma } => lr * gamma.powi(exponent(step / size)),
            Self::Cosine { lr, end, steps } => half_cosine(lr, end, step.min(steps) as f64 / steps as f64),
            Self::OneCycle { peak, steps, rising, start_divisor, end_divisor } => {
                let (start, last) = (peak / start_divisor, (steps - 1) as f64);
                let (step, top) = ((step as f64).min(last), rising * steps as f64 - 1.0);
                // With `step <= top`, a top of 0 would be 0/0; with `step < top` alone, one of the last step would be.
                if step < top || top >= last {
                    half_cosine(start, peak, step / top)
                } else {
                    half_cosine(peak, start / end_divisor, (step - top) / (last - top))
                }
            }
            Self::Triangle { peak, steps, start, rising, end } => {
                let share = step.min(steps) as f64 / steps as f64;
                // A line with one end only, if `rising` is 0 or 1, would be 0/0 there.
                peak * if share < rising || rising == 1.0 {
                    start + (1.0 - start) * share / rising
                } else {
                    1.0 + (end - 1.0) * (share - rising) / (1.0 - rising)
                }
            }
            Self::Exponential { lr, gamma } => lr * gamma.powi(exponent(step)),
            Self::Polynomial { lr, steps, power } => lr * (1.0 - step.min(steps) as f64 / steps as f64).powf(power),
            Self::Linear { start, end, steps } => start + (end - start) * (step.min(steps) as f64 / steps as f64),
            Self::Table { ref lr } => lr[usize::try_from(step).unwrap_or(usize::MAX).min(lr.len() - 1)],
            Self::Chained { ref schedules } => schedules.iter().map(|schedule| schedule.lr(step)).product(),
            Self::Sequential { ref schedules, ref milestones } => {
                let at = milestones.partition_point(|&milestone| milestone <= step);
                let start = if at == 0 { 0 } else { milestones[at - 1] };
                schedules[at].lr(step - start)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file can have any share of rising steps.
    #[test]
    fn one_cycle_is_finite_and_reaches_its_peak_for_every_share() {
        for steps in 2..=9 {
            for rising in [0.0, 0.25, 0.3, 0.5, 1.0 / steps as f64, 1.0] {
                let curve = Curve::OneCycle { peak: 0.1, steps, rising, start_divisor: 25.0, end_divisor: 1e4 };
                curve.checked().unwrap();
                for step in 0..steps + 2 {
                    let lr = curve.lr(step);
                    assert!(lr > 0.0 && lr <= 0.1 * (1.0 + 1e-12), "step {step} of {steps}, rising {rising}: {lr}");
                }
            }
        }
        let lrs = |rising| {
            let curve = Curve::OneCycle { peak: 0.1, steps: 2, rising, start_divisor: 25.0, end_divisor: 1e4 };
            [0, 1].map(|step| curve.lr(step))
        };
        let near = |found: [f64; 2], expected: [f64; 2]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15);
        assert!(near(lrs(0.5), [0.1, 4e-7]), "{:?}", lrs(0.5));
        assert!(near(lrs(1.0), [4e-3, 0.1]), "{:?}", lrs(1.0));
    }

    #[test]
    fn a_triangle_may_only_rise_or_only_fall() {
        let lrs = |rising| {
            let schedule = Schedule::triangle(2.0, 4, 0.5, rising, 0.25);
            [0, 1, 2, 3, 4, 5].map(|step| schedule.lr(step))
        };
        assert_eq!(lrs(0.0), [2.0, 1.625, 1.25, 0.875, 0.5, 0.5]);
        assert_eq!(lrs(1.0), [1.0, 1.25, 1.5, 1.75, 2.0, 2.0]);
        assert_eq!(lrs(0.5), [1.0, 1.5, 2.0, 1.25, 0.5, 0.5]);
    }
}
