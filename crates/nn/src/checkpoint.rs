//! Checkpoints: everything that a run needs to resume with the same bits.
//!
//! A checkpoint is one safetensors file. Parameters and buffers are `model.<path>`, optimizer state is
//! `optimizer.<path>.<name>`; counters, progress and settings are JSON in the header's metadata.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Shape, TensorOf};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::NnError;
use crate::module::{Item, Module, Visitor};
use crate::optim::{GroupSettings, Optimizer, StateTensors};
use crate::safetensors_file;
use crate::schedule::Schedule;

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
    /// The program's own settings.
    pub settings: BTreeMap<String, String>,
}

/// The contents of the header's metadata.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Header {
    progress: Progress,
    optimizer: String,
    groups: Vec<GroupSettings>,
    steps: Vec<u64>,
    counters: BTreeMap<String, u64>,
}

/// The key of the header in the metadata.
const HEADER: &str = "chainrule";
/// The prefixes of the names of tensors.
const MODEL: &str = "model.";
const OPTIMIZER: &str = "optimizer.";

/// The saved state of a run.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    path: PathBuf,
    header: Header,
    tensors: BTreeMap<String, Stored>,
}

/// A tensor as stored in a file.
#[derive(Clone, Debug)]
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn new<T: Float>(x: &TensorOf<T>) -> Self {
        let bytes = x.to_vec().into_iter().flat_map(|v| le_bytes(v.to_f64(), T::NAME)).collect();
        Self { dtype: dtype::<T>(), shape: x.shape().to_vec(), bytes }
    }

    fn tensor<T: Float>(&self) -> Option<TensorOf<T>> {
        if self.dtype != dtype::<T>() {
            return None;
        }
        let values: Vec<T> = match self.dtype {
            Dtype::F32 => {
                self.bytes.as_chunks::<4>().0.iter().map(|b| T::from_f64(f32::from_le_bytes(*b).into())).collect()
            }
            _ => self.bytes.as_chunks::<8>().0.iter().map(|b| T::from_f64(f64::from_le_bytes(*b))).collect(),
        };
        Some(TensorOf::from_slice(&values, self.shape.clone()))
    }
}

