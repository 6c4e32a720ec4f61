//! Checkpoints: everything that a run needs to resume with the same bits.
//!
//! A checkpoint is one safetensors file. Parameters and buffers are `model.<path>`, optimizer state is
//! `optimizer.<path>.<name>`, averages `average.<path>`; counters, progress and settings are JSON in the header's metadata.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, TensorOf};
use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::atomic_file;
use crate::ema::{self, Ema};
use crate::error::NnError;
use crate::module::{Item, Module, Visitor};
use crate::optim::{GroupSettings, Optimizer, StateTensors};
use crate::plateau::ReduceLrOnPlateau;
use crate::safetensors_file;
use crate::schedule::Schedule;
use crate::weights::{AVERAGE, HEADER, MODEL, Plan, StoredTensor, StoredTensors, read_tensors, set_counters};

/// The progress of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The run's seed.
    pub seed: u64,
    /// Completed epochs.
    pub epoch: u64,
    /// Completed batches of the current epoch.
    pub batch: u64,
    /// Completed steps in total.
    pub step: u64,
    /// The learning-rate schedule, if any.
    pub schedule: Option<Schedule>,
    /// The learning rate that follows the results, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plateau: Option<ReduceLrOnPlateau>,
    /// The program's own settings.
    pub settings: BTreeMap<String, String>,
}

/// The contents of the header's metadata.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Header {
    progress: Progress,
    optimizer: String,
    groups: Vec<GroupSettings>,
    /// The names of the optimizer's parameters, and the number of steps of each.
    parameters: Vec<String>,
    steps: Vec<u64>,
    counters: BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    average: Option<ema::Settings>,
}

/// The prefix of the names of optimizer state.
const OPTIMIZER: &str = "optimizer.";

/// The saved state of a run.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    header: Header,
    tensors: StoredTensors<'static>,
}

/// Parameters and buffers by path, in the module's order, and counters by path.
#[expect(clippy::type_complexity, reason = "two lists by path")]
pub(crate) fn contents<T: Float>(net: &dyn Module<T>) -> (Vec<(String, TensorOf<T>)>, BTreeMap<String, u64>) {
    let mut tensors: Vec<(String, TensorOf<T>)> =
        net.named_parameters().into_iter().map(|(path, var)| (path, var.value().clone())).collect();
    let mut counters = BTreeMap::new();
    net.visit(&mut Visitor::new(&mut |path, item| match item {
        Item::Buffer(buffer) => tensors.push((path.into(), buffer.get())),
        Item::Counter(counter) => {
            counters.insert(path.into(), counter.get());
        }
        _ => {}
    }));
    (tensors, counters)
}

