//! Layers: shapes, state in training and at inference, error texts.

use chainrule_autograd::{Var, Var64, VarOf};
use chainrule_nn::{
    Activation, AdaptiveAvgPool2d, AvgPool2d, BatchNorm1d, BatchNorm2d, Conv2d, ConvTranspose2d, Counter, Dropout,
    Dropout2d, Embedding, Flatten, GruCell, Item, Linear, LstmCell, MaxPool2d, Module, RnnCell, Sequential, Upsample,
    Visitor,
};
use chainrule_tensor::{Rng, Shape, Tensor, TensorOf};
use serde_json::Value;

/// Tensor number k of the reference script.
fn formula(shape: &[usize], k: usize) -> TensorOf<f64> {
    TensorOf::from_fn(Shape::new(shape), |i| ((37 * i + 11 * k) % 101) as f64 / 50.0 - 1.0)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

fn assert_close(what: &str, actual: &TensorOf<f64>, expected: &Value) {
    let (actual, expected) = (actual.to_vec(), numbers(expected));
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (a, e)) in actual.iter().zip(&expected).enumerate() {
        assert!((a - e).abs() <= 1e-12 * (1.0 + e.abs()), "{what}[{i}] = {a}, PyTorch has {e}");
    }
}

/// Runs x and x2 in training mode, then x at inference; `running` gives the running mean and variance.
fn compare_batch_norm<M: Module<f64>>(op: &str, layer: &M, running: impl Fn(&M) -> [TensorOf<f64>; 2]) {
    let reference: Value =
        serde_json::from_str(include_str!("../../../tests/reference/layers.json")).expect("valid JSON");
    let case = |mode: &str| {
        let name = format!("{op}, {mode}");
        let cases = reference["cases"].as_array().expect("cases");
        cases.iter().find(|case| case["name"] == name.as_str()).expect("the case").clone()
    };
    let (training, eval) = (case("training"), case("eval"));
    let shape: Vec<usize> = numbers(&training["shapes"]["x"]).into_iter().map(|n| n as usize).collect();
    let parameters = layer.parameters();
    parameters[0].set(&formula(&[3], 2));
    parameters[1].set(&formula(&[3], 3));
    let x = Var64::parameter("x", formula(&shape, 1));
    let check = |case: &Value, y: &Var64| {
        assert_close("y", &y.value(), &case["y"]);
        let gradients = (y * Var64::constant(formula(&shape, 4))).sum().backward();
        assert_close("dx", &gradients[&x], &case["dx"]);
        assert_close("dw", &gradients[&parameters[0]], &case["dw"]);
        assert_close("db", &gradients[&parameters[1]], &case["db"]);
    };
    let check_running = |step: usize| {
        let [mean, var] = running(layer);
        assert_close("running mean", &mean, &training["running_mean"][step]);
        assert_close("running variance", &var, &training["running_var"][step]);
    };
    check(&training, &layer.forward(&x));
    check_running(0);
    assert_close("y2", &layer.forward(&Var64::constant(formula(&shape, 6))).value(), &training["y2"]);
    check_running(1);
    layer.eval();
    check(&eval, &layer.forward(&x));
    check_running(1);
    assert_eq!(counter(layer), 2, "two batches were tracked, and inference is none");
}

/// The value of the only counter of a module.
fn counter<T: chainrule_tensor::Float>(module: &dyn Module<T>) -> u64 {
    let mut counts = Vec::new();
    module.visit(&mut Visitor::new(&mut |_, item| {
        if let Item::Counter(counter) = item {
            counts.push(Counter::get(counter));
        }
    }));
    assert_eq!(counts.len(), 1);
    counts[0]
}

#[test]
fn batch_norm_as_pytorch() {
    compare_batch_norm("batch_norm2d", &BatchNorm2d::new(3), |layer| [layer.running_mean(), layer.running_var()]);
    compare_batch_norm("batch_norm1d", &BatchNorm1d::new(3), |layer| [layer.running_mean(), layer.running_var()]);
}

#[test]
fn batch_norm_of_sequences_is_that_of_images_of_one_row() {
    let x = formula(&[2, 3, 4], 1);
    let (flat, image) = (BatchNorm1d::<f64>::new(3), BatchNorm2d::<f64>::new(3));
    let y = flat.forward(&Var64::constant(&x));
    assert_eq!(y.value().to_vec(), image.forward(&Var64::constant(x.reshape([2, 3, 1, 4]))).value().to_vec());
    assert_eq!(flat.running_var(), image.running_var());
}

