//! The files of `files/make.py`, which `torch.save` wrote.

use chainrule_autograd::Var;
use chainrule_formats::{load_weights, read_weights};
use chainrule_nn::{BatchNorm2d, Conv2d, Dtype, Linear, LoadOptions, Module, StoredTensor, StoredTensors, children};
use chainrule_tensor::{Rng, Tensor};

use crate::{fixture, refusal};

fn tensor(tensors: &StoredTensors<'_>, name: &str) -> Tensor {
    tensors[name].to_tensor().unwrap()
}

/// `start`, `start + 1`, … as quarters.
fn quarters(shape: &[usize], start: usize) -> Tensor {
    Tensor::from_fn(shape, |i| (start + i) as f32 / 4.0)
}

/// The weights of `net` in `make.py`.
fn net() -> StoredTensors<'static> {
    let shapes: [(&str, &[usize]); 8] = [
        ("0.weight", &[2, 1, 2, 2]),
        ("1.weight", &[2]),
        ("1.bias", &[2]),
        ("1.running_mean", &[2]),
        ("1.running_var", &[2]),
        ("1.num_batches_tracked", &[]),
        ("2.weight", &[2, 3]),
        ("2.bias", &[2]),
    ];
    let mut start = 0;
    let mut tensors = StoredTensors::new();
    for (name, shape) in shapes {
        let stored = if name.ends_with("tracked") {
            StoredTensor::new(Dtype::I64, [], (start as i64).to_le_bytes().to_vec())
        } else {
            StoredTensor::from(&quarters(shape, start))
        };
        start += shape.iter().product::<usize>();
        tensors.insert(name.into(), stored);
    }
    tensors
}

#[test]
fn a_state_dict_is_the_same_in_every_container_and_protocol() {
    for name in [
        "net.pt",
        "name_of_21_characters.pt",
        "net_legacy.pt",
        "net_without_checksums.pt",
        "net_protocol3.pt",
        "net_protocol4.pt",
        "net_protocol5.pt",
        "net_legacy_protocol4.pt",
    ] {
        assert_eq!(read_weights(&fixture(name)).unwrap(), net(), "{name}");
    }
}

#[test]
fn the_state_dict_of_a_checkpoint_is_found() {
    for name in ["checkpoint.pt", "checkpoint_legacy.pt"] {
        assert_eq!(read_weights(&fixture(name)).unwrap(), net(), "{name}");
    }
}

#[test]
fn all_formats_of_numbers_are_read() {
    for name in ["formats.pt", "formats_legacy.pt"] {
        let tensors = read_weights(&fixture(name)).unwrap();
        for (kind, dtype) in
            [("float64", Dtype::F64), ("float32", Dtype::F32), ("float16", Dtype::F16), ("bfloat16", Dtype::BF16)]
        {
            assert_eq!(tensors[kind].dtype(), dtype, "{name}");
            assert_eq!(tensor(&tensors, kind), quarters(&[2, 3], 0), "{name}: {kind}");
        }
        for (kind, dtype) in [
            ("int64", Dtype::I64),
            ("int32", Dtype::I32),
            ("int16", Dtype::I16),
            ("int8", Dtype::I8),
            ("uint8", Dtype::U8),
        ] {
            assert_eq!(tensors[kind].dtype(), dtype, "{name}");
            assert_eq!(tensor(&tensors, kind), Tensor::from([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]), "{name}: {kind}");
        }
        assert_eq!((tensors["bool"].dtype(), tensors["bool"].bytes()), (Dtype::BOOL, &[1, 0, 1][..]));
    }
    // Only the newer container has it, in a storage of bytes.
    let tensors = read_weights(&fixture("formats.pt")).unwrap();
    assert_eq!((tensors["uint16"].dtype(), tensors["uint16"].bytes()), (Dtype::U16, &[0, 0, 1, 0, 2, 0][..]));
}

#[test]
fn views_have_the_numbers_that_their_strides_say() {
    for name in ["views.pt", "views_legacy.pt"] {
        let tensors = read_weights(&fixture(name)).unwrap();
        let base = quarters(&[4, 6], 0);
        let at = |row: usize, column: usize| base.to_vec()[row * 6 + column];
        for (view, expected) in [
            ("base", base.clone()),
            ("transposed", Tensor::from_fn([6, 4], |i| at(i % 4, i / 4))),
            ("part", Tensor::from_fn([2, 3], |i| at(1 + i / 3, 2 + i % 3))),
            ("every_other", Tensor::from_fn([2, 3], |i| at(2 * (i / 3), 1 + 2 * (i % 3)))),
            ("expanded", Tensor::from_fn([4, 3], |i| (50 + i % 3) as f32 / 4.0)),
            ("scalar", Tensor::from_fn([0_usize; 0], |_| 1.75)),
            ("empty", quarters(&[0, 3], 0)),
            ("tied", quarters(&[2], 100)),
            ("also_tied", quarters(&[2], 100)),
            ("detached", quarters(&[2], 100)),
            ("channels_last", quarters(&[1, 2, 2, 2], 0)),
        ] {
            assert_eq!(tensor(&tensors, view), expected, "{name}: {view}");
        }
        assert_eq!(tensors.len(), 11);
    }
}

