//! Files of every kind are recognized by their first bytes, and others are named.

use std::fs;

use chainrule_formats::{FormatError, load_weights, npy, read_weights};
use chainrule_nn::{
    Checkpoint, Ema, Linear, LoadOptions, Module, Optimizer, Progress, Sgd, save_weights, state_dict, weights_sha256,
};
use chainrule_tensor::Rng;

use crate::refusal;

fn linear(seed: u64) -> Linear {
    Linear::new(3, 2, &mut Rng::seed(seed))
}

#[test]
fn weights_are_read_whatever_the_extension() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.bin");
    let net = linear(1);
    let same = |options: &LoadOptions<'_>| {
        let other = linear(2);
        load_weights(&other, &path, options).unwrap();
        assert_eq!(weights_sha256(&other), weights_sha256(&net));
    };
    save_weights(&net, &path).unwrap();
    assert_eq!(read_weights(&path).unwrap(), state_dict(&net));
    same(&LoadOptions::new());
    for write in [npy::write_npz, npy::write_npz_compressed] {
        write(&path, &state_dict(&net)).unwrap();
        assert_eq!(read_weights(&path).unwrap(), state_dict(&net));
        same(&LoadOptions::new());
    }
    // Of a checkpoint the weights, or their average.
    let optimizer = Sgd::new(net.parameters(), 0.1);
    let ema = Ema::new(&net, 0.9);
    Checkpoint::capture(&net, &optimizer, &Progress::default()).with_average(&ema).save(&path).unwrap();
    assert_eq!(optimizer.name(), "sgd");
    assert_eq!(read_weights(&path).unwrap(), state_dict(&net));
    same(&LoadOptions::new());
    same(&LoadOptions::new().average(true));
}

#[test]
fn other_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    let tar = [vec![b'a'; 257], b"ustar\x0000".to_vec(), vec![0; 247]].concat();
    let empty_zip = [b"PK\x05\x06".as_slice(), &[0; 18]].concat();
    for (bytes, expected) in [
        (&b""[..], "damaged: it is empty\n  help: get a fresh copy of the file"),
        (
            &tar,
            "a tar archive, such as PyTorch 0.1 wrote\n  help: in Python, if you trust it: torch.save(torch.load(FILE, weights_only=False), NEW)",
        ),
        (&empty_zip, "damaged: an empty ZIP archive\n  help: get a fresh copy of the file"),
        (
            b"\x93NUMPY\x01\x00",
            "a single NumPy array, which has no name\n  help: in Python: np.savez(FILE, name=array)",
        ),
        (
            b"\x89HDF\r\n\x1a\n",
            "an HDF5 file, such as Keras writes\n  help: in Python, save its arrays: np.savez(FILE, **arrays)",
        ),
        (b"GGUF\x03", "a GGUF file\n  help: convert it to safetensors"),
        (b"\x80\x04\x95", "a pickle that torch.save did not write\n  help: in Python: torch.save(state_dict, FILE)"),
        (b"\x1f\x8b\x08", "compressed with gzip\n  help: unpack it"),
        (
            b"version https://git-lfs.github.com/spec/v1",
            "a Git LFS pointer and not the file itself\n  help: fetch the file with `git lfs pull`",
        ),
        (
            b"<!DOCTYPE html>",
            "a web page or other markup\n  help: get the file itself: the server may have sent an error page",
        ),
        (
            b"\x08\x07\x12\x07pytorch",
            "no file of weights: it begins with '\\x08\\x07\\x12\\x07pyto'\n  help: the weights of safetensors, of PyTorch's .pt and .pth and of NumPy's .npz are read",
        ),
    ] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(refusal(&path), format!("DIR/x.pt: {expected}"));
    }
    fs::remove_file(&path).unwrap();
    let error = read_weights(&path).unwrap_err();
    assert!(matches!(error, FormatError::Read { .. }));
    assert!(crate::text(&error, &path).starts_with("cannot read DIR/x.pt: "), "{error}");
}
