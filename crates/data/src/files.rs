//! Opens plain and gzipped files, whatever their names say, with the path in every error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::error::{DataError, Result};

const BUFFER: usize = 1 << 16;

/// Converts an I/O error while reading `path`.
pub(crate) fn cannot_read(path: &Path, source: io::Error) -> DataError {
    let help = match source.kind() {
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::PermissionDenied => "make it readable for this user",
        io::ErrorKind::IsADirectory => "pass a file",
        _ => "get a fresh copy: this file is damaged or unreadable",
    };
    DataError::Io { action: "read", path: path.into(), help, source }
}

/// The bytes of a file.
#[cfg(feature = "images")]
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| cannot_read(path, source))
}

/// The bytes of a file of at most `limit` bytes; `of` says in the error what has the limit.
pub(crate) fn read_within(path: &Path, limit: u64, of: &str) -> Result<Vec<u8>> {
    let failed = |source| cannot_read(path, source);
    let check = |found: u64| {
        let too_long = || DataError::TooLong { path: path.into(), of: of.into(), found, limit };
        if found > limit { Err(too_long()) } else { Ok(()) }
    };
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    check(length)?;
    // The length of a pipe or a device is 0, however much it gives.
    let mut bytes = Vec::with_capacity(length as usize);
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    check(bytes.len() as u64)?;
    Ok(bytes)
}

/// A reader of a file's contents, decompressed if they are gzipped.
///
/// The caller reads no more than the format allows: a few MB of gzip can inflate to several GB.
///
/// # Errors
/// If the file cannot be read, or is a web page, a Git LFS pointer or an archive of another kind.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>> {
    let failed = |source| cannot_read(path, source);
    let mut file = BufReader::with_capacity(BUFFER, File::open(path).map_err(failed)?);
    let start = file.fill_buf().map_err(failed)?;
    check_start(start, path)?;
    if !start.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(file));
    }
    let mut contents = BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file));
    // A server may compress its error page as well.
    check_start(contents.fill_buf().map_err(failed)?, path)?;
    Ok(Box::new(contents))
}

/// Rejects contents that are recognized as something else than data.
pub(crate) fn check_start(start: &[u8], path: &Path) -> Result<()> {
    const UNPACK: &str = "unpack it, and pass the directory with its files";
    const STARTS: [(&[u8], &str, &str); 6] = [
        (b"PK\x03\x04", "a ZIP archive", UNPACK),
        (b"\xfd7zXZ\0", "compressed with xz", UNPACK),
        (b"\x28\xb5\x2f\xfd", "compressed with Zstandard", UNPACK),
        (b"BZh", "compressed with bzip2", UNPACK),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
        (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "fetch the file with `git lfs pull`"),
    ];
    let found = STARTS.into_iter().find(|(magic, ..)| start.starts_with(magic));
    let found = found.map(|(_, what, help)| (what, help)).or_else(|| {
        let markup = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
        if is_svg(markup) {
            return Some(("an SVG drawing", "convert it to PNG"));
        }
        is_web_page(markup)
            .then_some(("a web page", "open it in a browser to see what the server says, and download the file again"))
    });
    match found {
        Some((what, help)) => Err(DataError::WrongContent { path: path.into(), what, help }),
        None => Ok(()),
    }
}

/// Whether it starts as HTML does, or as the XML error of a storage server.
fn is_web_page(start: &[u8]) -> bool {
    [&b"<!doctype"[..], b"<html", b"<head", b"<body", b"<?xml", b"<script", b"<!--"]
        .into_iter()
        .any(|tag| begins_with(start, tag))
}

/// Whether its first element is `svg`, after declarations and comments.
fn is_svg(start: &[u8]) -> bool {
    // The declarations and comments that programs write are shorter.
    let start = &start[..start.len().min(4096)];
    let mut tags = (0..start.len()).filter(|&i| start[i] == b'<').map(|i| &start[i..]);
    begins_with(start, b"<")
        && tags
            .find(|tag| !begins_with(tag, b"<?") && !begins_with(tag, b"<!"))
            .is_some_and(|tag| begins_with(tag, b"<svg"))
}

fn begins_with(text: &[u8], tag: &[u8]) -> bool {
    text.get(..tag.len()).is_some_and(|found| found.eq_ignore_ascii_case(tag))
}
