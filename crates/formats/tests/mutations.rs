//! Damaged files of each kind: an error or other tensors, never a panic, and never much memory.

use std::fs;
use std::path::Path;

use chainrule_formats::{npy, read_weights};
use chainrule_nn::{Linear, save_weights};
use chainrule_tensor::Rng;
use zip::CompressionMethod;

use crate::builder::{unzip, zip};
use crate::fixture;
use crate::mutator::{count, each_damaged};
use crate::peak::{MB, peak};

/// Damages a file again and again, and counts how often `read` succeeds; it must hold less than `limit` bytes.
fn survivors<T, E: std::fmt::Display>(whole: &[u8], limit: i64, read: impl Fn(&Path) -> Result<T, E>) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("the_file");
    let mut read_ones = 0;
    each_damaged(whole, |bytes| {
        fs::write(&path, bytes).unwrap();
        let (result, held) = peak(|| read(&path));
        assert!(held < limit, "{held} bytes were held for a file of {}", bytes.len());
        match result {
            Ok(_) => read_ones += 1,
            Err(error) => assert!(error.to_string().contains("the_file"), "{error}"),
        }
    });
    read_ones
}

#[test]
fn damaged_files_of_pytorch() {
    for name in ["net.pt", "net_legacy.pt", "views.pt", "views_legacy.pt", "net_protocol5.pt"] {
        let whole = fs::read(fixture(name)).unwrap();
        let read = survivors(&whole, 8 * MB, read_weights);
        assert!(read < count(), "{name}");
    }
}

/// With a checksum that fits the damage, so that it is not found by it.
#[test]
fn damaged_contents_of_archives() {
    for name in ["net.pt", "views.pt", "net_protocol5.pt", "checkpoint.pt", "compressed.npz"] {
        let mut entries = unzip(&fs::read(fixture(name)).unwrap());
        let damaged = if name.ends_with("npz") { "f4.npy" } else { "/data.pkl" };
        let at = entries.iter().position(|(entry, _)| entry.ends_with(damaged)).unwrap();
        let whole = entries[at].1.clone();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("the_file");
        let mut read = 0;
        each_damaged(&whole, |bytes| {
            entries[at].1 = bytes.to_vec();
            fs::write(&path, zip(&entries, CompressionMethod::Stored)).unwrap();
            let (result, held) = peak(|| read_weights(&path));
            assert!(held < 8 * MB, "{name}: {held} bytes were held");
            match result {
                Ok(_) => read += 1,
                Err(error) => assert!(error.to_string().contains("the_file"), "{error}"),
            }
        });
        // Some damage is in numbers and in what is not read.
        assert!(count() < 100 || (0 < read && read < count()), "{name}: {read} were read");
    }
}

#[test]
fn damaged_files_of_numpy() {
    for name in ["f4.npy", "big_fortran.npy"] {
        let whole = fs::read(fixture(name)).unwrap();
        assert!(survivors(&whole, 4 * MB, npy::read_stored) > 0, "{name}");
    }
    for name in ["arrays.npz", "compressed.npz"] {
        survivors(&fs::read(fixture(name)).unwrap(), 8 * MB, npy::read_npz);
    }
}

#[test]
fn damaged_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    save_weights(&Linear::<f32>::new(3, 2, &mut Rng::seed(0)), &path).unwrap();
    assert!(survivors(&fs::read(&path).unwrap(), 4 * MB, read_weights) > 0);
}
