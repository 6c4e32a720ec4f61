//! What a run shows while it runs.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::epoch_result::EpochResult;
use crate::failure::Failure;

/// The progress of an epoch.
#[derive(Clone, Copy, Debug)]
pub struct EpochProgress {
    /// The number of the epoch, from 1.
    pub epoch: u32,
    pub epochs: u32,
    /// The steps of the epoch.
    pub steps: u64,
    /// Steps that are done.
    pub done: u64,
    /// Steps that were done before this run resumed.
    pub first: u64,
    /// The mean loss of the steps that are done.
    pub loss: f64,
    /// Images since the start of the epoch or of this run.
    pub images: u64,
    pub started: Instant,
}

impl EpochProgress {
    /// Images per second.
    pub fn rate(&self) -> f64 {
        self.images as f64 / self.started.elapsed().as_secs_f64()
    }

    /// The time until the end of the epoch, in seconds.
    pub fn seconds_left(&self) -> f64 {
        self.started.elapsed().as_secs_f64() / (self.done - self.first).max(1) as f64 * (self.steps - self.done) as f64
    }
}

/// Shows a run.
pub trait Display {
    /// Shows a line that stays.
    fn line(&mut self, text: &str);

    /// Shows that some more steps of an epoch are done; 0 at its start.
    fn step(&mut self, progress: &EpochProgress);

    /// Shows the results of an epoch.
    fn epoch(&mut self, result: &EpochResult);

    /// Ends the display, so that others can print.
    fn close(&mut self);
}

/// A progress bar on a terminal, four lines per epoch otherwise; results on stdout.
#[derive(Default)]
pub struct Plain {
    bar: Option<ProgressBar>,
}

impl Display for Plain {
    fn line(&mut self, text: &str) {
        self.close();
        println!("{text}");
    }

    fn step(&mut self, progress: &EpochProgress) {
        let EpochProgress { epoch, epochs, steps, done, first, loss, .. } = *progress;
        let label = format!("epoch {epoch}/{epochs}");
        if std::io::stderr().is_terminal() {
            let bar = self.bar.get_or_insert_with(|| {
                let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len}  {msg}, {eta} left")
                    .expect("the template is a valid one");
                ProgressBar::new(steps).with_style(style).with_prefix(label).with_position(first)
            });
            bar.set_message(format!("loss {loss:.4}, {:.0} images/s", progress.rate()));
            bar.set_position(done);
        } else if done > first && done < steps && done.is_multiple_of((steps / 4).max(1)) {
            let (rate, left) = (progress.rate(), progress.seconds_left());
            eprintln!("{label} {done}/{steps}  loss {loss:.4}, {rate:.0} images/s, {left:.0} s left");
        }
    }

    fn epoch(&mut self, result: &EpochResult) {
        self.line(&result.line());
    }

    fn close(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Shows nothing: another process shows the run.
pub struct Nothing;

impl Display for Nothing {
    fn line(&mut self, _text: &str) {}
    fn step(&mut self, _progress: &EpochProgress) {}
    fn epoch(&mut self, _result: &EpochResult) {}
    fn close(&mut self) {}
}

/// What shows the run.
pub fn open(tui: bool) -> Result<Box<dyn Display>, Failure> {
    if !tui || !std::io::stdout().is_terminal() {
        return Ok(Box::new(Plain::default()));
    }
    #[cfg(feature = "tui")]
    return Ok(Box::new(super::dashboard::Dashboard::open()?));
    #[cfg(not(feature = "tui"))]
    Err(Failure::Usage(
        "--tui: this program was built without it; from the source: cargo run --release --features tui -- …".into(),
    ))
}