#[test]
fn batch_norm_without_affine_learns_nothing_and_keeps_its_statistics() {
    let (plain, affine) = (BatchNorm1d::<f64>::new(3).without_affine(), BatchNorm1d::<f64>::new(3));
    let x = Var64::constant(formula(&[5, 3], 1));
    assert_eq!(plain.forward(&x).value(), affine.forward(&x).value());
    assert!(plain.parameters().is_empty());
    assert_eq!(plain.running_mean(), affine.running_mean());
}

#[test]
fn momentum_1_keeps_the_last_batch_alone() {
    let layer = BatchNorm1d::<f64>::new(1).momentum(1.0);
    let _ = layer.forward(&Var64::constant([[1.0], [3.0]]));
    assert_eq!((layer.running_mean().item(), layer.running_var().item()), (2.0, 2.0));
}

#[test]
#[should_panic(expected = "BatchNorm1d: training needs more than one element of each channel\n  input = (1, 3)")]
fn one_element_has_no_variance() {
    let _ = BatchNorm1d::<f32>::new(3).forward(&Var::constant(Tensor::ones([1, 3])));
}

#[test]
fn inference_of_one_element_works() {
    let layer = BatchNorm1d::<f32>::new(3);
    layer.eval();
    let y = layer.forward(&Var::constant(Tensor::ones([1, 3])));
    assert!(y.value().to_vec().iter().all(|y| (y - 1.0).abs() < 1e-5));
}

#[test]
#[should_panic(
    expected = "BatchNorm2d: the shape of the input does not match\n  input = (2, 4, 5, 5)\n  rule: input (N,C,H,W) with C == 3"
)]
fn channels_must_agree() {
    let _ = BatchNorm2d::<f32>::new(3).forward(&Var::constant(Tensor::ones([2, 4, 5, 5])));
}

fn dropped(layer: &Dropout) -> Vec<f32> {
    layer.forward(&Var::constant(Tensor::ones(200))).value().to_vec()
}

#[test]
fn dropout_masks_differ_between_steps_and_agree_between_runs() {
    let layer = Dropout::new(0.5, &mut Rng::seed(1));
    let (first, second) = (dropped(&layer), dropped(&layer));
    assert_ne!(first, second);
    let again = Dropout::new(0.5, &mut Rng::seed(1));
    assert_eq!([dropped(&again), dropped(&again)], [first.clone(), second.clone()]);
    assert_ne!(dropped(&Dropout::new(0.5, &mut Rng::seed(2))), first);

    // A resumed run continues from the saved count.
    let resumed = Dropout::new(0.5, &mut Rng::seed(1));
    Module::<f32>::visit(
        &resumed,
        &mut Visitor::new(&mut |path, item| {
            if let Item::Counter(draws) = item {
                assert_eq!(path, "draws");
                draws.set(1);
            }
        }),
    );
    assert_eq!(dropped(&resumed), second);
}

#[test]
fn two_dropout_layers_have_different_masks() {
    let rng = &mut Rng::seed(1);
    assert_ne!(dropped(&Dropout::new(0.5, rng)), dropped(&Dropout::new(0.5, rng)));
}

#[test]
fn dropout2d_drops_whole_channels_of_each_sample() {
    let layer = Dropout2d::new(0.5, &mut Rng::seed(1));
    let x = Var64::parameter("x", TensorOf::full([8, 16, 2, 3], 1.0));
    let y = layer.forward(&x);
    let values = y.value().to_vec();
    let channels: Vec<f64> = values.chunks(6).map(|channel| channel[0]).collect();
    assert!(values.chunks(6).zip(&channels).all(|(channel, first)| channel.iter().all(|v| v == first)));
    let dropped = channels.iter().filter(|&&v| v == 0.0).count();
    assert!((32..96).contains(&dropped) && channels.iter().all(|&v| v == 0.0 || v == 2.0), "{dropped} of 128");
    assert_eq!(y.sum().backward()[&x].to_vec(), values);
    assert_ne!(layer.forward(&x).value().to_vec(), values, "another mask at the next step");
    Module::<f64>::eval(&layer);
    assert_eq!(layer.forward(&x).value(), x.value());
}

