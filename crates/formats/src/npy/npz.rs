//! .npz files: a ZIP archive with a .npy file for each array.

use std::fs::File;
use std::io::{Cursor, Write};
use std::path::Path;

use chainrule_nn::{StoredTensors, atomic_file};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::decode;
use super::header::Header;
use crate::archive::Archive;
use crate::error::{FormatError, Problem, Result};

/// The end of the name of every array.
pub(crate) const EXTENSION: &str = ".npy";

/// Reads all arrays of a .npz file by name, compressed or not.
///
/// # Errors
/// [`FormatError`]. Compressed arrays may have 100 times the bytes of the file and 64 MB more; the rest is refused.
pub fn read_npz(path: &Path) -> Result<StoredTensors<'static>> {
    let read = || read_arrays(&mut Archive::open(File::open(path)?)?);
    read().map_err(|problem: Problem| problem.of(path))
}

/// The arrays of an archive.
pub(crate) fn read_arrays(archive: &mut Archive) -> Result<StoredTensors<'static>, Problem> {
    let names: Vec<String> = archive.names().map(str::to_owned).collect();
    let mut arrays = StoredTensors::new();
    for entry in names {
        let Some(name) = entry.strip_suffix(EXTENSION) else {
            return Err(Problem::refused(
                format!("it has '{}', which is no array", entry.escape_debug()),
                "a .npz file has only .npy files; remove the others",
            ));
        };
        let array = archive.read(&entry, |reader, size| decode(reader, Some(size.bytes), size.stored))?;
        arrays.insert(name.to_owned(), array);
    }
    Ok(arrays)
}

/// Writes tensors to a .npz file, atomically and without compression, as `np.savez` does.
///
/// # Errors
/// [`FormatError::Write`], or [`FormatError::Refused`] if NumPy has no such format; a previous file is unchanged.
pub fn write_npz(path: &Path, tensors: &StoredTensors<'_>) -> Result<()> {
    write_with(path, tensors, CompressionMethod::Stored)
}

/// As [`write_npz`], compressed, as `np.savez_compressed` does.
///
/// # Errors
/// As [`write_npz`].
pub fn write_npz_compressed(path: &Path, tensors: &StoredTensors<'_>) -> Result<()> {
    write_with(path, tensors, CompressionMethod::Deflated)
}

fn write_with(path: &Path, tensors: &StoredTensors<'_>, method: CompressionMethod) -> Result<()> {
    let failed = |source| FormatError::Write { path: path.into(), source };
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    // Always the same date, so that the same tensors are the same bytes.
    let options = SimpleFileOptions::default().compression_method(method).last_modified_time(DateTime::default());
    for (name, x) in tensors {
        let header = Header::write(x.dtype(), x.shape()).map_err(|problem| problem.within(name).of(path))?;
        let large = (header.len() + x.bytes().len()) as u64 >= u64::from(u32::MAX);
        archive.start_file(format!("{name}{EXTENSION}"), options.large_file(large)).map_err(|e| failed(e.into()))?;
        archive.write_all(&header).and_then(|()| archive.write_all(x.bytes())).map_err(failed)?;
    }
    let bytes = archive.finish().map_err(|e| failed(e.into()))?.into_inner();
    atomic_file::write(path, &bytes).map_err(failed)
}
