//! Each operation, exported and imported again.

use chainrule_autograd::{Var, VarOf};
use chainrule_nn::{Module, Visitor};
use chainrule_onnx::{EXPORTED, IMPORTED, OnnxError, OnnxModel, export, export_graph};
use chainrule_tensor::{Compare, Conv2dOptions, Epilogue, Key, Pool2dOptions, Purpose, Tensor};

type Function = Box<dyn Fn(&Var) -> Var + Send + Sync>;

/// A function as a net.
struct Net<F>(F);

impl<F: Fn(&Var) -> Var + Send + Sync> Module<f32> for Net<F> {
    fn forward(&self, x: &Var) -> Var {
        (self.0)(x)
    }
    fn visit(&self, _visitor: &mut Visitor<'_, f32>) {}
}

fn random(seed: u64, shape: &[usize]) -> Var {
    Tensor::random_normal(Key::new(seed, Purpose::USER), shape).into()
}

/// Images at batch size 4 through the file of `f`, which must have the bits of `f` itself.
fn same_bits(what: &str, f: impl Fn(&Var) -> Var + Send + Sync) {
    let net = Net(f);
    let file = export(&net, [1, 4, 6, 6]).unwrap_or_else(|error| panic!("{what}: {error}"));
    let again = OnnxModel::from_bytes(&file.to_bytes()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let x = random(3, &[4, 4, 6, 6]);
    let (expected, found) = (net.forward(&x), again.forward(&x));
    assert_eq!(expected.shape(), found.shape(), "{what}");
    // Bits, so that NaN equals itself.
    let bits = |y: &Var| y.value().to_vec().into_iter().map(f32::to_bits).collect::<Vec<u32>>();
    assert_eq!(bits(&expected), bits(&found), "{what}");
}

/// Every operation of the table is tried, so that none is forgotten.
#[test]
fn every_operation_keeps_its_bits() {
    let w = random(1, &[2, 4, 3, 3]);
    let b = random(2, &[2]);
    let two = random(4, &[5, 144]);
    let pair = random(5, &[4, 2, 2, 3]);
    let options = Conv2dOptions { stride: [2, 1], padding: [1, 0], dilation: [1, 2], groups: 1 };
    let [gamma, beta] = [random(6, &[4]), random(7, &[4])];
    let (mean, variance) =
        (Tensor::from_slice(&[0.1, -0.2, 0.3, 0.0], 4), Tensor::from_slice(&[1.0, 0.5, 2.0, 0.1], 4));
    let index = |len: usize| chainrule_tensor::TensorOf::<i32>::from_fn([4, 4, len, 6], |i| (i % 6) as i32);
    let cases: Vec<(&str, Function)> = vec![
        ("abs", Box::new(|x| x.abs())),
        ("add", Box::new(|x| x + x.exp())),
        ("add number", Box::new(|x| x + 0.3)),
        ("avg_pool2d", Box::new(|x| x.avg_pool2d(2))),
        ("avg_pool2d", Box::new(|x| x.adaptive_avg_pool2d([1, 1]))),
        ("avg_pool2d", Box::new(|x| x.adaptive_avg_pool2d([3, 2]))),
        (
            "avg_pool2d",
            Box::new(|x| {
                x.avg_pool2d(Pool2dOptions {
                    stride: [2, 2],
                    padding: [1, 1],
                    count_include_pad: false,
                    ..[3, 2].into()
                })
            }),
        ),
        (
            "avg_pool2d",
            Box::new(|x| {
                let options = Pool2dOptions { stride: [2, 3], padding: [1, 1], ceil_mode: true, ..3.into() };
                x.avg_pool2d(options) + x.avg_pool2d(Pool2dOptions { count_include_pad: false, ..options })
            }),
        ),
        ("batch_norm at inference", {
            let [gamma, beta, mean, variance] =
                [gamma.clone(), beta.clone(), mean.clone().into(), variance.clone().into()];
            Box::new(move |x: &Var| x.batch_norm_inference(&gamma, &beta, &mean.value(), &variance.value(), 1e-3))
        }),
        (
            "batch_norm at inference",
            Box::new(move |x: &Var| {
                x.batch_norm_inference_with([&gamma, &beta], [&mean, &variance], 1e-3, Epilogue::add_relu(&x.tanh()))
            }),
        ),
        (
            "broadcast_to",
            Box::new(|x| {
                let shape = x.shape();
                x.sum_axes(&[1], true).broadcast_to([3, shape[0], 2, 6, 6])
            }),
        ),
        ("channel_sum", Box::new(|x| x * x.channel_sum().reshape([1, 4, 1, 1]))),
        ("clamp", Box::new(|x| x.clamp(-0.5, f64::INFINITY))),
        ("concat", Box::new(|x| VarOf::concat(&[x, &x.relu()], -2))),
        ("conv2d", {
            let (w, b) = (w.clone(), b.clone());
            Box::new(move |x: &Var| x.conv2d(&w, Some(&b), options))
        }),
        ("conv2d", {
            let w = random(1, &[4, 4, 3, 3]);
            Box::new(move |x: &Var| x.conv2d_with(&w, None, Conv2dOptions::padded(1), Epilogue::add_relu(x)))
        }),
        ("conv2d input gradient", {
            let w = random(8, &[4, 3, 3, 2]);
            let options = Conv2dOptions { stride: [2, 2], padding: [1, 0], ..Conv2dOptions::default() };
            Box::new(move |x: &Var| x.conv_transpose2d(&w, None, options, [1, 0]))
        }),
        ("conv2d_relu_max_pool2d", {
            let (w, b) = (w.clone(), b.clone());
            Box::new(move |x: &Var| x.conv2d_relu_max_pool2d(&w, Some(&b), options, 2))
        }),
        (
            "conv2d_relu_max_pool2d",
            Box::new(move |x: &Var| {
                let pool = Pool2dOptions { dilation: [2, 1], ceil_mode: true, ..[1, 2].into() };
                x.conv2d_relu_max_pool2d(&w, Some(&b), Conv2dOptions::padded(1), pool)
            }),
        ),
        ("div", Box::new(|x| x / (x.exp() + 1.0))),
        ("divide by number", Box::new(|x| x / 7.0)),
        ("divide by number", Box::new(|x| x.mean_axes(&[-1, 1], false))),
        ("divide number by", Box::new(|x| 2.0 / x.exp())),
        ("divide number by", Box::new(|x| x.exp().reciprocal())),
        ("elu", Box::new(|x| x.elu(0.3))),
        ("exp", Box::new(|x| x.softmax(1))),
        ("gather", Box::new(move |x| x.slice(0, 0, 1, 1).broadcast_to([4, 4, 6, 6]).gather(2, &index(3)))),
        ("gelu", Box::new(|x| x.gelu())),
        ("gelu_tanh", Box::new(|x| x.gelu_tanh())),
        ("leaky_relu", Box::new(|x| x.leaky_relu(0.1))),
        ("linear", {
            let (w, b) = (two.clone(), random(9, &[5]));
            Box::new(move |x: &Var| x.flatten().linear(&w, Some(&b)))
        }),
        ("linear", Box::new(move |x: &Var| x.flatten().linear(&two, None))),
        ("log", Box::new(|x| x.abs().log())),
        ("log_softmax", Box::new(|x| x.log_softmax(-1))),
        ("matmul", Box::new(|x| x.matmul(&x.transpose(2, 3)))),
        ("max", Box::new(|x| x.max_axes(&[2], false))),
        ("max", Box::new(|x| x.max())),
        (
            "max_pool2d",
            Box::new(|x| x.max_pool2d(Pool2dOptions { kernel: [3, 3], stride: [2, 1], padding: [1, 0], ..2.into() })),
        ),
        (
            "max_pool2d",
            Box::new(|x| x.max_pool2d(Pool2dOptions { dilation: [1, 2], stride: [2, 2], padding: [1, 1], ..3.into() })),
        ),
        (
            "max_pool2d",
            Box::new(|x| x.max_pool2d(Pool2dOptions { stride: [2, 3], padding: [1, 0], ceil_mode: true, ..3.into() })),
        ),
        ("max_pool2d", Box::new(|x| x.adaptive_max_pool2d([1, 1]))),
        ("max_pool2d", Box::new(|x| x.adaptive_max_pool2d([2, 3]))),
        ("maximum", Box::new(|x| x.maximum(&x.tanh()))),
        ("min", Box::new(|x| x.min_axes(&[1, 3], true))),
        ("minimum", Box::new(|x| x.minimum(&x.tanh()))),
        ("mish", Box::new(|x| x.mish())),
        ("mul", Box::new(|x| x * x.sigmoid().exp())),
        ("multiply by number", Box::new(|x| 3.0 * -x)),
        ("pad", Box::new(|x| x.pad(&[(0, 0), (1, 2), (0, 0), (3, 0)], 0.5))),
        ("permute", Box::new(|x| x.permute(&[2, 0, 3, 1]))),
        ("pow", Box::new(|x| x.abs().pow(1.7))),
        ("relu", Box::new(|x| x.relu())),
        ("relu_max_pool2d", Box::new(|x| x.relu_max_pool2d(2))),
        ("reshape", Box::new(|x| x.reshape([x.shape()[0], 2, 2, 36]).reshape([x.shape()[0] * 2, 72]))),
        ("reshape", Box::new(|x| x.unsqueeze(0).sum_axes(&[0], false).flatten())),
        ("select", {
            let mask = pair.value().compare(Compare::Greater, &Tensor::scalar(0.0));
            Box::new(move |x: &Var| {
                x.slice(0, 0, 1, 1)
                    .reshape([2, 2, 6, 6])
                    .slice(2, 0, 2, 1)
                    .slice(3, 0, 3, 2)
                    .broadcast_to([4, 2, 2, 2, 3])
                    .sum_axes(&[1], false)
                    .select(&mask, &pair)
            })
        }),
        ("sigmoid", Box::new(|x| x.sigmoid())),
        ("slice", Box::new(|x| x.slice(1, 3, 2, -2).narrow(-1, 1..4))),
        ("softplus", Box::new(|x| x.softplus())),
        ("sqrt", Box::new(|x| x.abs().sqrt())),
        ("square", Box::new(|x| x.square())),
        ("sub", Box::new(|x| x - x.exp())),
        ("subtract from number", Box::new(|x| 1.0 - x)),
        ("sum_to", Box::new(|x| x.sum_axes(&[1, 2], true))),
        ("sum_to", Box::new(|x| x.sum_to([6, 6]))),
        ("swish", Box::new(|x| x.swish(1.0))),
        ("swish", Box::new(|x| x.swish(0.7))),
        ("sin", Box::new(|x| x.sin())),
        ("cos", Box::new(|x| x.cos())),
        ("tan", Box::new(|x| x.tan())),
        ("asin", Box::new(|x| x.asin())),
        ("acos", Box::new(|x| x.acos())),
        ("atan", Box::new(|x| x.atan())),
        ("sinh", Box::new(|x| x.sinh())),
        ("cosh", Box::new(|x| x.cosh())),
        ("erf", Box::new(|x| x.erf())),
        ("floor", Box::new(|x| x.floor())),
        ("ceil", Box::new(|x| x.ceil())),
        ("round", Box::new(|x| x.round())),
        ("sign", Box::new(|x| x.sign())),
        ("power", Box::new(|x| x.exp().power(x))),
        ("tanh", Box::new(|x| x.tanh())),
        ("transpose", Box::new(|x| x.transpose(1, -1))),
        ("upsample2d", Box::new(|x| x.upsample_nearest2d([12, 18]))),
        ("upsample2d", Box::new(|x| x.upsample_bilinear2d([9, 12], false))),
        ("upsample2d", Box::new(|x| x.upsample_bilinear2d([11, 7], true))),
    ];
    let mut missing: Vec<&str> = EXPORTED.iter().map(|(operation, _)| *operation).collect();
    for (operation, f) in cases {
        missing.retain(|name| *name != operation);
        same_bits(operation, f);
    }
    assert!(missing.is_empty(), "not tested: {missing:?}");
}

#[test]
fn what_has_no_counterpart_is_refused_by_name() {
    let refused = |f: fn(&Var) -> Var| match export(&Net(f), [1, 4, 6, 6]) {
        Err(OnnxError::Export(why)) => why,
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("it is exported"),
    };
    assert_eq!(
        refused(|x| x.im2col([2, 2], Conv2dOptions::default())),
        "'im2col' (im2col): ONNX has no such operator\n  rule: docs/onnx.md lists the operations that are exported; compute this one after the net"
    );
    assert_eq!(
        refused(|x| x
            .batch_norm(
                &Var::parameter("bn.weight", Tensor::ones(4)),
                &Var::parameter("bn.bias", Tensor::zeros(4)),
                0.1
            )
            .0),
        "'bn' (batch_norm): it uses the statistics of the batch\n  rule: batch normalization is exported at inference, after eval()"
    );
    assert_eq!(
        refused(|x| x.adaptive_avg_pool2d([4, 4])),
        "'avg_pool2d' (avg_pool2d): the windows from 6×6 to 4×4 have several sizes\n  rule: the size of an adaptive pooling divides that of the image"
    );
    assert_eq!(
        refused(|x| x.adaptive_max_pool2d([4, 4])),
        "'max_pool2d' (max_pool2d): the windows from 6×6 to 4×4 have several sizes\n  rule: the size of an adaptive pooling divides that of the image"
    );
    assert_eq!(
        refused(|x| x.avg_pool2d(Pool2dOptions { dilation: [1, 2], ..2.into() })),
        "'avg_pool2d' (avg_pool2d): ONNX has averages with a dilation since opset 19\n  rule: the dilation is 1"
    );
    assert_eq!(
        refused(|x| x.sum() / x.shape()[0] as f64),
        "'divide_by_number' (divide by number): its setting 's' depends on the batch size"
    );
    assert_eq!(
        refused(|x| if x.shape()[0] == 2 { x.relu() } else { x.tanh() }),
        "this net: operation 0 is relu and tanh at batch sizes 2 and 3\n  rule: a forward pass does the same for any batch"
    );
    assert_eq!(
        refused(|x| x.narrow(0, 1..x.shape()[0])),
        "'slice' (slice): a shape is (1, 4, 6, 6) at batch size 2 and (2, 4, 6, 6) at 3\n  rule: the length of an axis is fixed or a multiple of the batch size"
    );
    assert_eq!(
        refused(|x| x + Var::constant(Tensor::full([1, 1, 1, 1], x.shape()[0] as f32))),
        "this net: a constant of operation 0, add, differs at batch sizes 2 and 3\n  rule: a forward pass does the same for any batch"
    );
    assert_eq!(
        refused(Var::detach),
        "this net: its output does not depend on the input by recorded operations\n  rule: compute with variables, and outside of no_grad"
    );
}

#[test]
fn a_recorded_graph_has_the_names_of_its_variables() {
    let (x, w) = (Var::parameter("x", [[1.0, 2.0]]), Var::parameter("w", [[3.0], [4.0]]));
    let y = (x.matmul(&w) * Var::constant(2.0)).tanh();
    let file = export_graph(&y, &[&x]).expect("all operations have counterparts");
    let again = OnnxModel::from_bytes(&file.to_bytes()).expect("it was just written");
    assert_eq!(again.inputs().collect::<Vec<_>>(), ["x"]);
    assert_eq!(again.input_axes(0), Some(&[Some(1), Some(2)][..]));
    let names: Vec<String> = again.named_parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["w"]);
    assert_eq!(again.run(&x).expect("it fits").value().to_vec(), y.value().to_vec());
}

#[test]
fn the_tables_are_in_alphabetical_order() {
    assert!(EXPORTED.is_sorted());
    assert!(IMPORTED.is_sorted());
}
