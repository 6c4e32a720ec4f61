//! `output_shape` and `forward` agree: what one accepts the other computes with that shape, what one refuses the other refuses
//! with the same text.

use std::panic::{AssertUnwindSafe, catch_unwind};

use chainrule_autograd::{Var, VarOf};
use chainrule_nn::{
    Activation, AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveMaxPool1d, AdaptiveMaxPool2d, Add, AvgPool1d, AvgPool2d,
    BatchNorm1d, BatchNorm2d, CircularPad2d, Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d, Dropout, Dropout2d,
    Embedding, Flatten, GroupNorm, InstanceNorm1d, InstanceNorm2d, LayerNorm, Linear, LstmCell, MaxPool1d, MaxPool2d,
    Module, PRelu, PixelShuffle, PixelUnshuffle, ReflectionPad2d, ReplicationPad2d, Sequential, Upsample, ZeroPad2d,
};
use chainrule_tensor::{Rng, Shape, Tensor};

/// Small numbers in a fixed random order.
struct Draw(u64);

impl Draw {
    /// From `low` to `high`, both included.
    fn of(&mut self, low: usize, high: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + (self.0 >> 33) as usize % (high - low + 1)
    }
    fn pair(&mut self, low: usize, high: usize) -> [usize; 2] {
        [self.of(low, high), self.of(low, high)]
    }
}

fn layer(kind: usize, draw: &mut Draw, rng: &mut Rng) -> (String, Box<dyn Module>) {
    let [groups, inputs, outputs] = [draw.of(1, 2), draw.of(1, 2), draw.of(1, 2)];
    let channels = [groups * inputs, groups * outputs];
    let (kernel, stride, padding, dilation) = (draw.pair(1, 4), draw.pair(0, 3), draw.pair(0, 3), draw.pair(0, 3));
    let (extra, size, bias, ceil) = (draw.pair(0, 3), draw.of(0, 3), draw.of(0, 1) == 1, draw.of(0, 1) == 1);
    let options = format!(
        "{channels:?} groups {groups} kernel {kernel:?} stride {stride:?} padding {padding:?} dilation {dilation:?} output padding {extra:?} size {size} ceil mode {ceil}"
    );
    let training = |layer: &dyn Module, draw: &mut Draw| {
        if draw.of(0, 1) == 1 {
            layer.eval();
        }
    };
    let sides = [stride[0], stride[1], padding[0], padding[1]];
    let layer: Box<dyn Module> = match kind {
        0 => Box::new(
            Conv2d::builder(channels[0], channels[1], kernel)
                .stride(stride)
                .padding(padding)
                .dilation(dilation)
                .groups(groups)
                .bias(bias)
                .build(rng),
        ),
        1 => Box::new(
            ConvTranspose2d::builder(channels[0], channels[1], kernel)
                .stride(stride)
                .padding(padding)
                .dilation(dilation)
                .groups(groups)
                .bias(bias)
                .output_padding(extra)
                .build(rng),
        ),
        2 => Box::new(MaxPool2d::new(kernel).stride(stride).padding(padding).dilation(dilation).ceil_mode(ceil)),
        3 => Box::new(
            AvgPool2d::new(kernel)
                .stride(stride)
                .padding(padding)
                .dilation(dilation)
                .ceil_mode(ceil)
                .count_include_pad(bias),
        ),
        4 => Box::new(AdaptiveAvgPool2d(extra)),
        5 => Box::new(Upsample::Nearest(size)),
        6 => Box::new(Upsample::Bilinear(size)),
        7 => Box::new(Linear::new(inputs, outputs, rng)),
        8 => Box::new(Flatten),
        9 => {
            let layer = BatchNorm2d::new(inputs);
            training(&layer, draw);
            Box::new(layer)
        }
        10 => {
            let layer = BatchNorm1d::new(inputs);
            training(&layer, draw);
            Box::new(layer)
        }
        11 => Box::new(Dropout::new(0.5, rng)),
        12 => Box::new(Activation::Gelu),
        13 => Box::new(LayerNorm::new(outputs)),
        14 => Box::new(GroupNorm::new(groups, channels[0])),
        15 => Box::new(InstanceNorm1d::new(inputs)),
        16 => Box::new(InstanceNorm2d::new(inputs).affine()),
        17 => Box::new(PRelu::new(inputs, 0.25)),
        18 => Box::new(PixelShuffle(size)),
        19 => Box::new(PixelUnshuffle(size)),
        20 => Box::new(ZeroPad2d::new(sides)),
        21 => Box::new(ReflectionPad2d::new(sides)),
        22 => Box::new(ReplicationPad2d::new(sides)),
        23 => Box::new(CircularPad2d::new(sides)),
        24 => Box::new(
            Conv1d::<f32>::builder(channels[0], channels[1], kernel[0])
                .stride(stride[0])
                .padding(padding[0])
                .dilation(dilation[0])
                .groups(groups)
                .bias(bias)
                .build(rng),
        ),
        25 => Box::new(
            MaxPool1d::new(kernel[0]).stride(stride[0]).padding(padding[0]).dilation(dilation[0]).ceil_mode(ceil),
        ),
        26 => Box::new(
            AvgPool1d::new(kernel[0])
                .stride(stride[0])
                .padding(padding[0])
                .dilation(dilation[0])
                .ceil_mode(ceil)
                .count_include_pad(bias),
        ),
        27 => Box::new(Dropout2d::new(0.5, rng)),
        28 => Box::new(LstmCell::new(inputs, outputs, rng)),
        29 => Box::new(
            ConvTranspose1d::<f32>::builder(channels[0], channels[1], kernel[0])
                .stride(stride[0])
                .padding(padding[0])
                .dilation(dilation[0])
                .groups(groups)
                .bias(bias)
                .output_padding(extra[0])
                .build(rng),
        ),
        30 => Box::new(AdaptiveMaxPool1d(size)),
        31 => Box::new(AdaptiveAvgPool1d(size)),
        32 => Box::new(AdaptiveMaxPool2d(extra)),
        // The index is 1 throughout.
        33 => Box::new(Embedding::new(1 + inputs, outputs, rng).padding(size % 2)),
        // What fuses into one op.
        _ => Box::new(
            Sequential::new()
                .add(Conv2d::builder(channels[0], channels[1], kernel).padding(padding).bias(bias).build(rng))
                .add(Activation::Relu)
                .add(
                    MaxPool2d::new(draw.pair(1, 3)).padding(draw.pair(0, 1)).dilation(draw.pair(1, 2)).ceil_mode(ceil),
                ),
        ),
    };
    (format!("layer {kind}, {options}"), layer)
}

