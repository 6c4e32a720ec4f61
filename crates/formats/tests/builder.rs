//! Builds hostile files, and reads them within bounds of memory.

use std::fs;
use std::io::{Cursor, Read, Write};

use chainrule_formats::read_weights;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::peak::{MB, peak};
use crate::text;

pub const DAMAGED: &str = "help: get a fresh copy of the file";

/// A pickle, operation by operation.
pub struct Pickle(pub Vec<u8>);

impl Pickle {
    pub fn new() -> Self {
        Self(b"\x80\x02".to_vec())
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub fn text(self, text: &str) -> Self {
        self.raw(b"X").raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }

    pub fn int(self, n: i64) -> Self {
        self.raw(b"\x8a\x08").raw(&n.to_le_bytes())
    }

    pub fn ints(self, numbers: &[i64]) -> Self {
        numbers.iter().fold(self.raw(b"("), |pickle, &n| pickle.int(n)).raw(b"t")
    }

    pub fn global(self, module: &str, name: &str) -> Self {
        self.raw(format!("c{module}\n{name}\n").as_bytes())
    }

    /// A storage of floats.
    pub fn storage(self, key: &str, numel: i64) -> Self {
        self.raw(b"(").text("storage").global("torch", "FloatStorage").text(key).text("cpu").int(numel).raw(b"tQ")
    }

    /// A tensor of floats in a storage.
    pub fn tensor(self, key: &str, numel: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Self {
        let pickle = self.global("torch._utils", "_rebuild_tensor_v2").raw(b"(").storage(key, numel).int(offset);
        pickle.ints(shape).ints(strides).raw(b"\x89").global("collections", "OrderedDict").raw(b")RtR")
    }

    pub fn end(self) -> Vec<u8> {
        self.raw(b".").0
    }
}

/// A state_dict with one tensor.
pub fn one_tensor(numel: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    Pickle::new().raw(b"}").text("w").tensor("0", numel, offset, shape, strides).raw(b"s").end()
}

/// An archive of these entries.
pub fn zip(entries: &[(impl AsRef<str>, impl AsRef<[u8]>)], method: CompressionMethod) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        archive.start_file(name.as_ref(), SimpleFileOptions::default().compression_method(method)).unwrap();
        archive.write_all(bytes.as_ref()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// The entries of an archive.
pub fn unzip(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).unwrap();
    let entries = 0..archive.len();
    let read = |i| {
        let mut entry = archive.by_index(i).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.name().unwrap().into_owned(), bytes)
    };
    entries.map(read).collect()
}

/// A .pt file of this pickle and a storage.
pub fn pt(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    let entries: [(&str, &[u8]); 3] = [("x/data.pkl", pickle), ("x/byteorder", b"little"), ("x/data/0", storage)];
    zip(&entries, CompressionMethod::Stored)
}

/// The error of reading these bytes, which must hold less than `limit` bytes.
pub fn error_within(limit: i64, bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    fs::write(&path, bytes).unwrap();
    let (result, held) = peak(|| read_weights(&path));
    assert!(held < limit, "{held} bytes were held for a file of {}", bytes.len());
    text(&result.unwrap_err(), &path)
}

pub fn error(bytes: &[u8]) -> String {
    error_within(MB, bytes)
}
