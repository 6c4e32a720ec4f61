//! Reads safetensors files, never more of one than its header accounts for, and writes them atomically.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use safetensors::tensor::{Metadata, TensorView};

use crate::atomic_file;
use crate::error::NnError;
use crate::weights::StoredTensors;

/// The header's length: the first eight bytes, little-endian.
const LENGTH: usize = 8;
/// The longest header that the format allows.
const MAX_HEADER: u64 = 100_000_000;

/// The bytes of the file, whose length is what its header says.
///
/// # Errors
/// [`NnError::Read`], or [`NnError::Damaged`] if it is shorter or longer.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, NnError> {
    let failed = |source| NnError::Read { path: path.into(), source };
    let mut file = File::open(path).map_err(failed)?;
    read_bounded(&mut file).map_err(failed)?.map_err(|why| NnError::Damaged { path: path.into(), why })
}

/// As [`read`]; the inner error says how the length differs. Buffers grow with what was read, not with what a header says,
/// so that a false length costs no memory.
fn read_bounded(file: &mut impl Read) -> io::Result<Result<Vec<u8>, String>> {
    let mut bytes = Vec::new();
    let mut read = |bytes: &mut Vec<u8>, n: u64| file.take(n).read_to_end(bytes).map(|found| found as u64);
    let found = read(&mut bytes, LENGTH as u64)?;
    let Some(header) = bytes.first_chunk().map(|length| u64::from_le_bytes(*length)) else {
        return Ok(Err(format!("it has {found} bytes, fewer than the {LENGTH} of a header's length")));
    };
    if header > MAX_HEADER {
        return Ok(Err(format!("its first {LENGTH} bytes are no length of a header (at most {MAX_HEADER} bytes)")));
    }
    let found = read(&mut bytes, header)?;
    if found < header {
        return Ok(Err(format!("its header should have {header} bytes, and ends after {found}")));
    }
    let data = match serde_json::from_slice::<Metadata>(&bytes[LENGTH..]) {
        Ok(metadata) => metadata.data_len() as u64,
        Err(error) => return Ok(Err(format!("its header cannot be parsed: {error}"))),
    };
    // One byte more shows whether the file goes on.
    let found = read(&mut bytes, data.saturating_add(1))?;
    Ok(match found {
        _ if found < data => Err(format!("its tensors should have {data} bytes, and end after {found}")),
        _ if found > data => Err(format!("its tensors have {data} bytes, but the file goes on")),
        _ => Ok(bytes),
    })
}

/// Writes tensors and one entry of metadata.
///
/// # Errors
/// [`NnError::Write`]; a previous file is unchanged.
pub(crate) fn write(path: &Path, tensors: &StoredTensors<'_>, metadata: (&str, String)) -> Result<(), NnError> {
    let failed = |source| NnError::Write { path: path.into(), source };
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, t)| Ok((name.as_str(), TensorView::new(t.dtype, t.shape.clone(), &t.bytes)?)))
        .collect::<Result<_, safetensors::SafeTensorError>>()
        .map_err(|e| failed(io::Error::other(e)))?;
    let metadata = [(metadata.0.to_owned(), metadata.1)].into_iter().collect();
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| failed(io::Error::other(e)))?;
    atomic_file::write(path, &bytes).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that begins with `start` and never ends; counts what is read.
    struct Endless {
        start: Vec<u8>,
        read: usize,
    }

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            for byte in &mut *buffer {
                *byte = self.start.get(self.read).copied().unwrap_or(0);
                self.read += 1;
            }
            Ok(buffer.len())
        }
    }

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    const ONE: &str = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;

    #[test]
    fn no_more_is_read_than_the_header_accounts_for() {
        let huge = r#"{"w":{"dtype":"U8","shape":[9000000000],"data_offsets":[0,9000000000]}}"#;
        let cases = [
            (vec![255; 8], 8, "its first 8 bytes are no length of a header (at most 100000000 bytes)"),
            (file(ONE, &[]), 8 + ONE.len() + 9, "its tensors have 8 bytes, but the file goes on"),
        ];
        for (start, expected, why) in cases {
            let mut endless = Endless { start, read: 0 };
            assert_eq!(read_bounded(&mut endless).unwrap().unwrap_err(), why);
            assert_eq!(endless.read, expected);
        }
        // What is not there costs nothing, whatever the header says.
        let short = file(huge, &[0; 100]);
        let why = read_bounded(&mut &short[..]).unwrap().unwrap_err();
        assert_eq!(why, "its tensors should have 9000000000 bytes, and end after 100");
        let short = [&1_000_000_u64.to_le_bytes()[..], b"{}"].concat();
        let why = read_bounded(&mut &short[..]).unwrap().unwrap_err();
        assert_eq!(why, "its header should have 1000000 bytes, and ends after 2");
    }

    #[test]
    fn a_whole_file_is_read_and_others_are_described() {
        let whole = file(ONE, &[1; 8]);
        assert_eq!(read_bounded(&mut &whole[..]).unwrap().unwrap(), whole);
        assert_eq!(
            read_bounded(&mut &b"abc"[..]).unwrap().unwrap_err(),
            "it has 3 bytes, fewer than the 8 of a header's length"
        );
        let why = read_bounded(&mut &file("no JSON", &[])[..]).unwrap().unwrap_err();
        assert_eq!(why, "its header cannot be parsed: expected ident at line 1 column 2");
    }
}
