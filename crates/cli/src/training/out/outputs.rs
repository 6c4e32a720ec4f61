//! Statistics of the outputs of a net's operations.

use std::collections::HashMap;

use chainrule::prelude::*;

use super::records::OutputProbe;

/// Elements that the mean, the deviation and the histogram are computed from.
const SAMPLE: usize = 1 << 13;
const BINS: usize = 24;
/// Operations that only move elements.
const VIEWS: [&str; 5] = ["reshape", "permute", "transpose", "slice", "broadcast_to"];
/// The share of the largest slope below which a sigmoid or tanh is saturated, as in `chainrule explain`.
const SATURATED: f32 = 0.1;

/// The statistics of the outputs that it has seen.
#[derive(Default)]
pub struct Outputs {
    names: Names,
    /// By the ids of the variables, which increase.
    rows: Vec<(u64, OutputProbe)>,
}

impl Outputs {
    /// Takes the statistics of an operation's output, if it has one for each image.
    pub fn see(&mut self, var: &Var) {
        if let Some(name) = self.names.of(var) {
            let op = var.operation().map_or("", |op| op.rule().name());
            self.rows.push((var.id(), statistics(name, op, &var.value())));
        }
    }

    /// The statistics, without those of the loss.
    pub fn until(self, logits: &Var) -> Vec<OutputProbe> {
        self.rows.into_iter().take_while(|(id, _)| *id <= logits.id()).map(|(_, row)| row).collect()
    }
}

/// The names of operations: the path of the layer, or of the last layer before and what is done to its output.
#[derive(Default)]
pub struct Names {
    layer: String,
    /// How often each name was given; from the second time on it is numbered.
    uses: HashMap<String, usize>,
}

impl Names {
    /// The name of an operation, unless it is none of those that are shown.
    pub fn of(&mut self, var: &Var) -> Option<String> {
        let op = var.operation()?;
        let kind = op.rule().name();
        if VIEWS.contains(&kind) || var.shape().rank() < 2 {
            return None;
        }
        let name = match op.layer() {
            Some(layer) => {
                self.layer.clone_from(&layer);
                layer
            }
            None => format!("{} · {}", self.layer, short(kind)).trim_start_matches(" · ").to_owned(),
        };
        let uses = self.uses.entry(name.clone()).and_modify(|uses| *uses += 1).or_insert(1);
        Some(if *uses == 1 { name } else { format!("{name} {uses}") })
    }
}

/// What the operation is called in a chart.
fn short(kind: &str) -> &str {
    match kind {
        "max_pool2d" => "pool",
        "adaptive_avg_pool2d" | "avg_pool2d" => "mean",
        other => other,
    }
}

/// The statistics of (N,C,…): a unit is an index of the second axis.
fn statistics(name: String, op: &str, x: &Tensor) -> OutputProbe {
    let shape: Vec<usize> = x.shape().iter().copied().collect();
    let values = x.to_vec();
    // Odd, so that the sample meets all columns and channels, whose numbers are mostly powers of two.
    let stride = (values.len() / SAMPLE) | 1;
    let sample: Vec<f32> = values.iter().copied().step_by(stride).collect();
    let n = sample.len().max(1) as f64;
    let mean = sample.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let std = (sample.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n).sqrt();
    let share = |test: &dyn Fn(f32) -> bool| sample.iter().filter(|&&x| test(x)).count() as f32 / n as f32;
    let (least, most) =
        sample.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
    let [low, high] = [(mean - 4.0 * std).max(f64::from(least)) as f32, (mean + 4.0 * std).min(f64::from(most)) as f32];
    let saturated = match op {
        // σ′ = σ(1 − σ), at most 1/4; tanh′ = 1 − tanh².
        "sigmoid" => Some(share(&|y| 4.0 * y * (1.0 - y) < SATURATED)),
        "tanh" => Some(share(&|y| 1.0 - y * y < SATURATED)),
        _ => None,
    };
    OutputProbe {
        name,
        mean: mean as f32,
        std: std as f32,
        zeros: share(&|x| x == 0.0),
        dead: (op == "relu").then(|| dead(&values, &shape)),
        saturated,
        low,
        high,
        counts: histogram(&sample, low, high),
    }
}

fn histogram(sample: &[f32], low: f32, high: f32) -> Vec<u32> {
    let mut counts = vec![0; BINS];
    let width = (high - low) / BINS as f32;
    if !width.is_finite() {
        return counts;
    }
    for &x in sample {
        // Casting saturates: below 0 and NaN is bin 0.
        let bin = if width > 0.0 { ((x - low) / width) as usize } else { 0 };
        counts[bin.min(BINS - 1)] += 1;
    }
    counts
}

/// The share of units that are 0 in all images.
fn dead(values: &[f32], shape: &[usize]) -> f32 {
    let (units, size) = (shape[1], shape[2..].iter().product::<usize>());
    let mut alive = vec![false; units];
    for image in values.chunks_exact((units * size).max(1)) {
        for (alive, unit) in alive.iter_mut().zip(image.chunks_exact(size.max(1))) {
            *alive = *alive || unit.iter().any(|&x| x != 0.0);
        }
    }
    alive.iter().filter(|&&alive| !alive).count() as f32 / units.max(1) as f32
}
