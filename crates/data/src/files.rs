//! Reads plain and gzipped files, with the path in every error.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::{DataError, Result};

/// Converts an I/O error while reading `path`.
pub(crate) fn cannot_read(path: &Path, source: io::Error) -> DataError {
    let help = match source.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => "make it readable for this user",
        _ => "get a fresh copy: this file is damaged or unreadable",
    };
    DataError::Io { action: "read", path: path.into(), help, source }
}

/// The bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| cannot_read(path, source))
}

/// A reader of the decompressed contents of a gzipped file.
pub(crate) fn open_gz(path: &Path) -> Result<impl Read> {
    let file = File::open(path).map_err(|source| cannot_read(path, source))?;
    Ok(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file)))
}

/// The decompressed contents of a gzipped file.
pub(crate) fn read_gz(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_gz(path)?.read_to_end(&mut bytes).map_err(|source| cannot_read(path, source))?;
    Ok(bytes)
}
