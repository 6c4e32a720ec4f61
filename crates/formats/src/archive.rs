//! ZIP archives, of which no more is held in memory than their sizes allow.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Read};

use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;

use crate::error::{Problem, damaged};

/// What is decompressed of an archive may have 100 times its bytes, and 64 MB more. Weights shrink to half at most; masks and
/// other arrays that repeat themselves, by a factor of 1000 at most.
const FACTOR: u64 = 100;
const ALLOWANCE: u64 = 64 << 20;

pub(crate) struct Archive {
    zip: ZipArchive<BufReader<File>>,
    /// The names of its entries, in their order.
    names: Vec<String>,
    /// The bytes that may still be read.
    left: u64,
}

impl Archive {
    pub(crate) fn open(file: File) -> Result<Self, Problem> {
        let length = file.metadata()?.len();
        // Known, not detected: PyTorch writes a ZIP64 record of 76 bytes after the directory also where the numbers at the end need
        // none. From those numbers, detection takes a first entry of 76 bytes, with a name of 30, for a part of what precedes the
        // archive.
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let mut zip = ZipArchive::with_config(config, BufReader::new(file)).map_err(problem)?;
        let names =
            zip.file_names().map(|name| name.map(Cow::into_owned)).collect::<Result<_, _>>().map_err(problem)?;
        let mut compressed = 0_u64;
        for i in 0..zip.len() {
            compressed = compressed.saturating_add(zip.by_index_raw(i).map_err(problem)?.compressed_size());
        }
        if compressed > length {
            return damaged(format!("its entries have {compressed} bytes, more than the whole archive ({length})"));
        }
        Ok(Self { zip, names, left: length.saturating_mul(FACTOR).saturating_add(ALLOWANCE) })
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    /// Reads an entry with `read`, which gets the entry's size and is never given more than these bytes.
    pub(crate) fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut dyn Read, u64) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        let within = |problem: Problem| problem.within(name);
        let mut entry = self.zip.by_name(name).map_err(|error| within(problem(error)))?;
        let size = entry.size();
        let Some(left) = self.left.checked_sub(size) else {
            return Err(within(Problem::refused(
                format!("{size} bytes, more than is decompressed of a file of this size"),
                "save it without compression, as np.savez does",
            )));
        };
        self.left = left;
        let mut contents = (&mut entry).take(size);
        let result = read(&mut contents, size).map_err(within)?;
        let failed = |error: io::Error| within(error.into());
        io::copy(&mut contents, &mut io::sink()).map_err(failed)?;
        let missing = contents.limit();
        if missing > 0 {
            return damaged(format!("{name}: {missing} of {size} bytes are missing"));
        }
        // The read at the end compares the checksum, and fails if there is more.
        entry.read(&mut [0]).map_err(failed)?;
        Ok(result)
    }

    /// All bytes of an entry.
    pub(crate) fn bytes(&mut self, name: &str) -> Result<Vec<u8>, Problem> {
        self.read(name, |reader, size| read_bytes(reader, size))
    }
}

/// `n` bytes. The buffer grows with what is there, not with what a header says, so a false length costs no memory.
pub(crate) fn read_bytes(reader: &mut dyn Read, n: u64) -> Result<Vec<u8>, Problem> {
    const RESERVED: u64 = 1 << 20;
    let mut bytes = Vec::with_capacity(n.min(RESERVED) as usize);
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
