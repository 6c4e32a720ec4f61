//! With PyTorch and NumPy, of which `scripts/check_formats.sh` has a version at hand: it makes files of random numbers with
//! their expected contents, runs this test, and then reads what the test wrote.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use chainrule_autograd::{Var, no_grad};
use chainrule_formats::{load_weights, npy, read_weights};
use chainrule_nn::{
    BatchNorm2d, Conv2d, Flatten, Linear, LoadOptions, MaxPool2d, Module, Relu, Sequential, read_safetensors,
    save_weights, state_dict, write_safetensors,
};
use chainrule_tensor::{Rng, Tensor};

/// The net that `scripts/check_formats.py` has as well.
fn net() -> Sequential {
    let mut rng = Rng::seed(3);
    Sequential::new()
        .add(Conv2d::builder(3, 8, 3).padding(1).bias(false).build(&mut rng))
        .add(BatchNorm2d::new(8))
        .add(Relu)
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Linear::new(8 * 4 * 4, 10, &mut rng))
}

#[test]
#[ignore = "scripts/check_formats.sh calls it, with PyTorch"]
fn pytorch_and_numpy_agree() {
    let folder = PathBuf::from(std::env::var_os("CHAINRULE_EXCHANGE").expect("CHAINRULE_EXCHANGE names a folder"));
    let mut read = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let expected = || read_safetensors(&path.with_extension("safetensors")).unwrap();
        match path.extension().and_then(OsStr::to_str) {
            Some("pt" | "pth" | "npz") => {
                let tensors = read_weights(&path).unwrap();
                assert_eq!(tensors, expected(), "{}", path.display());
                write_safetensors(&tensors, &path.with_extension("ours")).unwrap();
            }
            Some("npy") => {
                let array = npy::read_stored(&path).unwrap();
                assert_eq!(array, expected()["array"], "{}", path.display());
                npy::write_stored(&path.with_extension("ours"), &array).unwrap();
            }
            _ => continue,
        }
        read += 1;
    }
    assert!(read >= 30, "only {read} files in {}", folder.display());

    let arrays = read_weights(&folder.join("arrays.npz")).unwrap();
    npy::write_npz(&folder.join("stored_by_us.npz.ours"), &arrays).unwrap();
    npy::write_npz_compressed(&folder.join("compressed_by_us.npz.ours"), &arrays).unwrap();

    // A net from here to PyTorch, with what it computes, and one from PyTorch.
    let net = net();
    let x: Tensor = npy::read(&folder.join("images.npy")).unwrap();
    let forward = |net: &Sequential| no_grad(|| net.forward(&Var::constant(x.clone())).value().clone());
    forward(&net);
    net.set_training(false);
    save_weights(&net, &folder.join("our_net.ours")).unwrap();
    npy::write_npz(&folder.join("our_net.npz.ours"), &state_dict(&net)).unwrap();
    npy::write(&folder.join("outputs.ours"), &forward(&net)).unwrap();

    let report = load_weights(&net, &folder.join("net.pth"), &LoadOptions::new()).unwrap();
    assert_eq!(report.loaded.len(), 8);
    npy::write(&folder.join("outputs_of_pytorch.ours"), &forward(&net)).unwrap();
}
