//! Tensors as files store them: conversions, and nets that are saved to and loaded from them.

use std::path::Path;

use chainrule_autograd::Var;
use chainrule_nn::{
    BatchNorm1d, Dtype, Linear, LoadOptions, Module, Sequential, StoredTensor, StoredTensors, children, load_weights,
    read_safetensors, save_weights, state_dict, weights_sha256, write_safetensors,
};
use chainrule_tensor::{Element, Rng, Tensor, Tensor64, TensorOf};

fn stored(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> StoredTensor<'static> {
    StoredTensor::new(dtype, shape, bytes.to_vec())
}

#[test]
fn tensors_of_every_element_type_return_with_the_same_bits() {
    fn returns<T: Element>(x: &TensorOf<T>, dtype: Dtype) {
        let stored = StoredTensor::from(x);
        assert_eq!((stored.dtype(), stored.shape()), (dtype, &*x.shape()));
        assert_eq!(stored.to_tensor::<T>().unwrap(), *x);
    }
    returns(&Tensor::from([[0.1, -0.0], [f32::INFINITY, f32::MIN_POSITIVE / 2.0]]), Dtype::F32);
    returns(&Tensor64::from([0.1, 1e300]), Dtype::F64);
    returns(&TensorOf::<i32>::from([i32::MIN, i32::MAX]), Dtype::I32);
    returns(&TensorOf::<u8>::from([[0, 255]]), Dtype::U8);
    // Row-major, whatever the strides are.
    let x = Tensor::from([[1.0, 2.0], [3.0, 4.0]]);
    assert_eq!(
        StoredTensor::from(&x.transpose(0, 1)).bytes(),
        StoredTensor::from(&Tensor::from([[1.0, 3.0], [2.0, 4.0]])).bytes()
    );
}

#[test]
fn integers_convert_if_the_type_has_them() {
    let error = |stored: StoredTensor<'_>| {
        let error = stored.to_tensor::<f32>().unwrap_err().to_string();
        let text = error.strip_prefix("cannot convert a stored tensor: ").unwrap();
        text.strip_suffix("; convert it in the program that made it, or ask for another type").unwrap().to_owned()
    };
    let minus_two = stored(Dtype::I16, &[1], &[0xfe, 0xff]);
    assert_eq!(minus_two.to_tensor::<f32>().unwrap(), Tensor::from([-2.0]));
    assert_eq!(minus_two.to_tensor::<i32>().unwrap(), TensorOf::from([-2]));
    assert!(minus_two.to_tensor::<u8>().is_err());
    assert_eq!(stored(Dtype::U16, &[1], &[0xfe, 0xff]).to_tensor::<i32>().unwrap(), TensorOf::from([0xfffe]));
    assert_eq!(stored(Dtype::BOOL, &[2], &[1, 0]).to_tensor::<u8>().unwrap(), TensorOf::from([1, 0]));
    // 2²⁴ + 1 has no f32, 2⁶⁴ − 1 has neither.
    let odd = stored(Dtype::I32, &[1], &16_777_217_i32.to_le_bytes());
    assert_eq!(odd.to_tensor::<f64>().unwrap(), Tensor64::from([16_777_217.0]));
    assert_eq!(error(odd), "saved with 16777217, which f32 cannot represent");
    let large = stored(Dtype::U64, &[1], &[0xff; 8]);
    assert!(large.to_tensor::<f64>().is_err());
    assert_eq!(error(large), "saved with 18446744073709551615, which f32 cannot represent");
    assert_eq!(error(stored(Dtype::F8_E4M3, &[1], &[0])), "saved as F8_E4M3, which f32 cannot represent");
    assert_eq!(
        error(stored(Dtype::F64, &[1], &1e300_f64.to_le_bytes())),
        "saved with 1e300, which is too large for f32"
    );
    let half = stored(Dtype::F16, &[1], &[0, 0x38]);
    assert_eq!(half.to_tensor::<f64>().unwrap(), Tensor64::from([0.5]));
    assert_eq!(
        half.to_tensor::<i32>().unwrap_err().to_string(),
        "cannot convert a stored tensor: saved as F16, which i32 cannot represent; convert it in the program that made it, \
         or ask for another type"
    );
}

