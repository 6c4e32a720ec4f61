//! PyTorch's .pt and .pth files: weights that `torch.save` wrote.
//!
//! Read are the ZIP format (since PyTorch 1.6) and the legacy format before it, which torchvision's older files have and
//! `_use_new_zipfile_serialization=False` still writes. A file is a pickle with the numbers beside it; the pickle is interpreted
//! without running code, and every class or function that no state_dict needs is refused by name.

mod container;
mod legacy;
mod pickle;
mod state_dict;

use std::collections::BTreeMap;
use std::rc::Rc;

use chainrule_nn::{StoredTensor, StoredTensors};

pub(crate) use container::{read_archive, root};
pub(crate) use legacy::{is_legacy, read_legacy};

use crate::error::{Problem, damaged};
use pickle::{Storage, Tensor};
use state_dict::Tensors;

/// The tensors of a file may have so many times its bytes, and one MB more: tied weights are two tensors of one storage.
const FACTOR: usize = 4;
const ALLOWANCE: usize = 1 << 20;

/// The tensors of a file whose storages are read one after the other.
struct Views<'a> {
    /// Names and tensors by the key of their storage.
    by_storage: BTreeMap<Rc<str>, Vec<(Rc<str>, &'a Tensor)>>,
    read: StoredTensors<'static>,
}

impl<'a> Views<'a> {
    /// Fails if the tensors have far more bytes than the file, as expanded tensors can.
    fn new(tensors: Tensors<'a>, file_length: u64) -> Result<Self, Problem> {
        let limit = usize::try_from(file_length).unwrap_or(usize::MAX).saturating_mul(FACTOR).saturating_add(ALLOWANCE);
        let mut bytes = 0_usize;
        let mut by_storage: BTreeMap<Rc<str>, Vec<(Rc<str>, &Tensor)>> = BTreeMap::new();
        for (name, tensor) in tensors {
            let numel = tensor.layout.numel().unwrap_or(usize::MAX);
            bytes = bytes.saturating_add(numel.saturating_mul(tensor.element()));
            if bytes > limit {
                return Err(Problem::refused(
                    format!(
                        "its tensors up to '{}' have {bytes} bytes, far more than the file ({file_length})",
                        name.escape_debug()
                    ),
                    "in Python, save what expanded tensors repeat: torch.save({name: tensor.clone() …}, FILE)",
                ));
            }
            by_storage.entry(Rc::clone(&tensor.key)).or_default().push((name, tensor));
        }
        Ok(Self { by_storage, read: StoredTensors::new() })
    }

    /// Whether a tensor needs this storage.
    fn need(&self, key: &str) -> bool {
        self.by_storage.contains_key(key)
    }

    /// Takes the bytes of a storage, little-endian, for the tensors in it.
    fn fill(&mut self, storage: &Storage, bytes: Vec<u8>) -> Result<(), Problem> {
        let expected = storage.numel.checked_mul(storage.element());
        if expected != Some(bytes.len()) {
            let key = storage.key.escape_debug();
            return damaged(format!("storage '{key}' has {} bytes, and its pickle says {expected:?}", bytes.len()));
        }
        let mut views = self.by_storage.remove(&storage.key).unwrap_or_default();
        // Layouts were compared with the storage's number of elements when the tensors were made.
        let last = views.pop();
        for (name, tensor) in views {
            self.add(&name, tensor, tensor.layout.gather(&bytes, tensor.element()));
        }
        if let Some((name, tensor)) = last {
            self.add(&name, tensor, tensor.layout.take(bytes, tensor.element()));
        }
        Ok(())
    }

    fn add(&mut self, name: &str, tensor: &Tensor, bytes: Vec<u8>) {
        self.read.insert(name.to_owned(), StoredTensor::new(tensor.dtype, tensor.layout.shape.clone(), bytes));
    }

    /// The tensors, if all storages were there.
    fn finish(self) -> Result<StoredTensors<'static>, Problem> {
        match self.by_storage.keys().next() {
            Some(key) => damaged(format!("storage '{}' is missing", key.escape_debug())),
            None => Ok(self.read),
        }
    }
}
