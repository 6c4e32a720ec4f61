//! Weights by name, from files as `PyTorch` and other programs write them.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use chainrule_autograd::Var;
use chainrule_nn::{
    BatchNorm1d, Checkpoint, Linear, LoadOptions, LoadReport, Module, Progress, Sequential, Sgd, Visitor, children,
    load_weights, weights_sha256,
};
use chainrule_tensor::{Float, Rng, Tensor};
use tempfile::TempDir;

/// A tensor of a file: its name, format, shape and bytes.
type Entry = (String, &'static str, Vec<usize>, Vec<u8>);

fn entry(name: &str, dtype: &'static str, shape: &[usize], bytes: Vec<u8>) -> Entry {
    (name.into(), dtype, shape.to_vec(), bytes)
}

fn f32s(name: &str, shape: &[usize], numbers: &[f32]) -> Entry {
    entry(name, "F32", shape, numbers.iter().flat_map(|x| x.to_le_bytes()).collect())
}

/// A file with the tensors in this order, as `PyTorch` writes them: a format in the metadata, spaces up to eight bytes.
fn file(directory: &TempDir, tensors: &[Entry]) -> PathBuf {
    let (mut header, mut data) = (r#"{"__metadata__":{"format":"pt"}"#.to_owned(), Vec::new());
    for (name, dtype, shape, bytes) in tensors {
        let (begin, end) = (data.len(), data.len() + bytes.len());
        write!(header, r#","{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{begin},{end}]}}"#).unwrap();
        data.extend(bytes);
    }
    header.push('}');
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    let path = directory.path().join("weights.safetensors");
    fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()).unwrap();
    path
}

fn directory() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

fn linear(inputs: usize, outputs: usize) -> Linear {
    Linear::new(inputs, outputs, &mut Rng::seed(1))
}

/// The tensors of a linear layer from 2 to 1, not in alphabetical order.
fn of_linear(prefix: &str) -> Vec<Entry> {
    vec![f32s(&format!("{prefix}weight"), &[1, 2], &[1.0, 2.0]), f32s(&format!("{prefix}bias"), &[1], &[3.0])]
}

fn values(net: &Linear) -> Vec<f32> {
    [net.weight.value().to_vec(), net.bias.as_ref().map(|bias| bias.value().to_vec()).unwrap_or_default()].concat()
}

/// Nets whose only child has the name of a prefix that wrappers add.
struct WithModel {
    model: Linear,
}

struct WithModule {
    module: Linear,
}

impl Module for WithModel {
    children!(model);
    fn forward(&self, x: &Var) -> Var {
        self.model.forward(x)
    }
}

impl Module for WithModule {
    children!(module);
    fn forward(&self, x: &Var) -> Var {
        self.module.forward(x)
    }
}

#[test]
fn a_child_may_have_the_name_of_a_prefix() {
    let directory = directory();
    let (model, module) = (WithModel { model: linear(2, 1) }, WithModule { module: linear(2, 1) });
    let report = load_weights(&model, &file(&directory, &of_linear("model."))).unwrap();
    assert_eq!((report.prefix, report.loaded), (None, vec!["model.bias".into(), "model.weight".into()]));
    assert_eq!(values(&model.model), [1.0, 2.0, 3.0]);
    load_weights(&module, &file(&directory, &of_linear("module."))).unwrap();
    assert_eq!(values(&module.module), [1.0, 2.0, 3.0]);

    // Its own checkpoint has the prefix twice, also when the file of a wrapper had it twice.
    let path = directory.path().join("state");
    Checkpoint::capture(&model, &Sgd::new(model.parameters(), 0.1), &Progress::default()).save(&path).unwrap();
    let again = WithModel { model: linear(2, 1) };
    load_weights(&again, &path).unwrap();
    assert_eq!(weights_sha256(&again), weights_sha256(&model));
    let report = load_weights(&again, &file(&directory, &of_linear("model.model."))).unwrap();
    assert_eq!(report.prefix.as_deref(), Some("model."));
}

#[test]
fn prefixes_of_wrappers_are_removed_if_everything_fits_then() {
    let directory = directory();
    for prefix in ["model.", "module.", "_orig_mod.", "module._orig_mod."] {
        let net = linear(2, 1);
        let report = load_weights(&net, &file(&directory, &of_linear(prefix))).unwrap();
        assert_eq!(values(&net), [1.0, 2.0, 3.0]);
        assert_eq!(
            report.to_string(),
            format!("loaded 2 tensors, without the prefix '{prefix}' of all names in the file")
        );
    }
    let net = linear(2, 1);
    let before = weights_sha256(&net);
    // An additional tensor, and a prefix that no known tool adds.
    let more = [of_linear("module."), vec![f32s("module.scale", &[], &[1.0])]].concat();
    for (tensors, unexpected) in [
        (more, "  unexpected  module.bias\n  unexpected  module.scale\n  unexpected  module.weight"),
        (of_linear("net."), "  unexpected  net.bias\n  unexpected  net.weight"),
    ] {
        let path = file(&directory, &tensors);
        let error = load_weights(&net, &path).unwrap_err().to_string();
        let expected = format!(
            "{}: does not match the net\n  missing     bias (1,)\n  missing     weight (1, 2)\n{unexpected}\nuse the same net as when the file was saved, or load what fits with LoadOptions::strict(false)",
            path.display()
        );
        assert_eq!(error, expected);
    }
    assert_eq!(weights_sha256(&net), before);
}

/// An encoder and a decoder that share their weight.
struct Tied {
    encoder: Linear,
    decoder: Linear,
}

impl Module for Tied {
    children!(encoder, decoder);
    fn forward(&self, x: &Var) -> Var {
        self.decoder.forward(&self.encoder.forward(x))
    }
}

fn tied() -> Tied {
    let encoder = Linear::without_bias(2, 2, &mut Rng::seed(1));
    Tied { decoder: Linear { weight: encoder.weight.clone(), bias: None }, encoder }
}

#[test]
fn tied_weights_load_from_either_name_or_both() {
    let directory = directory();
    let numbers = [1.0, 2.0, 3.0, 4.0];
    let named = |name: &str, x: &[f32]| f32s(name, &[2, 2], x);
    for names in [&["encoder.weight"][..], &["decoder.weight"], &["decoder.weight", "encoder.weight"]] {
        let net = tied();
        let tensors: Vec<Entry> = names.iter().map(|name| named(name, &numbers)).collect();
        let report = load_weights(&net, &file(&directory, &tensors)).unwrap();
        assert_eq!(report.loaded, ["encoder.weight"]);
        assert_eq!(net.decoder.weight.value().to_vec(), numbers, "{names:?}");
    }
    let net = tied();
    let before = weights_sha256(&net);
    let path = file(&directory, &[named("decoder.weight", &numbers), named("encoder.weight", &[1.0, 2.0, 3.0, 5.0])]);
    for strict in [true, false] {
        let error = LoadOptions::new().strict(strict).load(&net, &path).unwrap_err().to_string();
        let line =
            "\n  tied        encoder.weight and decoder.weight are one parameter in the net, but differ in the file\n";
        assert!(error.contains(line), "{error}");
    }
    let error = load_weights(&net, &file(&directory, &[f32s("x", &[], &[0.0])])).unwrap_err().to_string();
    assert!(error.contains("\n  missing     encoder.weight (2, 2)\n  unexpected  x\n"), "{error}");
    assert_eq!(weights_sha256(&net), before);

    // A checkpoint has the first name alone.
    let path = directory.path().join("state");
    Checkpoint::capture(&net, &Sgd::new(net.parameters(), 0.1), &Progress::default()).save(&path).unwrap();
    let again = tied();
    again.encoder.weight.set(&Tensor::zeros([2, 2]));
    assert_eq!(load_weights(&again, &path).unwrap().loaded, ["encoder.weight"]);
    assert_eq!(weights_sha256(&again), before);
}

/// The running statistics of a module that is used twice are tied as well.
#[test]
fn buffers_of_a_shared_module_load_from_either_name() {
    let directory = directory();
    let norm = Arc::new(BatchNorm1d::<f32>::new(1).without_affine());
    let net = Sequential::new().add(norm.clone()).add(norm.clone());
    let tensors = [
        f32s("1.running_mean", &[1], &[5.0]),
        f32s("1.running_var", &[1], &[6.0]),
        entry("1.num_batches_tracked", "I64", &[], 7i64.to_le_bytes().to_vec()),
    ];
    let report = load_weights(&net, &file(&directory, &tensors)).unwrap();
    assert_eq!(report.loaded, ["0.num_batches_tracked", "0.running_mean", "0.running_var"]);
    assert_eq!((norm.running_mean().item(), norm.running_var().item()), (5.0, 6.0));
    assert_eq!(count(&net), 7);
}

fn count(net: &dyn Module) -> u64 {
    let mut count = 0;
    net.visit(&mut Visitor::new(&mut |_, item| {
        if let chainrule_nn::Item::Counter(counter) = item {
            count = counter.get();
        }
    }));
    count
}

#[test]
fn counters_may_be_missing_but_are_integers() {
    let directory = directory();
    let net = BatchNorm1d::<f32>::new(1).without_affine();
    let statistics = vec![f32s("running_mean", &[1], &[5.0]), f32s("running_var", &[1], &[6.0])];
    load_weights(&net, &file(&directory, &statistics)).unwrap();
    assert_eq!(count(&net), 0);
    for (dtype, shape, bytes) in [
        ("F32", vec![], 1f32.to_le_bytes().to_vec()),
        ("I64", vec![2], vec![0; 16]),
        ("I64", vec![], vec![255; 8]),
        ("I16", vec![], vec![0, 128]),
        ("I8", vec![], vec![255]),
        ("U8", vec![0], vec![]),
        ("U8", vec![8], vec![0; 8]),
        ("BOOL", vec![], vec![1]),
    ] {
        let text = format!("  mismatch    num_batches_tracked: saved as {dtype}");
        let tensors = [statistics.clone(), vec![entry("num_batches_tracked", dtype, &shape, bytes)]].concat();
        let error = load_weights(&net, &file(&directory, &tensors)).unwrap_err().to_string();
        assert!(error.contains(&text) && error.contains(", the net has a count\n"), "{error}");
    }
}

#[test]
fn counters_are_integers_of_any_format() {
    let directory = directory();
    let net = BatchNorm1d::<f32>::new(1).without_affine();
    let statistics = [f32s("running_mean", &[1], &[5.0]), f32s("running_var", &[1], &[6.0])];
    for (dtype, bytes, expected) in [
        ("I8", 127i8.to_le_bytes().to_vec(), 127),
        ("U8", 200u8.to_le_bytes().to_vec(), 200),
        ("I16", 0x1234i16.to_le_bytes().to_vec(), 0x1234),
        ("U16", 0xfedcu16.to_le_bytes().to_vec(), 0xfedc),
        ("I32", 0x1234_5678i32.to_le_bytes().to_vec(), 0x1234_5678),
        ("U32", 0xfedc_ba98u32.to_le_bytes().to_vec(), 0xfedc_ba98),
        ("I64", 0x1234_5678_9abci64.to_le_bytes().to_vec(), 0x1234_5678_9abc),
        ("U64", u64::MAX.to_le_bytes().to_vec(), u64::MAX),
    ] {
        let tensors = [statistics.to_vec(), vec![entry("num_batches_tracked", dtype, &[], bytes)]].concat();
        load_weights(&net, &file(&directory, &tensors)).unwrap();
        assert_eq!(count(&net), expected, "{dtype}");
    }
}

/// A file may have tensors with more axes than this engine.
#[test]
fn tensors_with_nine_axes_do_not_fit() {
    let (directory, nine) = (directory(), [1, 1, 1, 1, 1, 1, 1, 1, 2]);
    let check = |net: &dyn Module, tensors: &[Entry], line: &str| {
        let (path, before) = (file(&directory, tensors), weights_sha256(net));
        let error = load_weights(net, &path).unwrap_err().to_string();
        assert_eq!(weights_sha256(net), before);
        assert!(error.lines().any(|found| found == line), "{error}");
        let report = LoadOptions::new().strict(false).load(net, &path).unwrap().to_string();
        assert!(report.lines().any(|found| found == line), "{report}");
        assert_eq!(count(net), 0);
    };
    check(
        &linear(2, 1),
        &[f32s("weight", &nine, &[1.0, 2.0]), f32s("bias", &[1], &[3.0])],
        "  mismatch    weight: saved [1, 1, 1, 1, 1, 1, 1, 1, 2], the net has (1, 2)",
    );
    check(
        &BatchNorm1d::<f32>::new(1).without_affine(),
        &[
            f32s("running_mean", &[1], &[5.0]),
            f32s("running_var", &[1], &[6.0]),
            entry("num_batches_tracked", "I64", &nine, vec![0; 16]),
        ],
        "  mismatch    num_batches_tracked: saved as I64 [1, 1, 1, 1, 1, 1, 1, 1, 2], the net has a count",
    );
}

fn one_number<T: Float>(dtype: &'static str, bytes: Vec<u8>) -> Result<(f64, LoadReport), String> {
    let directory = directory();
    let net: Linear<T> = Linear::without_bias(1, 1, &mut Rng::seed(1));
    let path = file(&directory, &[entry("weight", dtype, &[1, 1], bytes)]);
    let report = load_weights(&net, &path).map_err(|error| error.to_string())?;
    let value = net.weight.value().to_f64().item();
    Ok((value, report))
}

#[test]
fn other_formats_convert_and_the_report_says_so() {
    let third = 1.0 / 3.0;
    for (dtype, bytes, single) in [
        ("F16", 0x3555u16.to_le_bytes().to_vec(), 0.333_251_953_125),
        ("BF16", 0x3eabu16.to_le_bytes().to_vec(), 0.333_984_375),
        ("F64", f64::to_le_bytes(third).to_vec(), f64::from(third as f32)),
    ] {
        let (value, report) = one_number::<f32>(dtype, bytes.clone()).unwrap();
        assert_eq!(value, single, "{dtype}");
        assert_eq!(report.to_string(), format!("loaded 1 tensors\n  converted   1 from {dtype}: weight"));
        let (value, report) = one_number::<f64>(dtype, bytes).unwrap();
        assert_eq!(value, if dtype == "F64" { third } else { single }, "{dtype}");
        assert_eq!(report.converted.is_empty(), dtype == "F64");
    }
    let (value, report) = one_number::<f64>("F32", 0.1f32.to_le_bytes().to_vec()).unwrap();
    assert_eq!((value, report.converted["F32"].len()), (f64::from(0.1f32), 1));
    for (dtype, bytes, why) in [
        ("F64", 1e300f64.to_le_bytes().to_vec(), "saved with 1e300, which is too large for f32"),
        ("I32", vec![1, 0, 0, 0], "saved as I32, the net has f32"),
        ("F8_E4M3", vec![0], "saved as F8_E4M3, the net has f32"),
    ] {
        let error = one_number::<f32>(dtype, bytes).unwrap_err();
        assert!(error.contains(&format!("\n  mismatch    weight: {why}\n")), "{error}");
    }
}

/// Twelve layers from 1 to 1, without biases.
fn layers() -> Vec<Linear> {
    (0..12).map(|_| Linear::without_bias(1, 1, &mut Rng::seed(1))).collect()
}

#[test]
fn without_strictness_what_fits_is_loaded_and_the_rest_reported() {
    let directory = directory();
    let net = layers();
    let mut tensors: Vec<Entry> = (20..32).map(|i| f32s(&format!("{i}.weight"), &[1, 1], &[9.0])).collect();
    tensors.push(entry("3.weight", "F16", &[1, 1], 0x4000u16.to_le_bytes().to_vec()));
    tensors.push(f32s("4.weight", &[2, 1], &[0.0; 2]));
    let path = file(&directory, &tensors);
    let before = weights_sha256(&net);
    let error = load_weights(&net, &path).unwrap_err().to_string();
    assert_eq!(weights_sha256(&net), before);

    let report = LoadOptions::new().strict(false).load(&net, &path).unwrap();
    assert!(!report.is_complete());
    assert_eq!(report.loaded, ["3.weight"]);
    assert_eq!((report.missing.len(), report.unexpected.len(), report.mismatched.len()), (10, 12, 1));
    assert_eq!(net[3].weight.item(), 2.0);
    assert_ne!(net[4].weight.item(), 0.0);
    let text = report.to_string();
    let (head, differences) = text.split_at(text.find("\n  missing").unwrap());
    assert_eq!(head, "loaded 1 tensors\n  converted   1 from F16: 3.weight");
    assert!(error.contains(differences), "{error}\n{differences}");
    assert!(
        differences.starts_with("\n  missing     0.weight (1, 1)\n  missing     1.weight (1, 1)\n"),
        "{differences}"
    );
    assert!(
        differences.ends_with(
            "\n  mismatch    4.weight: saved (2, 1), the net has (1, 1)\n  unexpected  20.weight\n  unexpected  21.weight\n  unexpected  22.weight\n  unexpected  23.weight\n  unexpected  24.weight\n  unexpected  25.weight\n  unexpected  26.weight\n  unexpected  27.weight\n  unexpected  28.weight\n  unexpected  29.weight\n  unexpected  and 2 more"
        ),
        "{differences}"
    );

    // A file of which nothing fits is a mistake.
    let path = file(&directory, &of_linear("fc."));
    let error = LoadOptions::new().strict(false).load(&net, &path).unwrap_err().to_string();
    assert!(error.contains("\n  missing     and 2 more\n  unexpected  fc.bias\n  unexpected  fc.weight\n"), "{error}");
}

#[test]
fn names_in_a_long_conversion_are_counted() {
    let directory = directory();
    let half = |i| entry(&format!("{i}.weight"), "BF16", &[1, 1], vec![0, 0]);
    let report = load_weights(&layers(), &file(&directory, &(0..12).map(half).collect::<Vec<_>>())).unwrap();
    let expected = "loaded 12 tensors\n  converted   12 from BF16: 0.weight, 1.weight, 2.weight, 3.weight, 4.weight, 5.weight, 6.weight, 7.weight, 8.weight, 9.weight and 2 more";
    assert_eq!(report.to_string(), expected);
}

#[test]
fn a_prefix_and_a_renaming_choose_what_is_transferred() {
    let directory = directory();
    let renamed = vec![f32s("backbone.kernel", &[1, 2], &[1.0, 2.0]), f32s("backbone.bias", &[1], &[3.0])];
    let head = of_linear("head.");
    let net = linear(2, 1);
    let rename = |name: &str| name.replace("kernel", "weight");
    let options = || LoadOptions::new().prefix("backbone.").rename(rename);
    options().load(&net, &file(&directory, &renamed)).unwrap();
    assert_eq!(values(&net), [1.0, 2.0, 3.0]);
    let path = file(&directory, &[renamed, head].concat());
    let error = options().load(&net, &path).unwrap_err().to_string();
    assert!(error.contains("the net\n  unexpected  head.bias\n  unexpected  head.weight\nuse"), "{error}");
    let report = options().strict(false).load(&net, &path).unwrap();
    assert_eq!((report.loaded.len(), report.unexpected), (2, vec!["head.bias".into(), "head.weight".into()]));

    // The other way round: a plain file for a child of the net.
    let net = WithModel { model: linear(2, 1) };
    let path = file(&directory, &of_linear(""));
    LoadOptions::new().rename(|name| format!("model.{name}")).load(&net, &path).unwrap();
    assert_eq!(values(&net.model), [1.0, 2.0, 3.0]);
    let error = LoadOptions::new().rename(|_| "weight".into()).load(&net, &path).unwrap_err().to_string();
    assert!(error.contains("\n  renaming    bias and weight both become weight\n"), "{error}");
}