#[test]
fn dropout_does_nothing_at_inference() {
    let layer = Dropout::new(0.5, &mut Rng::seed(1));
    Module::<f32>::eval(&layer);
    assert_eq!(dropped(&layer), [1.0; 200]);
    assert_eq!(counter::<f32>(&layer), 0);
    Module::<f32>::train(&layer);
    assert!(dropped(&layer).contains(&0.0));
    assert_eq!(counter::<f32>(&layer), 1);
}

#[test]
#[should_panic(expected = "dropout: p is 1\n  rule: 0 ≤ p < 1")]
fn a_dropout_probability_of_1_is_an_error() {
    let _ = Dropout::new(1.0, &mut Rng::seed(1));
}

/// `output_shape` agrees with the shape of `forward`.
#[test]
fn output_shapes_are_those_of_the_outputs() {
    let rng = &mut Rng::seed(1);
    let image = Shape::from([2, 4, 9, 7]);
    let layers: Vec<(Box<dyn Module>, Shape, [usize; 4])> = vec![
        (Box::new(Conv2d::new(4, 6, 3, rng)), image, [2, 6, 7, 5]),
        (
            Box::new(Conv2d::builder(4, 6, [3, 5]).stride([2, 1]).padding([1, 2]).groups(2).bias(false).build(rng)),
            image,
            [2, 6, 5, 7],
        ),
        (Box::new(Conv2d::builder(4, 1, 3).dilation(2).build(rng)), image, [2, 1, 5, 3]),
        (
            Box::new(ConvTranspose2d::builder(4, 3, 3).stride(2).padding(1).output_padding(1).build(rng)),
            image,
            [2, 3, 18, 14],
        ),
        (Box::new(MaxPool2d::new(2)), image, [2, 4, 4, 3]),
        (Box::new(MaxPool2d::new([3, 2]).stride(1).padding(1)), image, [2, 4, 9, 8]),
        (Box::new(AvgPool2d::new(3).stride(2).padding(1).count_include_pad(false)), image, [2, 4, 5, 4]),
        (Box::new(AdaptiveAvgPool2d([3, 2])), image, [2, 4, 3, 2]),
        (Box::new(Upsample::Nearest(2)), image, [2, 4, 18, 14]),
        (Box::new(Upsample::Bilinear(3)), image, [2, 4, 27, 21]),
        (Box::new(BatchNorm2d::new(4)), image, [2, 4, 9, 7]),
        (Box::new(Activation::Gelu), image, [2, 4, 9, 7]),
        (Box::new(Dropout::new(0.1, rng)), image, [2, 4, 9, 7]),
    ];
    for (i, (layer, input, expected)) in layers.iter().enumerate() {
        let said = layer.output_shape(*input).unwrap_or_else(|error| panic!("case {i}: {error}"));
        assert_eq!(said, *expected, "case {i}");
        assert_eq!(layer.forward(&Var::constant(Tensor::ones(*input))).shape(), said, "case {i}");
    }
    let (flatten, fc): (Box<dyn Module>, Linear) = (Box::new(Flatten), Linear::without_bias(252, 10, rng));
    let flat = flatten.output_shape(image).expect("an image can be flattened");
    assert_eq!(flat, [2, 252]);
    assert_eq!(fc.output_shape(flat).expect("the features agree"), [2, 10]);
    assert!(fc.bias.is_none());
}

#[test]
fn a_shape_error_in_a_sequence_names_the_layer() {
    let rng = &mut Rng::seed(1);
    let net: Sequential = Sequential::new()
        .add(Conv2d::new(1, 4, 3, rng))
        .add(MaxPool2d::new(2))
        .add(Flatten)
        .add(Linear::new(100, 10, rng));
    assert_eq!(net.output_shape(Shape::from([1, 1, 12, 12])).expect("the net is for such images"), [1, 10]);
    let text = net.output_shape(Shape::from([1, 1, 28, 28])).expect_err("the features disagree").to_string();
    assert!(text.starts_with("layer 3: linear: weight expects 100 features, input has 676\n"), "{text}");
    let text = net.output_shape(Shape::from([1, 1, 2, 12])).expect_err("the image is too small").to_string();
    assert!(text.starts_with("layer 0: conv2d: a kernel of 3×3"), "{text}");
}