/// A number's bytes in a file. The conversion to `f64` is exact for every `f32`.
fn le_bytes(value: f64, name: &str) -> Vec<u8> {
    if name == "f32" { (value as f32).to_le_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
}

fn dtype<T: Float>() -> Dtype {
    if T::NAME == "f32" { Dtype::F32 } else { Dtype::F64 }
}

/// Tensors by path.
type Named<T> = Vec<(String, TensorOf<T>)>;

/// Parameters and buffers by path, in the module's order, and counters by path.
fn contents<T: Float>(net: &dyn Module<T>) -> (Named<T>, BTreeMap<String, u64>) {
    let mut tensors: Named<T> =
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
        hash.update(Stored::new(&x).bytes);
    }
    hash.finalize().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

impl Checkpoint {
    /// Captures the current state.
    pub fn capture<T: Float>(net: &dyn Module<T>, optimizer: &dyn Optimizer<T>, progress: &Progress) -> Self {
        let (tensors, counters) = contents(net);
        let mut stored: BTreeMap<String, Stored> =
            tensors.iter().map(|(path, x)| (format!("{MODEL}{path}"), Stored::new(x))).collect();
        // After `contents`, parameters are named by their paths.
        let names = names(&optimizer.parameters());
        for (i, name, x) in optimizer.state() {
            stored.insert(format!("{OPTIMIZER}{}.{name}", names[i]), Stored::new(&x));
        }
        let header = Header {
            progress: progress.clone(),
            optimizer: optimizer.name().into(),
            groups: optimizer.groups(),
            steps: optimizer.steps(),
            counters,
        };
        Self { path: PathBuf::new(), header, tensors: stored }
    }

    /// The progress of the saved run.
    pub fn progress(&self) -> &Progress {
        &self.header.progress
    }

    /// Writes the checkpoint atomically: the file is always either the complete old one or the complete new one.
    ///
    /// # Errors
    /// [`NnError::Write`], with the path; a previous file is unchanged.
    pub fn save(&self, path: &Path) -> Result<(), NnError> {
        let failed = |source| NnError::Write { path: path.into(), source };
        let header = serde_json::to_string(&self.header).map_err(|e| failed(e.into()))?;
        let views: Vec<(&str, TensorView<'_>)> = self
            .tensors
            .iter()
            .map(|(name, t)| Ok((name.as_str(), TensorView::new(t.dtype, t.shape.clone(), &t.bytes)?)))
            .collect::<Result<_, safetensors::SafeTensorError>>()
            .map_err(|e| failed(io::Error::other(e)))?;
        let metadata = [(HEADER.to_owned(), header)].into_iter().collect();
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| failed(io::Error::other(e)))?;
        write_atomically(path, &bytes).map_err(failed)
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
        Ok(Self { path: path.into(), header, tensors: read_tensors(&bytes).map_err(damaged)? })
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
        let model = self.tensors.iter().filter_map(|(name, t)| Some((name.strip_prefix(MODEL)?.to_owned(), t)));
        let weights = fitting(&self.path, net, model.collect())?;
        let other = |differences: Vec<String>| NnError::OtherOptimizerState {
            path: self.path.clone(),
            differences: listed(differences),
        };
        // After `fitting`, parameters are named by their paths.
        let state = self.optimizer_state(&names(&optimizer.parameters())).map_err(other)?;
        optimizer.restore(state, &self.header.steps, &self.header.groups).map_err(other)?;
        set(net, &weights, &self.header.counters);
        Ok(self.header.progress.clone())
    }

    /// The optimizer's tensors by parameter index and name.
    fn optimizer_state<T: Float>(&self, parameters: &[String]) -> Result<StateTensors<T>, Vec<String>> {
        let (mut state, mut differences) = (Vec::new(), Vec::new());
        let tensors = self.tensors.iter().filter_map(|(name, stored)| Some((name.strip_prefix(OPTIMIZER)?, stored)));
        for (path, stored) in tensors {
            // The names of state tensors have no dot, those of parameters may.
            let (parameter, name) = path.rsplit_once('.').unwrap_or(("", path));
            match (parameters.iter().position(|known| known == parameter), stored.tensor()) {
                (Some(i), Some(x)) => state.push((i, name.to_owned(), x)),
                (None, _) => differences.push(format!("unexpected  {path}: the optimizer has no such parameter")),
                (_, None) => differences.push(format!(
                    "mismatch    {path}: saved as {:?}, the net has {}",
                    stored.dtype,
                    T::NAME
                )),
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
fn listed(mut differences: Vec<String>) -> String {
    let more = differences.len().saturating_sub(10);
    differences.truncate(10);
    if more > 0 {
        differences.push(format!("and {more} more"));
    }
    differences.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Loads only the weights and buffers of a net, from a checkpoint or from any safetensors file whose names are the net's
/// paths, such as one written by `PyTorch`.
///
/// # Errors
/// [`NnError::Read`], [`NnError::Damaged`] or [`NnError::OtherNet`]; in that case nothing is changed.
pub fn load_weights<T: Float>(net: &dyn Module<T>, path: &Path) -> Result<(), NnError> {
    let bytes = safetensors_file::read(path)?;
    let tensors = read_tensors(&bytes).map_err(|why| NnError::Damaged { path: path.into(), why })?;
    let is_checkpoint = tensors.keys().any(|name| name.starts_with("model."));
    let name_of = |name: &str| -> Option<String> {
        if is_checkpoint { name.strip_prefix("model.").map(Into::into) } else { Some(name.into()) }
    };
    let model = tensors.iter().filter_map(|(name, stored)| Some((name_of(name)?, stored))).collect();
    set(net, &fitting(path, net, model)?, &BTreeMap::new());
    Ok(())
}

fn read_tensors(bytes: &[u8]) -> Result<BTreeMap<String, Stored>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let stored = |t: &TensorView<'_>| Stored { dtype: t.dtype(), shape: t.shape().to_vec(), bytes: t.data().to_vec() };
    Ok(file.tensors().into_iter().map(|(name, t)| (name, stored(&t))).collect())
}

/// The tensors for a net's weights and buffers, if all of them match.
fn fitting<T: Float>(
    path: &Path,
    net: &dyn Module<T>,
    mut model: BTreeMap<String, &Stored>,
) -> Result<BTreeMap<String, TensorOf<T>>, NnError> {
    let mut differences = Vec::new();
    let mut fitting: BTreeMap<String, TensorOf<T>> = BTreeMap::new();
    for (name, own) in contents(net).0 {
        match model.remove(&name) {
            None => differences.push(format!("missing     {name} {}", own.shape())),
            Some(stored) if stored.shape[..] != *own.shape() => {
                let saved = Shape::from(stored.shape.clone());
                differences.push(format!("mismatch    {name}: saved {saved}, the net has {}", own.shape()));
            }
            Some(stored) => match stored.tensor() {
                Some(x) => drop(fitting.insert(name, x)),
                None => differences.push(format!(
                    "mismatch    {name}: saved as {:?}, the net has {}",
                    stored.dtype,
                    T::NAME
                )),
            },
        }
    }
    differences.extend(
        model
            .iter()
            .filter(|(name, _)| !name.ends_with("num_batches_tracked"))
            .map(|(name, _)| format!("unexpected  {name}")),
    );
    if !differences.is_empty() {
        return Err(NnError::OtherNet { path: path.into(), differences: listed(differences) });
    }
    Ok(fitting)
}

/// Sets a net's weights and buffers, and the counters that were saved.
fn set<T: Float>(net: &dyn Module<T>, fitting: &BTreeMap<String, TensorOf<T>>, counters: &BTreeMap<String, u64>) {
    for (name, var) in net.named_parameters() {
        // In place, so that on a GPU filters keep the memory format of its convolutions.
        var.update(|value| value.copy_from(&fitting[&name].to(value.device())));
    }
    net.visit(&mut Visitor::new(&mut |path, item| match item {
        Item::Buffer(buffer) => buffer.set(fitting[path].to(buffer.get().device())),
        Item::Counter(counter) => counter.set(counters.get(path).copied().unwrap_or(counter.get())),
        _ => {}
    }));
}

/// Writes a temporary file next to the target, syncs it to disk, and renames it.
fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name =
        path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path has no file name"))?;
    let mut part = name.to_owned();
    part.push(".part");
    let part = path.with_file_name(part);
    let written = File::create(&part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| fs::rename(&part, path)) {
        // Report the first error; a failure to remove the temporary file is ignored.
        let _ = fs::remove_file(&part);
        return Err(error);
    }
    // Sync the rename as well. Not every system allows opening a directory for that.
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(directory) = File::open(directory) {
        directory.sync_all()?;
    }
    Ok(())
}