const KINDS: usize = 35;

/// Mostly images, of any number, also 0; axes of length 0 and other ranks too.
fn shape(kind: usize, draw: &mut Draw) -> Shape {
    let usual = match kind {
        7 | 28 => 2,
        10 => draw.of(2, 3),
        13 | 33 => draw.of(1, 4),
        15 | 24..=26 | 29..=31 => 3,
        14 | 17 | 27 => draw.of(2, 4),
        _ => 4,
    };
    let rank = if draw.of(0, 15) == 0 { draw.of(0, 5) } else { usual };
    let least = usize::from(draw.of(0, 7) != 0);
    let lengths: Vec<usize> =
        (0..rank).map(|axis| draw.of(if axis == 0 { 0 } else { least }, [2, 4, 7, 7, 3][axis])).collect();
    Shape::new(&lengths)
}

/// The shape that `forward` computes, or the text of its panic.
fn forward(layer: &dyn Module, x: Shape) -> Result<Shape, String> {
    let x: VarOf<f32> = Var::parameter("x", Tensor::ones(x));
    catch_unwind(AssertUnwindSafe(|| {
        let y = layer.forward(&x);
        // The gradients exist too.
        let gradients = y.sum().backward();
        assert!(!y.requires_grad() || gradients.get(&x).is_none_or(|dx| dx.shape() == x.shape()));
        y.shape()
    }))
    .map_err(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().map_or_else(|_| "no text".into(), |text| (*text).to_owned()),
    })
}

