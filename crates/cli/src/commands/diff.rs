//! Finds where two runs part.
//!
//! A run with `--out` on the CPU leaves `steps.jsonl`: how it was started, and after each step a checksum of all weights and the
//! bits of the loss. The first line in which two such files differ is the step at which the runs part; no step is computed for
//! that. To find the operation, both runs are started again as child processes, with their own flags, directory and
//! `CHAINRULE_CPU`, from the last checkpoint in their directory that is before this step, else from the beginning, and write
//! nothing there. Each takes the steps before it as the run did. At the step it writes a stream of tensors: images, labels and
//! weights, then the output of each operation, unfused, then each gradient, then the new weights. Both streams are read side
//! by side, so that only two tensors are in memory. The first operation with other bits ends the search; inputs that
//! differ before it are named. If all operations agree, the update is what differs. As `diff`, the program exits with 1 if
//! there is a difference.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use chainrule::prelude::*;
use clap::Args;

use crate::failure::Failure;
use crate::training::step_trace::{Head, Phase, Stream};
use crate::training::steps::{self, Start, StepSum};

/// Finds the first step, and in it the first operation, at which two runs part
#[derive(Args)]
pub struct Arguments {
    /// The directory of --out of a run
    run_a: PathBuf,
    /// That of another run
    run_b: PathBuf,
}

pub fn run(Arguments { run_a, run_b }: &Arguments) -> Result<(), Failure> {
    let folders = [run_a, run_b];
    let [(start_a, steps_a), (start_b, steps_b)] = [steps::read(run_a)?, steps::read(run_b)?];
    for (name, start) in [("A", &start_a), ("B", &start_b)] {
        println!("{name}: chainrule {}, on {}", start.arguments.join(" "), start.arithmetic);
    }
    let Some((a, b)) = steps_a.iter().zip(&steps_b).find(|(a, b)| a != b) else {
        let (a, b) = (steps_a.len(), steps_b.len());
        println!("they agree in all {} steps that both have, to the bit", a.min(b));
        if a != b {
            println!("A has {a} steps, B has {b}");
        }
        return Ok(());
    };
    if a.step != b.step {
        return Err(Failure::Input(format!(
            "the records of {} lack a step: one run has step {} where the other has step {}",
            run_a.display(),
            a.step,
            b.step
        )));
    }
    println!("\nthey agree before step {} (epoch {}, batch {}), and part there", a.step, a.epoch, a.batch);
    if (a.epoch, a.batch) != (b.epoch, b.batch) {
        println!("B has it as epoch {}, batch {}", b.epoch, b.batch);
    }
    say_what_differs(a, b);
    let mut children =
        [Traced::start(folders[0], &start_a, a.step, "A")?, Traced::start(folders[1], &start_b, b.step, "B")?];
    let [one, other] = &mut children;
    compare(one, other)?;
    Err(Failure::Found)
}

fn say_what_differs(a: &StepSum, b: &StepSum) {
    let what = match (a.loss == b.loss, a.weights == b.weights) {
        (true, _) => "the same loss, then other weights",
        (false, true) => "another loss, and the same weights",
        (false, false) => "another loss and other weights",
    };
    println!("  {what}");
}

/// A run that is run again up to a step.
struct Traced {
    name: &'static str,
    child: Child,
    stream: Stream<BufReader<ChildStdout>>,
    errors: Option<JoinHandle<String>>,
}

impl Traced {
    fn start(folder: &Path, start: &Start, step: u64, name: &'static str) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments(&start.arguments)).arg(format!("--trace-step={step}")).current_dir(&start.directory);
        if let Some((path, at)) = checkpoint_before(folder, step) {
            eprintln!("{name}: going on after step {at} from {}", path.display());
            command.arg("--resume").arg(std::path::absolute(path)?);
        }
        match &start.cpu {
            Some(level) => command.env("CHAINRULE_CPU", level),
            None => command.env_remove("CHAINRULE_CPU"),
        };
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut stderr = child.stderr.take().expect("it is piped");
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let stdout = child.stdout.take().expect("it is piped");
        let Some(stream) = Stream::open(BufReader::new(stdout))? else {
            let status = child.wait()?;
            let errors = errors.join().unwrap_or_default();
            return Err(Failure::Run(format!(
                "run {name} could not be run again up to step {step} ({status})\n  {}",
                errors.trim_end().replace('\n', "\n  ")
            )));
        };
        Ok(Self { name, child, stream, errors: Some(errors) })
    }