/// The net of `make.py`.
struct Net {
    conv: Conv2d,
    norm: BatchNorm2d,
    fc: Linear,
}

impl Module for Net {
    children!(conv, norm, fc);
    fn forward(&self, x: &Var) -> Var {
        self.fc.forward(&self.norm.forward(&self.conv.forward(x)))
    }
}

#[test]
fn a_net_is_loaded_by_name() {
    let mut rng = Rng::seed(0);
    let net = Net {
        conv: Conv2d::builder(1, 2, 2).bias(false).build(&mut rng),
        norm: BatchNorm2d::new(2),
        fc: Linear::new(3, 2, &mut rng),
    };
    let rename = |name: &str| name.replacen("0.", "conv.", 1).replacen("1.", "norm.", 1).replacen("2.", "fc.", 1);
    let options = LoadOptions::new().rename(rename);
    let report = load_weights(&net, &fixture("net_legacy.pt"), &options).unwrap();
    assert_eq!(report.to_string(), "loaded 8 tensors");
    assert_eq!(*net.fc.weight.value(), quarters(&[2, 3], 17));

    let path = fixture("net.pt");
    let error = load_weights(&net.fc, &path, &LoadOptions::new()).unwrap_err();
    assert_eq!(
        crate::text(&error, &path),
        "DIR/net.pt: does not match the net\n  missing     bias (2,)\n  missing     weight (2, 3)\n  \
         unexpected  0.weight\n  unexpected  1.bias\n  unexpected  1.num_batches_tracked\n  \
         unexpected  1.running_mean\n  unexpected  1.running_var\n  unexpected  1.weight\n  unexpected  2.bias\n  \
         unexpected  2.weight\nuse the same net as when the file was saved, or load what fits with \
         LoadOptions::strict(false)"
    );
    let part = LoadOptions::new().prefix("2.").strict(false);
    assert_eq!(load_weights(&net.fc, &path, &part).unwrap().loaded, ["bias", "weight"]);
    let error = load_weights(&net.fc, &path, &LoadOptions::new().average(true)).unwrap_err();
    assert_eq!(
        crate::text(&error, &path),
        "DIR/net.pt: it has no average of the weights; use the weights, or train with an Ema"
    );
}

#[test]
fn what_is_no_state_dict_is_refused_with_what_to_do() {
    const MODULE: &str = "and no state_dict: to build it, code would have to run\n  help: if you trust the file and have its source code, in Python: \
                          torch.save(torch.load(FILE, weights_only=False).state_dict(), NEW)";
    const UNREAD: &str = "which is refused: only tensors, dicts, lists, tuples, text and numbers are read, and no code is run\n  \
                          help: if you trust the file, save its weights alone, in Python: \
                          torch.save(torch.load(FILE, weights_only=False)['state_dict'], NEW)";
    let system = if cfg!(windows) { "nt.system" } else { "posix.system" };
    for (name, expected) in [
        ("evil.pt", format!("its pickle calls {system}, {UNREAD}")),
        ("evil_legacy.pt", format!("its pickle calls {system}, {UNREAD}")),
        ("module.pt", format!("a whole pickled module (__main__.Net) {MODULE}")),
        ("module_legacy.pt", format!("a whole pickled module (__main__.Net) {MODULE}")),
        (
            "sequential.pt",
            format!("a whole pickled module (torch.nn.modules.container.Sequential) {MODULE}"),
        ),
        (
            "script.pt",
            "a TorchScript archive, which is a program with its weights\n  \
             help: in Python: torch.save(torch.jit.load(FILE).state_dict(), NEW)"
                .into(),
        ),
        (
            "tensor.pt",
            "it has a tensor and no state_dict\n  \
             help: in Python, save tensors by name: torch.save({'name': tensor}, FILE)"
                .into(),
        ),
        (
            "complex.pt",
            "a storage of the type torch.ComplexFloatStorage\n  help: in Python, convert its tensors to float32, on the \
             CPU, before they are saved"
                .into(),
        ),
        ("sparse.pt", format!("its pickle calls torch._utils._rebuild_sparse_tensor, {UNREAD}")),
        (
            "negative.pt",
            "a tensor that is a lazy negative or conjugate of its storage\n  \
             help: in Python, call resolve_neg() or resolve_conj() before it is saved"
                .into(),
        ),
    ] {
        let text = refusal(&fixture(name));
        // What is in an archive is named.
        assert_eq!(text.replace(&format!("DIR/{name}: {}/data.pkl: ", &name[..name.len() - 3]), &format!("DIR/{name}: ")), format!("DIR/{name}: {expected}"));
    }
    assert!(!std::path::Path::new("/tmp/chainrule-was-here").exists(), "code was run");
}
