//! Weights of nets in safetensors files.

use std::path::Path;

use chainrule_tensor::Float;
use safetensors::tensor::{SafeTensors, TensorView};

use super::stored::{StoredTensor, StoredTensors};
use crate::error::NnError;
use crate::module::{Item, Module, Visitor};
use crate::safetensors_file;

/// The key of a checkpoint's header in the metadata.
pub(crate) const HEADER: &str = "chainrule";
/// The prefix of the names of weights in a checkpoint.
pub(crate) const MODEL: &str = "model.";
/// The prefix of the names of averaged weights in a checkpoint.
pub(crate) const AVERAGE: &str = "average.";

/// All tensors of a safetensors file by name.
pub(crate) fn read_tensors<'a>(bytes: &'a [u8]) -> Result<StoredTensors<'a>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let stored =
        |t: &TensorView<'a>| StoredTensor { dtype: t.dtype(), shape: t.shape().to_vec(), bytes: t.data().into() };
    Ok(file.tensors().into_iter().map(|(name, t)| (name, stored(&t))).collect())
}

/// The weights in the bytes of the file at `path`: of a checkpoint without the rest of its state, and on request its average.
pub(super) fn weights<'a>(bytes: &'a [u8], path: &Path, average: bool) -> Result<StoredTensors<'a>, NnError> {
    let damaged = |why: String| NnError::Damaged { path: path.into(), why };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(e.to_string()))?;
    let tensors = read_tensors(bytes).map_err(damaged)?;
    let is_checkpoint = metadata.metadata().as_ref().is_some_and(|metadata| metadata.contains_key(HEADER));
    if average && !(is_checkpoint && tensors.keys().any(|name| name.starts_with(AVERAGE))) {
        return Err(NnError::NoAverage { path: path.into() });
    }
    if !is_checkpoint {
        return Ok(tensors);
    }
    let prefix = if average { AVERAGE } else { MODEL };
    Ok(tensors.into_iter().filter_map(|(name, x)| Some((name.strip_prefix(prefix)?.to_owned(), x))).collect())
}

/// The tensors of a safetensors file by name; of a checkpoint its weights and buffers, without the rest of its state.
///
/// # Errors
/// [`NnError::Read`] or [`NnError::Damaged`].
pub fn read_safetensors(path: &Path) -> Result<StoredTensors<'static>, NnError> {
    let bytes = safetensors_file::read(path)?;
    let tensors = weights(&bytes, path, false)?;
    Ok(tensors.into_iter().map(|(name, x)| (name, x.into_owned())).collect())
}

/// The parameters, buffers and counters of a net by name, as `state_dict()` of `PyTorch` has them: tied weights under each of
/// their names, and counters such as `num_batches_tracked` as integers.
pub fn state_dict<T: Float>(net: &dyn Module<T>) -> StoredTensors<'static> {
    let mut tensors = StoredTensors::new();
    net.visit(&mut Visitor::new(&mut |path, item| {
        let stored = match item {
            Item::Parameter(var) => StoredTensor::from(&*var.value()),
            Item::Buffer(buffer) => StoredTensor::from(&buffer.get()),
            Item::Counter(counter) => StoredTensor::count_of(counter.get()),
            Item::Mode(_) | Item::Synchronization(_) => return,
        };
        tensors.insert(path.into(), stored);
    }));
    tensors
}

/// Writes tensors to a safetensors file, atomically: the file is always either the complete old one or the complete new one.
///
/// # Errors
/// [`NnError::Write`]; a previous file is unchanged.
pub fn write_safetensors(tensors: &StoredTensors<'_>, path: &Path) -> Result<(), NnError> {
    // As PyTorch's files have it, which some readers demand.
    safetensors_file::write(path, tensors, ("format", "pt".into()))
}

/// Writes the weights, buffers and counters of a net to a safetensors file, under the names of [`state_dict`].
///
/// In `PyTorch`, `net.load_state_dict(safetensors.torch.load_file(path))` reads it; here [`load_weights`](crate::load_weights).
///
/// # Errors
/// [`NnError::Write`]; a previous file is unchanged.
pub fn save_weights<T: Float>(net: &dyn Module<T>, path: &Path) -> Result<(), NnError> {
    write_safetensors(&state_dict(net), path)
}