    fn next(&mut self) -> Result<Option<(Head, Vec<f32>)>, Failure> {
        self.stream
            .next()
            .map_err(|error| Failure::Run(format!("run {} ended in the middle of the step: {error}", self.name)))
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // It may still be writing.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(errors) = self.errors.take() {
            let _ = errors.join();
        }
    }
}

/// Flags of a run that are left out when it is run again, and whether a value follows: it must write nothing.
const LEFT_OUT: [(&str, bool); 8] = [
    ("--out", true),
    ("--save", true),
    ("--save-best", true),
    ("--save-every", true),
    ("--keep", true),
    ("--resume", true),
    ("--json", true),
    ("--tui", false),
];

fn arguments(all: &[String]) -> Vec<&String> {
    let mut rest = all.iter();
    let mut kept = Vec::new();
    while let Some(argument) = rest.next() {
        let (flag, has_value) = argument.split_once('=').map_or((&**argument, false), |(flag, _)| (flag, true));
        match LEFT_OUT.iter().find(|(name, _)| *name == flag) {
            None => kept.push(argument),
            Some((_, true)) if !has_value => _ = rest.next(),
            Some(_) => {}
        }
    }
    kept
}

/// The checkpoint with the most steps that are before `step`, and their number.
fn checkpoint_before(folder: &Path, step: u64) -> Option<(PathBuf, u64)> {
    let files = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let checkpoints = files.filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    let with_steps = checkpoints.filter_map(|path| {
        let at = Checkpoint::load(&path).ok()?.progress().step;
        (at < step).then_some((path, at))
    });
    with_steps.max_by_key(|(_, at)| *at)
}

/// Prints the first operation of the step that has other bits, and the inputs that differ before it.
fn compare(a: &mut Traced, b: &mut Traced) -> Result<(), Failure> {
    let mut updated = Vec::new();
    loop {
        let ((head, x), (other, y)) = match (a.next()?, b.next()?) {
            (Some(a), Some(b)) => (a, b),
            (None, None) => break,
            (one, _) => {
                println!("  the step of {} has more operations", if one.is_some() { "A" } else { "B" });
                return Ok(());
            }
        };
        if (&head.what, &head.shape) != (&other.what, &other.shape) {
            println!("  A has {} {:?} where B has {} {:?}", head.what, head.shape, other.what, other.shape);
            return Ok(());
        }
        let Some(difference) = difference(&x, &y) else { continue };
        match head.phase {
            Phase::Before => println!("  {} before the step: {difference}", head.what),
            Phase::Forward | Phase::Backward => {
                println!("first operation with other bits: {} {:?}\n  {difference}", head.what, head.shape);
                return Ok(());
            }
            Phase::After => updated.push(format!("  {} after the step: {difference}", head.what)),
        }
    }
    if updated.is_empty() {
        println!(
            "run again, the runs agree at this step: they were not the same programs, or a machine does not compute reliably"
        );
    } else {
        println!(
            "all operations and gradients agree: the update differs (learning rate, optimizer, weight decay, clipping)"
        );
        println!("{}", updated.join("\n"));
    }
    Ok(())
}

/// The elements with other bits in a few numbers; `None` if there are none.
fn difference(x: &[f32], y: &[f32]) -> Option<String> {
    let differs = |&(_, (x, y)): &(usize, (&f32, &f32))| x.to_bits() != y.to_bits();
    let pairs = || x.iter().zip(y).enumerate().filter(differs);
    let (at, (first, second)) = pairs().next()?;
    let distance = |x: f32, y: f32| (f64::from(x) - f64::from(y)).abs();
    let largest = pairs().map(|(_, (&x, &y))| distance(x, y)).fold(0.0, f64::max);
    let relative = pairs().map(|(_, (&x, &y))| distance(x, y) / f64::from(x.abs().max(y.abs())));
    let relative = relative.filter(|ratio| ratio.is_finite()).fold(0.0, f64::max);
    let count = pairs().count();
    Some(format!(
        "{count} of {} elements differ, by up to {largest:.1e}, relative {relative:.1e}; the first is element {at}: {first:e} and {second:e}",
        x.len()
    ))
}