/// The SHA-256 of all parameters and buffers (paths, shapes and bits), as 64 hexadecimal digits.
pub fn weights_sha256<T: Float>(net: &dyn Module<T>) -> String {
    let mut hash = Sha256::new();
    for (path, x) in contents(net).0 {
        hash.update(format!("{path} {} {}\n", T::NAME, x.shape()));
        hash.update(StoredTensor::from(&x).bytes);
    }
    hash.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

impl Checkpoint {
    /// Captures the current state. Tied weights are saved once, with their first path (as `safetensors.torch.save_model` does).
    pub fn capture<T: Float>(net: &dyn Module<T>, optimizer: &dyn Optimizer<T>, progress: &Progress) -> Self {
        let (tensors, counters) = contents(net);
        let mut stored: StoredTensors<'static> =
            tensors.iter().map(|(path, x)| (format!("{MODEL}{path}"), StoredTensor::from(x))).collect();
        // After `contents`, parameters are named by their paths.
        let names = names(&optimizer.parameters());
        for (i, name, x) in optimizer.state() {
            stored.insert(format!("{OPTIMIZER}{}.{name}", names[i]), StoredTensor::from(&x));
        }
        let header = Header {
            progress: progress.clone(),
            optimizer: optimizer.name().into(),
            groups: optimizer.groups(),
            parameters: names,
            steps: optimizer.steps(),
            counters,
            average: None,
        };
        Self { path: PathBuf::new(), header, tensors: stored }
    }

    /// Adds an average of the weights.
    #[must_use]
    pub fn with_average<T: Float>(mut self, ema: &Ema<T>) -> Self {
        self.header.average = Some(ema.settings.clone());
        let average = ema.average.iter().map(|(path, x)| (format!("{AVERAGE}{path}"), StoredTensor::from(x)));
        self.tensors.extend(average);
        self
    }

    /// Whether it has an average of the weights.
    pub fn has_average(&self) -> bool {
        self.header.average.is_some()
    }

    /// The progress of the saved run.
    pub fn progress(&self) -> &Progress {
        &self.header.progress
    }

    /// Checks that [`save`](Self::save) can write this file, without changing it, so that a run need not train for an hour
    /// to find out.
    ///
    /// # Errors
    /// As [`save`](Self::save). A disk may still become full later.
    pub fn check_target(path: &Path) -> Result<(), NnError> {
        atomic_file::check(path).map_err(|source| NnError::Write { path: path.into(), source })
    }

    /// Writes the checkpoint atomically: the file is always either the complete old one or the complete new one. A symbolic
    /// link stays one, and what it links to is written.
    ///
    /// # Errors
    /// [`NnError::Write`], with the path; a previous file is unchanged. Also if it is a directory, a device, a pipe or a
    /// socket.
    pub fn save(&self, path: &Path) -> Result<(), NnError> {
        let header =
            serde_json::to_string(&self.header).map_err(|e| NnError::Write { path: path.into(), source: e.into() })?;
        safetensors_file::write(path, &self.tensors, (HEADER, header))
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`NnError::Read`] or [`NnError::Damaged`], with the path.
    pub fn load(path: &Path) -> Result<Self, NnError> {
        let bytes = safetensors_file::read(path)?;
        let damaged = |why: String| NnError::Damaged { path: path.into(), why };
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
        let header = metadata
            .metadata()
            .as_ref()
            .and_then(|map| map.get(HEADER))
            .ok_or_else(|| damaged("it has weights, but no run state".into()))?;
        let header = serde_json::from_str(header).map_err(|e| damaged(e.to_string()))?;
        let tensors = read_tensors(&bytes).map_err(damaged)?;
        let tensors = tensors.into_iter().map(|(name, stored)| (name, stored.into_owned())).collect();
        Ok(Self { path: path.into(), header, tensors })
    }

    /// Restores the state, with the learning rates, and returns the progress. If anything does not match, also another
    /// hyperparameter, nothing is changed.
    ///
    /// # Errors
    /// [`NnError::OtherNet`], [`NnError::OtherOptimizer`] or [`NnError::OtherOptimizerState`].
    pub fn restore<T: Float>(
        &self,
        net: &dyn Module<T>,
        optimizer: &mut dyn Optimizer<T>,
    ) -> Result<Progress, NnError> {
        let (used, saved) = (optimizer.name(), &self.header.optimizer);
        if used != saved {
            return Err(NnError::OtherOptimizer { path: self.path.clone(), saved: saved.clone(), used: used.into() });
        }
        let weights = self.tensors.iter().filter_map(|(name, x)| Some((name.strip_prefix(MODEL)?, x)));
        let plan = Plan::new(net, weights.map(|(name, x)| (name.to_owned(), (name, x))).collect(), false);
        if !plan.fits() {
            return Err(NnError::OtherNet { path: self.path.clone(), differences: plan.differences() });
        }
        let counters = self.other_counters(&contents(net).1);
        if !counters.is_empty() {
            return Err(NnError::OtherNet { path: self.path.clone(), differences: listed(&counters) });
        }
        let other = |differences: Vec<String>| NnError::OtherOptimizerState {
            path: self.path.clone(),
            differences: listed(&differences),
        };
        // The plan has named the parameters by their paths.
        let parameters = names(&optimizer.parameters());
        let state = self.optimizer_state(&parameters).map_err(other)?;
        optimizer.restore(state, &self.header.steps, &self.header.groups).map_err(other)?;
        plan.apply(net);
        set_counters(net, &self.header.counters);
        Ok(self.header.progress.clone())
    }

    /// Restores an average of the weights, made with the same settings for the same net. If anything does not match, nothing
    /// is changed.
    ///
    /// # Errors
    /// [`NnError::NoAverage`] or [`NnError::OtherAverage`].
    pub fn restore_average<T: Float>(&self, ema: &mut Ema<T>) -> Result<(), NnError> {
        let Some(saved) = &self.header.average else {
            return Err(NnError::NoAverage { path: self.path.clone() });
        };
        let mut differences = ema.settings.differences(saved);
        let tensors = self.tensors.iter().filter_map(|(name, stored)| Some((name.strip_prefix(AVERAGE)?, stored)));
        let mut tensors: BTreeMap<&str, &StoredTensor<'_>> = tensors.collect();
        let mut average = Vec::with_capacity(ema.average.len());
        for (path, own) in &ema.average {
            match tensors.remove(path.as_str()).map(StoredTensor::tensor::<T>) {
                None => differences.push(format!("missing     {path} {}", own.shape())),
                Some(Err(why)) => differences.push(format!("mismatch    {path}: {why}")),
                Some(Ok(x)) if x.shape() != own.shape() => {
                    differences.push(format!("mismatch    {path}: saved {}, the net has {}", x.shape(), own.shape()));
                }
                Some(Ok(x)) => average.push(x),
            }
        }
        differences.extend(tensors.keys().map(|path| format!("unexpected  {path}")));
        if !differences.is_empty() {
            return Err(NnError::OtherAverage { path: self.path.clone(), differences: listed(&differences) });
        }
        for ((_, own), saved) in ema.average.iter_mut().zip(average) {
            own.copy_from(&saved.to(own.device()));
        }
        ema.settings.updates = saved.updates;
        Ok(())
    }

    /// The counters that only the checkpoint or only the net has.
    fn other_counters(&self, own: &BTreeMap<String, u64>) -> Vec<String> {
        let saved = &self.header.counters;
        let missing = own.keys().filter(|path| !saved.contains_key(*path)).map(|path| format!("missing     {path}"));
        let unexpected = saved.keys().filter(|path| !own.contains_key(*path)).map(|path| format!("unexpected  {path}"));
        missing.chain(unexpected).collect()
    }

    /// The optimizer's tensors by parameter index and name, if its parameters are those of the saved one.
    fn optimizer_state<T: Float>(&self, parameters: &[String]) -> Result<StateTensors<T>, Vec<String>> {
        let (mut state, mut differences) = (Vec::new(), Vec::new());
        let saved = &self.header.parameters;
        if saved.len() == parameters.len() {
            let pairs = saved.iter().zip(parameters).filter(|(saved, own)| saved != own);
            differences
                .extend(pairs.map(|(saved, own)| format!("parameter   saved {saved}, this optimizer has {own} there")));
        } else {
            differences.push(format!("parameters: saved {}, this optimizer has {}", saved.len(), parameters.len()));
        }
        let tensors = self.tensors.iter().filter_map(|(name, stored)| Some((name.strip_prefix(OPTIMIZER)?, stored)));
        for (path, stored) in tensors {
            // The names of state tensors have no dot, those of parameters may.
            let (parameter, name) = path.rsplit_once('.').unwrap_or(("", path));
            match (parameters.iter().position(|known| known == parameter), stored.tensor()) {
                (Some(i), Ok(x)) => state.push((i, name.to_owned(), x)),
                (None, _) => differences.push(format!("unexpected  {path}: the optimizer has no such parameter")),
                (_, Err(why)) => differences.push(format!("mismatch    {path}: {why}")),
            }
        }
        if differences.is_empty() { Ok(state) } else { Err(differences) }
    }
}

/// The names of an optimizer's parameters in a checkpoint. Equal names, such as of a parameter that is listed twice, are
/// numbered.
fn names<T: Float>(parameters: &[VarOf<T>]) -> Vec<String> {
    let mut seen: HashMap<String, u32> = HashMap::new();
    let numbered = |parameter: &VarOf<T>| {
        let name = parameter.name();
        let count = seen.entry(name.clone()).and_modify(|count| *count += 1).or_insert(1);
        if *count == 1 { name } else { format!("{name}#{count}") }
    };
    parameters.iter().map(numbered).collect()
}

/// The first lines of a list of differences, and how many more there are.
fn listed(differences: &[String]) -> String {
    let more = differences.len().saturating_sub(10);
    let lines = differences.iter().take(10).map(|line| format!("  {line}"));
    lines.chain((more > 0).then(|| format!("  and {more} more"))).collect::<Vec<_>>().join("\n")
}
