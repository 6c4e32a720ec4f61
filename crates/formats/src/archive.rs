//! ZIP archives, of which no more is held in memory than their sizes allow.

use std::fs::File;
use std::io::{self, BufReader, Read};

use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use crate::error::{Problem, damaged};

/// What is decompressed of an archive may have 100 times its bytes, and 64 MB more. Weights shrink to half at most; masks and
/// other arrays that repeat themselves, by a factor of 1000 at most.
const FACTOR: u64 = 100;
const ALLOWANCE: u64 = 64 << 20;

pub(crate) struct Archive {
    zip: ZipArchive<BufReader<File>>,
    entries: Vec<Entry>,
    /// The bytes that may still be read.
    left: u64,
}

struct Entry {
    name: String,
    size: Size,
    /// PyTorch leaves checksums out on request (`set_crc32_options`).
    has_checksum: bool,
}

impl Archive {
    pub(crate) fn open(file: File) -> Result<Self, Problem> {
        let length = file.metadata()?.len();
        // Known, not detected: PyTorch writes a ZIP64 record of 76 bytes after the directory even if the end record does not need
        // it. From the numbers of the end record, detection takes a first entry of 76 bytes, with a name of 30, for a part of what
        // precedes the archive.
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let mut zip = ZipArchive::with_config(config, BufReader::new(file)).map_err(problem)?;
        let count = zip.len();
        let mut entry = |i| {
            let entry = zip.by_index_raw(i)?;
            let has_checksum = entry.crc32() != 0 || entry.compression() != CompressionMethod::Stored;
            let size = Size { bytes: entry.size(), stored: entry.compressed_size() };
            Ok(Entry { name: entry.name()?.into_owned(), size, has_checksum })
        };
        let entries = (0..count).map(&mut entry).collect::<Result<Vec<_>, _>>().map_err(problem)?;
        let stored = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.size.stored));
        if stored > length {
            return damaged(format!("its entries have {stored} bytes, more than the whole archive ({length})"));
        }
        Ok(Self { zip, entries, left: length.saturating_mul(FACTOR).saturating_add(ALLOWANCE) })
    }

    /// The names of all entries, in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_str())
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.zip.index_for_name(name).is_some()
    }

    /// Reads an entry with `read`, which gets the entry's sizes and is never given more than its bytes.
    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut dyn Read, Size) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let within = |problem: Problem| problem.within(name);
        let Some(index) = self.zip.index_for_name(name) else {
            return damaged(format!("it has no '{}'", name.escape_debug()));
        };
        let &Entry { size, has_checksum, .. } = &self.entries[index];
        let Some(left) = self.left.checked_sub(size.bytes) else {
            return Err(within(Problem::refused(
                format!("{} bytes, more than is decompressed of a file of this size", size.bytes),
                "save it without compression, as np.savez does",
            )));
        };
        self.left = left;
        let entry = if has_checksum { self.zip.by_index(index) } else { self.zip.by_index_raw(index) };
        let mut entry = entry.map_err(|error| within(problem(error)))?;
        let mut contents = (&mut entry).take(size.bytes);
        let result = read(&mut contents, size).map_err(within)?;
        let failed = |error: io::Error| within(error.into());
        io::copy(&mut contents, &mut io::sink()).map_err(failed)?;
        let missing = contents.limit();
        if missing > 0 {
            return damaged(format!("{name}: {missing} of {} bytes are missing", size.bytes));
        }
        // The read at the end compares the checksum, if there is one.
        if entry.read(&mut [0]).map_err(failed)? > 0 {
            return damaged(format!("{name}: it goes on after its {} bytes", size.bytes));
        }
        Ok(result)
    }

    /// All bytes of an entry.
    pub(crate) fn bytes(&mut self, name: &str) -> Result<Vec<u8>, Problem> {
        self.read(name, |reader, size| read_bytes(reader, size.bytes, size.stored))
    }
}

/// The sizes of an entry.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// Of its contents.
    pub(crate) bytes: u64,
    /// In the archive.
    pub(crate) stored: u64,
}

/// `n` bytes, for which at most `there` bytes are reserved at once: beyond that the buffer grows with what is read, so that a
/// false length costs no memory.
pub(crate) fn read_bytes(reader: &mut dyn Read, n: u64, there: u64) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::with_capacity(n.min(there) as usize);
    let found = reader.take(n).read_to_end(&mut bytes)? as u64;
    if found < n {
        return damaged(format!("it should have {n} more bytes, and ends after {found}"));
    }
    Ok(bytes)
}

fn problem(error: ZipError) -> Problem {
    match error {
        ZipError::Io(error) => error.into(),
        ZipError::UnsupportedArchive(what) => Problem::refused(
            format!("a ZIP archive that cannot be read: {what}"),
            "pack it again without a password, with deflate or without compression",
        ),
        other => Problem::Damaged(format!("no whole ZIP archive: {other}")),
    }
}
