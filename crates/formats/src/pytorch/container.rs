//! The ZIP format: `data.pkl`, and beside it a file for each storage.

use std::io::BufReader;

use chainrule_nn::StoredTensors;

use super::pickle::Pickle;
use super::{Views, state_dict};
use crate::archive::Archive;
use crate::error::{Problem, damaged};
use crate::strided::swap_bytes;

const PICKLE: &str = "data.pkl";

/// The folder of a PyTorch archive, with a slash at its end; `None` if it is none.
pub(crate) fn root(archive: &Archive) -> Option<String> {
    let name = archive.names().find(|name| *name == PICKLE || name.ends_with("/data.pkl"))?;
    Some(name[..name.len() - PICKLE.len()].to_owned())
}

/// The weights of an archive of `file_length` bytes.
pub(crate) fn read_archive(
    archive: &mut Archive,
    root: &str,
    file_length: u64,
) -> Result<StoredTensors<'static>, Problem> {
    if archive.contains(&format!("{root}constants.pkl")) {
        return Err(Problem::refused(
            "a TorchScript archive, which is a program with its weights",
            "in Python: torch.save(torch.jit.load(FILE).state_dict(), NEW)",
        ));
    }
    let byte_order = format!("{root}byteorder");
    let big_endian = archive.contains(&byte_order)
        && match archive.bytes(&byte_order)?.as_slice() {
            b"little" => false,
            b"big" => true,
            other => return damaged(format!("its byte order is '{}'", other.escape_ascii())),
        };
    let pickle = archive.read(&format!("{root}{PICKLE}"), |reader, _| Pickle::read(&mut BufReader::new(reader)))?;
    let mut views = Views::new(state_dict::find(&pickle)?, file_length)?;
    for storage in pickle.storages.values().filter(|storage| storage.numel > 0) {
        if views.need(&storage.key) {
            let mut bytes = archive.bytes(&format!("{root}data/{}", storage.key))?;
            if big_endian {
                swap_bytes(&mut bytes, storage.element());
            }
            views.fill(storage, bytes)?;
        }
    }
    // PyTorch writes no file for an empty storage of some devices.
    for storage in pickle.storages.values().filter(|storage| storage.numel == 0) {
        views.fill(storage, Vec::new())?;
    }
    views.finish()
}
