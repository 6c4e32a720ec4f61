//! Transfer: training that begins with the weights of another run, and changes a part of the net.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use chainrule::formats::{self, FormatError};
use chainrule::nn::{Item, LoadOptions, NnError, Visitor};
use chainrule::prelude::*;
use clap::Args;

use super::state;
use crate::failure::Failure;

/// Where the weights come from, and which are trained.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Transfer")]
pub struct TransferOptions {
    /// Begin with the weights in FILE, matched by name: a checkpoint, any safetensors file, PyTorch's .pt and .pth, or .npz. If it is for other classes, the last layer stays new. `none` for random weights
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Train only what is under these paths, such as layer4,fc, and freeze the rest. `all` freezes nothing
    #[arg(long, value_name = "PATHS", value_delimiter = ',')]
    train: Vec<String>,
    /// Outside of the paths of --train, batch normalization uses its saved statistics and does not change them, and dropout is off
    #[arg(long)]
    frozen_statistics: bool,
    /// Factors of the learning rate, such as layer3=0.01,layer4=0.1: for what is under a path
    #[arg(long, value_name = "PATH=FACTOR", value_delimiter = ',')]
    lr_factors: Vec<LrFactor>,
    /// Compute the output of the frozen layers once for each image, and keep it in this directory
    #[arg(long, value_name = "DIR", requires = "frozen_statistics")]
    pub cache_features: Option<PathBuf>,
}

/// The factor of the learning rate of the parameters under a path.
#[derive(Clone, Debug, PartialEq)]
pub struct LrFactor {
    path: String,
    factor: f64,
}

impl FromStr for LrFactor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(path, factor)| Some((path, factor.parse::<f64>().ok()?)));
        match parts {
            Some((path, factor)) if factor > 0.0 && factor.is_finite() && !path.is_empty() => {
                Ok(Self { path: path.to_owned(), factor })
            }
            _ => Err("expected a path and a positive number, such as layer4=0.1".into()),
        }
    }
}

/// Whether a parameter or a module is under a path: `fc.weight` is under `fc`, and `fc2.weight` is not.
pub fn is_under(name: &str, path: &str) -> bool {
    let path = path.trim_end_matches('.');
    name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl TransferOptions {
    /// Loads the weights, if a file is given, and says what was loaded. The last layer stays new if the file's has another
    /// shape, or if the file is a checkpoint of a run with other classes.
    ///
    /// # Errors
    /// If the file cannot be read, or more than the last layer of the net differs.
    pub fn load_weights(&self, net: &dyn Module, classes: &[String]) -> Result<(), Failure> {
        let Some(path) = self.weights.as_deref().filter(|path| *path != Path::new("none")) else { return Ok(()) };
        let another = |differences: &str| {
            Failure::Input(format!("the weights in {} are those of another net\n{differences}", path.display()))
        };
        let names = net.named_parameters();
        let last = names.last().map(|(name, _)| name.rsplit_once('.').map_or("", |(module, _)| module));
        let head = last.unwrap_or_default();
        let in_head = || names.iter().filter(|(name, _)| is_under(name, head));
        let new_head: Vec<Tensor> = in_head().map(|(_, parameter)| Tensor::clone(&parameter.value())).collect();
        let options = LoadOptions::new().strict(false);
        let report = formats::load_weights(net, path, &options).map_err(|error| match error {
            FormatError::Weights(NnError::OtherNet { differences, .. }) => another(&differences),
            other => Failure::Input(other.to_string()),
        })?;
        let only_head = report.mismatched.keys().all(|name| is_under(name, head));
        if !report.missing.is_empty() || !report.unexpected.is_empty() || !only_head {
            // After the first line, which says what was loaded.
            return Err(another(report.to_string().split_once('\n').map_or("", |(_, lines)| lines)));
        }
        // Five classes are not the same as five others, although the shapes are.
        let saved = Checkpoint::load(path).ok().and_then(|saved| state::classes(&saved.progress().settings));
        let other_classes = saved.is_some_and(|saved| saved != classes);
        let new = other_classes || !report.mismatched.is_empty();
        if new {
            // As a whole: a bias may fit where the weight does not.
            for ((_, parameter), value) in in_head().zip(&new_head) {
                parameter.set(value);
            }
        }
        let loaded = report.loaded.iter().filter(|name| !new || !is_under(name, head)).count();
        let stays = match (new, other_classes) {
            (false, _) => String::new(),
            (true, true) => format!("; {head} is for other classes, and stays new"),
            (true, false) => format!("; {head} has another shape, and stays new"),
        };
        println!("weights: {loaded} tensors from {}{stays}", path.display());
        for (format, names) in &report.converted {
            println!("  {} of them converted from {format}", names.len());
        }
        Ok(())
    }

    /// The part of the net that is trained; the rest is frozen.
    ///
    /// # Errors
    /// If the net has nothing under a path of `--train` or of `--lr-factors`, or statistics are to be frozen and nothing is.
    pub fn freeze(&self, net: &dyn Module) -> Result<Trained, Failure> {
        let paths = if self.train.iter().any(|path| path == "all") { Vec::new() } else { self.train.clone() };
        let names: Vec<String> = net.named_parameters().into_iter().map(|(name, _)| name).collect();
        let flags = paths.iter().map(|path| ("--train", path));
        for (flag, path) in flags.chain(self.lr_factors.iter().map(|LrFactor { path, .. }| ("--lr-factors", path))) {
            require_path(flag, path, &names)?;
        }
        if self.frozen_statistics && paths.is_empty() {
            return Err(Failure::Usage(
                "--frozen-statistics: nothing is frozen; name what is trained by --train".into(),
            ));
        }
        let trained = Trained { paths, frozen_statistics: self.frozen_statistics };
        for (name, parameter) in net.named_parameters() {
            // What a net freezes itself, such as the whitening of the fast net, stays frozen.
            if !trained.has(&name) {
                parameter.set_frozen(true);
            }
        }
        Ok(trained)
    }

    /// The factor of the learning rate of a parameter: that of the longest path that it is under.
    pub fn lr_factor(&self, name: &str) -> f64 {
        let factors = self.lr_factors.iter().filter(|LrFactor { path, .. }| is_under(name, path));
        factors.max_by_key(|LrFactor { path, .. }| path.len()).map_or(1.0, |LrFactor { factor, .. }| *factor)
    }
}

/// Checks that a net with parameters of these names has one under a path.
///
/// # Errors
/// If not; the text lists where its parameters are.
pub fn require_path(flag: &str, path: &str, names: &[String]) -> Result<(), Failure> {
    if names.iter().any(|name| is_under(name, path)) {
        return Ok(());
    }
    let mut modules: Vec<&str> =
        names.iter().map(|name| name.rsplit_once('.').map_or(name.as_str(), |(m, _)| m)).collect();
    modules.dedup();
    Err(Failure::Usage(format!("{flag} {path}: the net has no parameter there; it has them in {}", modules.join(", "))))
}

/// The part of a net that is trained.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Empty if that is all of it.
    paths: Vec<String>,
    frozen_statistics: bool,
}

impl Trained {
    /// Whether a parameter or a module is trained.
    pub fn has(&self, name: &str) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|path| is_under(name, path))
    }

    /// After the net was set to training: the modes of the layers that are not trained.
    pub fn set_modes(&self, net: &dyn Module) {
        if !self.frozen_statistics {
            return;
        }
        net.visit(&mut Visitor::new(&mut |path, item| {
            if let Item::Mode(mode) = item
                && !self.has(path)
            {
                mode.set(false);
            }
        }));
    }
}