#[test]
#[should_panic(expected = "a stored tensor: 7 bytes are not those of F32 [2]")]
fn bytes_must_be_those_of_the_shape() {
    stored(Dtype::F32, &[2], &[0; 7]);
}

#[test]
#[should_panic(expected = "a stored tensor: 0 bytes are not those of U8 [9223372036854775807, 4]")]
fn shapes_beyond_all_memory_are_not_counted() {
    stored(Dtype::U8, &[isize::MAX as usize, 4], &[]);
}

fn net(seed: u64) -> Sequential {
    let mut rng = Rng::seed(seed);
    let net = Sequential::new().add(Linear::new(2, 3, &mut rng)).add(BatchNorm1d::new(3));
    let x: Var = Var::constant([[1.0, 2.0], [seed as f32, 0.0]]);
    net.forward(&x);
    net
}

#[test]
fn a_saved_net_has_the_names_and_formats_of_a_state_dict() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let (a, b) = (net(1), net(2));
    save_weights(&a, &path).unwrap();
    let saved = read_safetensors(&path).unwrap();
    assert_eq!(saved, state_dict(&a));
    let names: Vec<&str> = saved.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["0.bias", "0.weight", "1.bias", "1.num_batches_tracked", "1.running_mean", "1.running_var", "1.weight"]
    );
    let counter = &saved["1.num_batches_tracked"];
    assert_eq!((counter.dtype(), counter.shape(), counter.bytes()), (Dtype::I64, &[][..], &1_i64.to_le_bytes()[..]));
    assert_eq!(load_weights(&b, &path).unwrap().loaded.len(), 7);
    assert_eq!(state_dict(&b), saved);
    // The same again, not by way of a file.
    let c = net(3);
    LoadOptions::new().load_tensors(&c, &saved, Path::new("memory")).unwrap();
    assert_eq!(state_dict(&c), saved);
    let error = write_safetensors(&saved, folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("cannot write ") && error.ends_with("; a previous file is unchanged"), "{error}");
}

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

#[test]
fn tied_weights_are_saved_under_each_name() {
    let encoder = Linear::without_bias(2, 2, &mut Rng::seed(1));
    let net = Tied { decoder: Linear { weight: encoder.weight.clone(), bias: None }, encoder };
    let saved = state_dict(&net);
    assert_eq!(saved["encoder.weight"], saved["decoder.weight"]);
    assert_eq!(saved.len(), 2);
    LoadOptions::new().load_tensors(&net, &saved, Path::new("memory")).unwrap();
}

#[test]
fn tensors_of_any_file_load_with_the_same_reports() {
    let net: Linear = Linear::new(1, 1, &mut Rng::seed(0));
    let before = weights_sha256(&net);
    let tensors = StoredTensors::from([
        ("module.weight".to_owned(), stored(Dtype::F16, &[1, 1], &[0, 0x3c])),
        ("module.bias".to_owned(), stored(Dtype::F32, &[1], &2_f32.to_le_bytes())),
    ]);
    let path = Path::new("x.pth");
    let error = LoadOptions::new().prefix("net.").load_tensors(&net, &tensors, path).unwrap_err();
    assert_eq!(
        error.to_string(),
        "x.pth: does not match the net\n  missing     bias (1,)\n  missing     weight (1, 1)\n  unexpected  module.bias\n  \
         unexpected  module.weight\nuse the same net as when the file was saved, or load what fits with \
         LoadOptions::strict(false)"
    );
    let error = LoadOptions::new().average(true).load_tensors(&net, &tensors, path).unwrap_err();
    assert_eq!(error.to_string(), "x.pth: it has no average of the weights; use the weights, or train with an Ema");
    assert_eq!(weights_sha256(&net), before);
    let report = LoadOptions::new().load_tensors(&net, &tensors, path).unwrap();
    assert_eq!(
        report.to_string(),
        "loaded 2 tensors, without the prefix 'module.' of all names in the file\n  converted   1 from F16: weight"
    );
    assert_eq!((net.weight.value().item(), net.bias.unwrap().value().item()), (1.0, 2.0));
}
