//! Reads files out of tar archives, plain or gzipped, within their known sizes.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use tar::{Archive, EntryType, PaxExtensions};

use crate::error::{DataError, Result};
use crate::files;

/// The most that is read of an entry that holds a long name.
const MAX_NAME: u64 = 1 << 16;

/// A file that is looked for in an archive.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    /// Its name; the folder it is in does not matter.
    pub name: &'static str,
    /// The most bytes that it may have.
    pub limit: u64,
}

/// The contents of the wanted files that the archive has, by name; `of` says in an error what has the limit.
///
/// # Errors
/// If it is not a tar archive, plain or gzipped, or a file is longer than its limit.
pub(crate) fn read(path: &Path, wanted: &[Wanted], of: &str) -> Result<BTreeMap<&'static str, Vec<u8>>> {
    let damaged = |source| files::cannot_read(path, source);
    let mut archive = Archive::new(files::open(path)?);
    let mut found = BTreeMap::new();
    let mut long_name: Option<Vec<u8>> = None;
    // Raw: otherwise the crate reads the entries that hold long names into memory, whatever their size.
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        let kind = entry.header().entry_type();
        let name = match (kind, long_name.take()) {
            (EntryType::GNULongName | EntryType::XHeader, _) => {
                let found = entry.size();
                if found > MAX_NAME {
                    let of = "the name of a file in an archive".into();
                    return Err(DataError::TooLong { path: path.into(), of, found, limit: MAX_NAME });
                }
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).map_err(damaged)?;
                long_name = if kind == EntryType::XHeader { pax_path(&bytes) } else { Some(bytes) };
                continue;
            }
            (_, Some(name)) => name,
            (_, None) => entry.path_bytes().into_owned(),
        };
        let name = String::from_utf8_lossy(&name);
        let name = name.trim_end_matches('\0').rsplit('/').next().unwrap_or_default();
        let Some(wanted) = wanted.iter().find(|wanted| kind.is_file() && wanted.name == name) else { continue };
        if entry.size() > wanted.limit {
            let (path, of) = (path.join(wanted.name), of.into());
            return Err(DataError::TooLong { path, of, found: entry.size(), limit: wanted.limit });
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(damaged)?;
        found.insert(wanted.name, bytes);
    }
    Ok(found)
}

/// The path in a PAX header.
fn pax_path(header: &[u8]) -> Option<Vec<u8>> {
    let path =
        PaxExtensions::new(header).filter_map(std::result::Result::ok).find(|field| field.key_bytes() == b"path");
    path.map(|field| field.value_bytes().to_vec())
}
