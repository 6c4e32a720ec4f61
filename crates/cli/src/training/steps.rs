//! A checksum of the weights after each step, from which `chainrule diff` finds where two runs part.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use chainrule::prelude::*;
use serde::{Deserialize, Serialize};

use super::out::Lines;
use super::state::Sums;
use crate::failure::Failure;

/// The file in the directory of `--out`.
const FILE: &str = "steps.jsonl";

/// A line of the file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum Line {
    Start(Start),
    Step(StepSum),
}

/// How the run was started; the first line.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Start {
    /// The arguments after the program's name.
    pub arguments: Vec<String>,
    /// The directory in which relative paths were meant.
    pub directory: PathBuf,
    /// The environment variable `CHAINRULE_CPU`, which chooses vector instructions.
    pub cpu: Option<String>,
    /// Device and vector instructions.
    pub arithmetic: String,
}

/// What a step left. Two steps that are equal in it had the same bits, except with a chance of 2⁻³².
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct StepSum {
    /// Steps of the run, from 1.
    pub step: u64,
    pub epoch: u64,
    /// The batch of the epoch, from 1.
    pub batch: u64,
    /// The bits of the sum of the losses of the epoch so far.
    pub loss: u64,
    /// The CRC-32 of all parameters, in their order.
    pub weights: u32,
}

/// The file of a run that trains.
pub struct Steps(Lines);

impl Steps {
    /// Begins the file of a run, or goes on with that of the run that was saved at this progress.
    pub fn open(folder: &Path, arithmetic: String, at: &Progress) -> Result<Self, Failure> {
        let stays = |line: &Line| match line {
            Line::Start(_) => at.step > 0,
            Line::Step(sum) => sum.step <= at.step,
        };
        let (mut lines, kept) = Lines::open(folder.join(FILE), stays)?;
        if kept.is_empty() {
            lines.write(&Line::Start(Start {
                arguments: std::env::args().skip(1).collect(),
                directory: std::env::current_dir()?,
                cpu: std::env::var("CHAINRULE_CPU").ok(),
                arithmetic,
            }))?;
        }
        Ok(Self(lines))
    }

    /// Records the step after which the run has this progress and these sums.
    pub fn record(&mut self, net: &dyn Module, at: &Progress, sums: &Sums) -> Result<(), Failure> {
        let mut hasher = crc32fast::Hasher::new();
        for parameter in net.parameters() {
            bytes(&parameter.value(), |block| hasher.update(block));
        }
        let (step, epoch, batch, loss) = (at.step, at.epoch + 1, at.batch, sums.loss.to_bits());
        self.0.write(&Line::Step(StepSum { step, epoch, batch, loss, weights: hasher.finalize() }))
    }
}

/// Elements that are turned into bytes at once: a copy of all of them would not stay in the cache.
const BLOCK: usize = 4096;

/// Passes the elements in their logical order to `take`, little endian, block by block.
pub fn bytes(x: &Tensor, mut take: impl FnMut(&[u8])) {
    let elements = x.as_slice().map_or_else(|| x.to_vec().into(), Cow::Borrowed);
    let mut block = [[0; size_of::<f32>()]; BLOCK];
    for elements in elements.chunks(BLOCK) {
        let block = &mut block[..elements.len()];
        for (bytes, element) in block.iter_mut().zip(elements) {
            *bytes = element.to_le_bytes();
        }
        take(block.as_flattened());
    }
}

/// The start and the steps of the run with this `--out`.
///
/// # Errors
/// If the directory has no such file, or it is damaged.
pub fn read(folder: &Path) -> Result<(Start, Vec<StepSum>), Failure> {
    let path = folder.join(FILE);
    let wrong = |why: String| {
        Failure::Input(format!("{}: {why}; give the directory that a run on the CPU had as --out", path.display()))
    };
    let text = fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
    // The last line of a run that goes on may be half of one.
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let (mut start, mut steps) = (None, Vec::new());
    for (i, line) in whole.lines().enumerate() {
        match serde_json::from_str(line).map_err(|error| wrong(format!("line {}: {error}", i + 1)))? {
            Line::Start(line) => start = Some(line),
            Line::Step(sum) => steps.push(sum),
        }
    }
    Ok((start.ok_or_else(|| wrong("it does not say how the run was started".into()))?, steps))
}
