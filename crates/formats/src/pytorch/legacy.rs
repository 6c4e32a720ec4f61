//! The legacy format: pickles of a magic number, the version, the machine, the object and the keys of its storages, then the
//! numbers of these storages.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::rc::Rc;

use chainrule_nn::StoredTensors;

use super::pickle::{Pickle, Value};
use super::{Views, state_dict};
use crate::archive::read_bytes;
use crate::error::{Problem, damaged};

/// The magic number 0x1950a86a20f9469cfc6c as an operation of a pickle.
const MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
/// Before it are the protocol, and a frame in newer ones.
const BEFORE_MAGIC: usize = 2 + 9;
const VERSION: i64 = 1001;

/// Whether a file with this start has the legacy format.
pub(crate) fn is_legacy(start: &[u8]) -> bool {
    let reach = start.len().min(BEFORE_MAGIC + MAGIC.len());
    start.starts_with(&[0x80]) && start[..reach].windows(MAGIC.len()).any(|bytes| bytes == MAGIC)
}

/// The weights of a file of the legacy format.
pub(crate) fn read_legacy(file: File) -> Result<StoredTensors<'static>, Problem> {
    let length = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    let _magic = Pickle::read(&mut reader)?;
    match Pickle::read(&mut reader)?.root {
        Value::Int(VERSION) => {}
        Value::Int(other) => {
            return Err(Problem::refused(
                format!("version {other} of PyTorch's legacy format; version {VERSION} is read"),
                "in Python: torch.save(torch.load(FILE), NEW)",
            ));
        }
        _ => return damaged("the version of the legacy format is no number"),
    }
    let _machine = Pickle::read(&mut reader)?;
    let pickle = Pickle::read(&mut reader)?;
    let keys = Pickle::read(&mut reader)?;
    let mut views = Views::new(state_dict::find(&pickle)?, length)?;
    let Some(keys_read) = keys.nodes.items(keys.root) else {
        return damaged(format!("the keys of its storages are {}", keys.nodes.kind(keys.root)));
    };
    for &key in keys_read {
        let storage = keys.nodes.text(key).and_then(|key: &Rc<str>| pickle.storages.get(key));
        let Some(storage) = storage else { return damaged("it has a storage that its pickle does not describe") };
        let mut numel = [0; 8];
        reader.read_exact(&mut numel)?;
        let numel = u64::from_le_bytes(numel);
        if numel != storage.numel as u64 {
            return damaged(format!(
                "storage '{}' has {numel} elements, and its pickle says {}",
                storage.key.escape_debug(),
                storage.numel
            ));
        }
        let bytes = numel.saturating_mul(storage.element() as u64);
        let left = length.saturating_sub(reader.stream_position()?);
        if bytes > left {
            return damaged(format!(
                "storage '{}' should have {bytes} bytes, and the file ends after {left}",
                storage.key.escape_debug()
            ));
        }
        if views.need(&storage.key) {
            views.fill(storage, read_bytes(&mut reader, bytes, bytes)?)?;
        } else {
            reader.seek_relative(bytes as i64)?;
        }
    }
    if reader.read(&mut [0])? > 0 {
        return damaged("it goes on after the last storage");
    }
    views.finish()
}