#[test]
#[should_panic(
    expected = "upsample: expected images with four axes that are not empty, and a positive factor\n  input (N,C,H,W) = (2, 3)"
)]
fn upsampling_requires_four_axes() {
    let _ = Upsample::Nearest(2).forward(&Var::constant(Tensor::ones([2, 3])));
}

#[test]
fn upsampling_to_a_size_that_overflows_is_an_error() {
    let text = Module::<f32>::output_shape(&Upsample::Nearest(usize::MAX), Shape::from([1, 1, 2, 2]))
        .expect_err("the size overflows")
        .to_string();
    assert!(text.contains("rule: H, W, factor ≥ 1"), "{text}");
}

#[test]
#[should_panic(expected = "convolution: 3 and 4 channels cannot be divided among 2 groups")]
fn groups_divide_channels() {
    let _: Conv2d = Conv2d::builder(3, 4, 3).groups(2).build(&mut Rng::seed(1));
}

/// The layer computes the same as its op, and its parameters get gradients.
#[test]
fn a_transposed_convolution_restores_the_shape_of_its_convolution() {
    let rng = &mut Rng::seed(1);
    let down: Conv2d<f64> = Conv2d::builder(3, 5, 3).stride(2).padding(1).build(rng);
    let up: ConvTranspose2d<f64> = ConvTranspose2d::builder(5, 3, 3).stride(2).padding(1).output_padding(1).build(rng);
    let x = VarOf::constant(formula(&[2, 3, 8, 6], 1));
    let y = up.forward(&down.forward(&x));
    assert_eq!(y.shape(), x.shape());
    let gradients = y.square().mean().backward();
    for parameter in down.parameters().iter().chain(&up.parameters()) {
        assert!(gradients[parameter].to_vec().iter().any(|&g| g != 0.0), "{}", parameter.name());
    }
}

#[test]
fn padding_of_an_embedding_is_0_and_stays_so() {
    let words: Embedding<f64> = Embedding::new(3, 2, &mut Rng::seed(1)).padding(1);
    let y = words.lookup(&TensorOf::from([[1, 0], [1, 1]]));
    assert_eq!(y.value().to_vec()[..2], [0.0, 0.0]);
    let gradient = y.sum().backward()[&words.weight].to_vec();
    assert_eq!(gradient, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(words.forward(&Var64::constant([[1.0, 0.0], [1.0, 1.0]])).value(), y.value());
}

#[test]
#[should_panic(expected = "Embedding: the padding is row 3\n  rule: one of 3 rows")]
fn the_padding_of_an_embedding_is_one_of_its_rows() {
    let _ = Embedding::<f32>::new(3, 2, &mut Rng::seed(1)).padding(3);
}

#[test]
fn a_cell_begins_with_a_state_of_zeros() {
    let rng = &mut Rng::seed(1);
    let x = Var64::constant(formula(&[2, 3], 1));
    let (rnn, lstm, gru) = (RnnCell::new(3, 4, rng), LstmCell::new(3, 4, rng), GruCell::new(3, 4, rng));
    let zeros = rnn.zeros(&x);
    assert_eq!(rnn.forward(&x).value(), rnn.step(&x, &zeros).value());
    assert_eq!(lstm.forward(&x).value(), lstm.step(&x, (&zeros, &zeros)).0.value());
    assert_eq!(gru.forward(&x).value(), gru.step(&x, &zeros).value());
    let paths: Vec<String> = gru.named_parameters().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]);
}

#[test]
#[should_panic(
    expected = "GruCell: a state has another shape\n  input (N,I) = (1, 3)\n  state (N,H) = (2, 4)\n  rule: state (1, 4)"
)]
fn a_state_has_a_row_for_each_input() {
    let cell = GruCell::<f64>::new(3, 4, &mut Rng::seed(1));
    let _ = cell.step(&Var64::constant([[1.0, 2.0, 3.0]]), &Var64::constant(TensorOf::zeros([2, 4])));
}

#[test]
#[should_panic(expected = "LstmCell: the input has shape (1, 2)\n  rule: input (N,I) with I == 3")]
fn the_input_of_a_cell_has_its_width() {
    let _ = LstmCell::<f64>::new(3, 4, &mut Rng::seed(1)).forward(&Var64::constant([[1.0, 2.0]]));
}