#[test]
fn output_shape_agrees_with_forward_for_all_layers() {
    let (draw, rng) = (&mut Draw(7), &mut Rng::seed(1));
    let (mut accepted, mut refused) = ([0; KINDS], [0; KINDS]);
    for case in 0..KINDS * 500 {
        let kind = case % KINDS;
        let (name, layer) = layer(kind, draw, rng);
        let x = shape(kind, draw);
        let said = layer.output_shape(x).map_err(|error| error.to_string());
        let done = forward(&*layer, x);
        // A sequence says in which layer; the panic of the layer itself does not.
        let said = said.map_err(|text| match text.strip_prefix("layer ") {
            Some(rest) => rest[3..].to_owned(),
            None => text,
        });
        // Fused layers name the op that computes them.
        let rest = |text: String| text.split_once(": ").map_or(text.clone(), |(_, rest)| rest.to_owned());
        let (said, done) = if kind == KINDS - 1 { (said.map_err(rest), done.map_err(rest)) } else { (said, done) };
        assert_eq!(said, done, "{name} of {x}");
        if done.is_ok() { accepted[kind] += 1 } else { refused[kind] += 1 }
    }
    assert!(accepted.iter().all(|&n| n >= 3), "{accepted:?}");
    // Dropout, activations and embeddings take any shape.
    let picky = |kind: &usize| ![11, 12, 33].contains(kind);
    assert!((0..KINDS).filter(picky).all(|kind| refused[kind] >= 3), "{refused:?}");
}

#[test]
fn a_residual_agrees_too() {
    for (x, r) in [(&[2, 3][..], &[2, 3][..]), (&[2, 3], &[3]), (&[2, 1], &[1, 4]), (&[2, 3], &[4]), (&[0, 3], &[1])] {
        let residual = Var::constant(Tensor::ones(Shape::new(r)));
        let (add, x) = (Add(&residual), Shape::new(x));
        let said = add.output_shape(x).map_err(|error| error.to_string());
        assert_eq!(said, forward(&add, x), "{x} and {r:?}");
    }
}

#[test]
fn batch_normalization_of_single_elements_is_refused_by_both() {
    let (flat, images) = (BatchNorm1d::new(3), BatchNorm2d::new(3));
    let layers: [(&dyn Module, Shape); 4] = [
        (&flat, Shape::from([1, 3])),
        (&images, Shape::from([1, 3, 1, 1])),
        (&images, Shape::from([0, 3, 4, 4])),
        (&images, Shape::from([2, 3, 1, 1])),
    ];
    for (i, (layer, x)) in layers.into_iter().enumerate() {
        let said = layer.output_shape(x).map_err(|error| error.to_string());
        assert_eq!(said, forward(layer, x), "{x}");
        assert_eq!(said.is_ok(), i == 3, "{said:?}");
    }
    let text = images.output_shape(Shape::from([1, 3, 1, 1])).expect_err("a single element").to_string();
    assert_eq!(
        text,
        "BatchNorm2d: training needs more than one element of each channel\n  input = (1, 3, 1, 1)\n  rule: a larger batch, or eval() first"
    );
    images.eval();
    assert_eq!(images.output_shape(Shape::from([1, 3, 1, 1])).expect("at inference"), [1, 3, 1, 1]);
}

/// PyTorch gives 6×6, 6×8 and 8×8.
#[test]
fn an_output_padding_between_stride_and_dilation() {
    let rng = &mut Rng::seed(1);
    for (dilation, extra, expected) in [([2, 2], [1, 1], [6, 6]), ([2, 4], [1, 1], [6, 8]), ([3, 3], [2, 2], [8, 8])] {
        let layer: ConvTranspose2d =
            ConvTranspose2d::builder(1, 1, 2).dilation(dilation).output_padding(extra).build(rng);
        let x = Shape::from([1, 1, 3, 3]);
        let y = layer.forward(&Var::constant(Tensor::ones(x)));
        assert_eq!(y.shape(), [1, 1, expected[0], expected[1]]);
        assert_eq!(layer.output_shape(x).expect("it computes"), y.shape());
        // Nothing reaches the added rows but the bias.
        let bias = layer.bias.as_ref().expect("it has one").value().item();
        let last = y.value().narrow(2, expected[0] - extra[0]..expected[0]).to_vec();
        assert!(last.iter().all(|&v| v == bias), "{last:?}");
    }
}
