//! `docs/names.md`: what PyTorch and NumPy call the ops, layers and optimizers, and what they are called here. It is made from
//! the table below, whose expressions are compiled: what is renamed or removed does not compile.

use std::fs;
use std::sync::Arc;

use chainrule::autograd::{ReplicaGroup, non_finite};
use chainrule::nn;
use chainrule::prelude::*;
use chainrule::tensor::PadMode;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/names.md");
/// If this environment variable is set, the page is written instead of compared.
const WRITE: &str = "CHAINRULE_WRITE_NAMES";

/// A row: the expression here, and the names in PyTorch and in NumPy.
type Row = (&'static str, &'static str, &'static str);

macro_rules! names {
    (($x:ident, $y:ident, $index:ident, $mask:ident, $labels:ident) $($section:literal { $($here:expr => $torch:literal, $numpy:literal;)+ })+) => {
        /// Never called: that it compiles is the point.
        #[expect(dead_code, clippy::cloned_ref_to_slice_refs, reason = "compiled, not run; written as in a program")]
        fn all_compile($x: &Var64, $y: &Var64, $index: &TensorOf<i32>, $mask: &TensorOf<u8>, $labels: &TensorOf<i32>) {
            $($(let _ = $here;)+)+
        }
        const TABLE: &[(&str, &[Row])] = &[$(($section, &[$((stringify!($here), $torch, $numpy)),+])),+];
    };
}

names! {
    (x, y, index, mask, labels)
    "Arithmetic and elementary functions" {
        x + y => "+, add", "+, add";
        x - y => "-, sub", "-, subtract";
        x * y => "*, mul", "*, multiply";
        x / y => "/, div", "/, divide";
        -x => "-, neg", "-, negative";
        x.power(y) => "**, pow of two tensors", "**, power";
        x.pow(2.5) => "pow by a number", "**, power";
        x.square() => "square", "square";
        x.sqrt() => "sqrt", "sqrt";
        x.rsqrt() => "rsqrt", "";
        x.reciprocal() => "reciprocal", "reciprocal";
        x.abs() => "abs", "abs";
        x.sign() => "sign", "sign";
        x.exp() => "exp", "exp";
        x.expm1() => "expm1", "expm1";
        x.log() => "log", "log";
        x.log1p() => "log1p", "log1p";
        x.log2() => "log2", "log2";
        x.log10() => "log10", "log10";
        x.erf() => "erf", "scipy.special.erf";
        x.sin() => "sin", "sin";
        x.cos() => "cos", "cos";
        x.tan() => "tan", "tan";
        x.asin() => "asin", "arcsin";
        x.acos() => "acos", "arccos";
        x.atan() => "atan", "arctan";
        x.atan2(y) => "atan2", "arctan2";
        x.sinh() => "sinh", "sinh";
        x.cosh() => "cosh", "cosh";
        x.tanh() => "tanh", "tanh";
        x.floor() => "floor", "floor";
        x.ceil() => "ceil", "ceil";
        x.round() => "round", "round";
        x.trunc() => "trunc", "trunc";
        x.remainder(y) => "remainder, %", "remainder, %";
        x.maximum(y) => "maximum", "maximum";
        x.minimum(y) => "minimum", "minimum";
        x.clamp(-1.0, 1.0) => "clamp", "clip";
        x.select(mask, y) => "where", "where";
        x.lerp(y, 0.3) => "lerp by a number", "";
        x.lerp_with(y, x) => "lerp", "";
    }
    "Activations" {
        x.relu() => "relu", "";
        x.leaky_relu(0.01) => "leaky_relu", "";
        x.relu6() => "relu6", "";
        x.elu(1.0) => "elu", "";
        x.selu() => "selu", "";
        x.celu(1.0) => "celu", "";
        x.gelu() => "gelu", "";
        x.gelu_tanh() => "gelu(approximate=\"tanh\")", "";
        x.swish(1.0) => "silu", "";
        x.mish() => "mish", "";
        x.sigmoid() => "sigmoid", "scipy.special.expit";
        x.logsigmoid() => "logsigmoid", "scipy.special.log_expit";
        x.softplus() => "softplus", "";
        x.softsign() => "softsign", "";
        x.hardtanh() => "hardtanh", "";
        x.hardsigmoid() => "hardsigmoid", "";
        x.hardswish() => "hardswish", "";
        x.glu(-1) => "glu", "";
        x.softmax(-1) => "softmax", "scipy.special.softmax";
        x.log_softmax(-1) => "log_softmax", "scipy.special.log_softmax";
    }
    "Reductions" {
        x.sum() => "sum", "sum";
        x.sum_axes(&[1], false) => "sum(dim=1)", "sum(axis=1)";
        x.mean() => "mean", "mean";
        x.mean_axes(&[1], true) => "mean(dim=1,keepdim=True)", "mean(axis=1,keepdims=True)";
        x.var(1) => "var(correction=1)", "var(ddof=1)";
        x.max() => "max, amax", "max";
        x.max_axes(&[1], false) => "amax(dim=1)", "max(axis=1)";
        x.min() => "min, amin", "min";
        x.prod() => "prod", "prod";
        x.prod_axes(&[1], false) => "prod(dim=1)", "prod(axis=1)";
        x.cumsum(0) => "cumsum", "cumsum";
        x.cumprod(0) => "cumprod", "cumprod";
        x.std(1) => "std(correction=1)", "std(ddof=1)";
        x.std_axes(&[1], 0, false) => "std(dim=1,correction=0)", "std(axis=1)";
        x.norm(2.0) => "linalg.vector_norm", "linalg.norm";
        x.norm_axes(1.0, &[1], false) => "linalg.vector_norm(dim=1)", "linalg.norm(axis=1)";
        x.logsumexp(&[1], false) => "logsumexp", "scipy.special.logsumexp";
        x.max_with_index(1, false) => "max(dim=1)", "";
        x.min_with_index(1, false) => "min(dim=1)", "";
        x.sort(1, false) => "sort(stable=True)", "sort";
        x.value().argsort(1, false) => "argsort", "argsort";
        x.value().argmax(1) => "argmax", "argmax";
        x.value().argmin(1) => "argmin", "argmin";
        x.value().topk(3, 1) => "topk", "";
        mask.any(&[], false) => "any", "any";
        mask.all(&[], false) => "all", "all";
        mask.count_nonzero(&[]) => "count_nonzero", "count_nonzero";
        labels.bincount(0) => "bincount", "bincount";
    }
    "Shapes and positions" {
        x.reshape([2, 3]) => "reshape, view", "reshape";
        x.flatten() => "flatten", "ravel";
        x.permute(&[0, 2, 1]) => "permute", "transpose";
        x.transpose(0, 1) => "transpose", "swapaxes";
        x.squeeze(0) => "squeeze", "squeeze";
        x.unsqueeze(0) => "unsqueeze", "expand_dims";
        x.broadcast_to([4, 3]) => "broadcast_to, expand", "broadcast_to";
        x.narrow(0, 2..5) => "narrow, x[2:5]", "x[2:5]";
        x.slice(1, 4, 2, -2) => "", "x[:,4:0:-2]";
        Var64::concat(&[x, y], 0) => "cat", "concatenate";
        x.gather(1, index) => "gather", "take_along_axis";
        Var64::stack(&[x, y], 0) => "stack", "stack";
        x.split(2, 0) => "split", "";
        x.split_with_sizes(&[1, 2], 0) => "split", "split";
        x.chunk(3, 0) => "chunk", "array_split";
        x.unbind(0) => "unbind", "";
        x.repeat(&[2, 3]) => "repeat", "tile";
        x.roll(&[1], &[0]) => "roll", "roll";
        x.flip(&[0]) => "flip", "flip";
        x.index_select(1, index) => "index_select", "take";
        x.index(&[index, labels]) => "x[i]", "x[i]";
        x.masked_fill(mask, 0.0) => "masked_fill", "putmask";
        x.masked_select(mask) => "masked_select", "x[mask]";
        x.scatter_add(1, index, [2, 3]) => "scatter_add", "add.at";
        x.diagonal(0, 0, 1) => "diagonal", "diagonal";
        x.tril(0) => "tril", "tril";
        x.triu(0) => "triu", "triu";
        Var64::meshgrid(&[x, y]) => "meshgrid(indexing=\"ij\")", "meshgrid(indexing=\"ij\")";
        x.unfold(0, 3, 1) => "Tensor.unfold", "lib.stride_tricks.sliding_window_view";
        x.pad(&[(1, 1)], 0.0) => "pad", "pad";
        x.pad_with(&[(1, 1)], PadMode::Reflect) => "pad(mode=\"reflect\")", "pad(mode=\"reflect\")";
    }
    "Products and images" {
        x.matmul(y) => "@, matmul", "@, matmul";
        x.dot(y) => "dot", "dot";
        x.outer(y) => "outer", "outer";
        Var64::einsum("ij,jk", &[x, y]) => "einsum", "einsum";
        x.linear(y, None) => "linear", "x @ w.T";
        x.conv2d(y, None, Conv2dOptions::padded(1)) => "conv2d", "";
        x.conv_transpose2d(y, None, Conv2dOptions::default(), [0, 0]) => "conv_transpose2d", "";
        x.max_pool2d(2) => "max_pool2d", "";
        x.avg_pool2d(2) => "avg_pool2d", "";
        x.adaptive_avg_pool2d([1, 1]) => "adaptive_avg_pool2d", "";
        x.adaptive_max_pool2d([1, 1]) => "adaptive_max_pool2d", "";
        x.max_pool2d(Pool2dOptions { dilation: [2, 2], ceil_mode: true, ..3.into() }) => "max_pool2d(dilation=2,ceil_mode=True)", "";
        x.upsample_nearest2d([8, 8]) => "interpolate(mode=\"nearest\")", "";
        x.upsample_bilinear2d([8, 8], false) => "interpolate(mode=\"bilinear\")", "";
        x.im2col([3, 3], Conv2dOptions::padded(1)) => "unfold", "";
    }
    "Losses" {
        x.mse_loss(y, Reduction::Mean) => "mse_loss", "";
        x.cross_entropy(labels) => "cross_entropy", "";
        x.soft_cross_entropy(y) => "cross_entropy with probabilities", "";
        x.bce_loss(y, Reduction::Mean) => "binary_cross_entropy", "";
        x.bce_with_logits(y, Reduction::Mean) => "binary_cross_entropy_with_logits", "";
        x.nll_loss(labels) => "nll_loss", "";
        x.l1_loss(y, Reduction::Mean) => "l1_loss", "";
        x.huber_loss(y, Reduction::Mean, 1.0) => "huber_loss", "";
        x.smooth_l1_loss(y, Reduction::Mean, 1.0) => "smooth_l1_loss", "";
        x.kl_div(y, Reduction::Sum, false) => "kl_div", "scipy.special.rel_entr";
        x.hinge_embedding_loss(y, Reduction::Mean, 1.0) => "hinge_embedding_loss", "";
        x.margin_ranking_loss(y, x, Reduction::Mean, 0.0) => "margin_ranking_loss", "";
        x.cosine_embedding_loss(y, x, Reduction::Mean, 0.0) => "cosine_embedding_loss", "";
        x.cosine_similarity(y, 1, 1e-8) => "cosine_similarity", "";
    }
    "Layers as functions" {
        x.layer_norm(8, None, None, 1e-5) => "layer_norm", "";
        x.group_norm(4, None, None, 1e-5) => "group_norm, instance_norm", "";
        x.prelu(y) => "prelu", "";
        x.embedding(index) => "embedding", "x[index]";
        x.pixel_shuffle(2) => "pixel_shuffle", "";
        x.pixel_unshuffle(2) => "pixel_unshuffle", "";
        nn::one_hot::<f64>(labels, 10) => "one_hot", "eye(10)[labels]";
    }
    "Activations as layers, of `chainrule::nn`" {
        nn::Activation::Relu => "nn.ReLU", "";
        nn::Activation::LeakyRelu(0.01) => "nn.LeakyReLU", "";
        nn::Activation::Relu6 => "nn.ReLU6", "";
        nn::Activation::Elu(1.0) => "nn.ELU", "";
        nn::Activation::Selu => "nn.SELU", "";
        nn::Activation::Celu(1.0) => "nn.CELU", "";
        nn::Activation::Gelu => "nn.GELU", "";
        nn::Activation::GeluTanh => "nn.GELU(approximate=\"tanh\")", "";
        nn::Activation::Swish(1.0) => "nn.SiLU", "";
        nn::Activation::Mish => "nn.Mish", "";
        nn::Activation::Sigmoid => "nn.Sigmoid", "";
        nn::Activation::LogSigmoid => "nn.LogSigmoid", "";
        nn::Activation::Softplus => "nn.Softplus", "";
        nn::Activation::Softsign => "nn.Softsign", "";
        nn::Activation::Tanh => "nn.Tanh", "";
        nn::Activation::Hardtanh => "nn.Hardtanh", "";
        nn::Activation::Hardsigmoid => "nn.Hardsigmoid", "";
        nn::Activation::Hardswish => "nn.Hardswish", "";
    }
    "Gradients" {
        x.backward() => "y.backward()", "";
        x.backward_from(&Tensor64::ones(3)) => "y.backward(dy)", "";
        x.backward_keeping(&[y]) => "retain_grad", "";
        x.gradient(y) => "autograd.grad(create_graph=True)", "";
        x.detach() => "detach", "";
        no_grad(|| x * y) => "no_grad", "";
        jvp(|x| x[0].square(), &[x.clone()], &[y.clone()]) => "func.jvp, autograd.functional.jvp", "";
        vjp(|x| x[0].square(), &[x.clone()], y) => "func.vjp, autograd.functional.vjp", "";
        hvp(|x| x[0].square().sum(), &[x.clone()], &[y.clone()]) => "autograd.functional.hvp", "";
        jacobian(|x| x[0].square(), &[x.clone()]) => "func.jacrev, autograd.functional.jacobian", "";
        hessian(|x| x[0].square().sum(), &[x.clone()]) => "func.hessian, autograd.functional.hessian", "";
        gradcheck(|x| x[0].square(), &[x.value().clone()]) => "autograd.gradcheck", "";
        gradgradcheck(|x| x[0].square(), &[x.value().clone()]) => "autograd.gradgradcheck", "";
        recompute(|x| x[0].exp().sin(), &[x.clone()]) => "utils.checkpoint.checkpoint", "";
        x.all_reduce(&group()) => "distributed.nn.functional.all_reduce", "";
        non_finite::trace(|| x.log().sum()) => "autograd.detect_anomaly", "";
    }
    "Layers, optimizers and schedules of `chainrule::nn` whose names differ" {
        nn::PRelu::<f64>::new(1, 0.25) => "nn.PReLU", "";
        nn::RnnCell::<f64>::new(3, 4, &mut Rng::seed(0)) => "nn.RNNCell", "";
        nn::LstmCell::<f64>::new(3, 4, &mut Rng::seed(0)) => "nn.LSTMCell", "";
        nn::GruCell::<f64>::new(3, 4, &mut Rng::seed(0)) => "nn.GRUCell", "";
        nn::synchronize_batch_norm(&nn::Sequential::<f64>::new(), &group()) => "nn.SyncBatchNorm.convert_sync_batchnorm", "";
        nn::Recompute::in_segments(nn::Sequential::<f64>::new(), 2) => "utils.checkpoint.checkpoint_sequential", "";
        nn::RmsProp::new(vec![x.clone()], 1e-2) => "optim.RMSprop", "";
        nn::Schedule::exponential(0.1, 0.9) => "lr_scheduler.ExponentialLR", "";
        nn::Schedule::polynomial(0.1, 100, 1.0) => "lr_scheduler.PolynomialLR", "";
        nn::Schedule::linear(0.02, 0.1, 5) => "lr_scheduler.LinearLR", "";
        nn::Schedule::from_fn(100, rate) => "lr_scheduler.LambdaLR", "";
        nn::Schedule::chained(Vec::new()) => "lr_scheduler.ChainedScheduler", "";
        nn::Schedule::sequential(Vec::new(), Vec::new()) => "lr_scheduler.SequentialLR", "";
        nn::ReduceLrOnPlateau::new(0.1) => "lr_scheduler.ReduceLROnPlateau", "";
    }
}

/// The processes that train together.
fn group() -> Arc<dyn ReplicaGroup<f64>> {
    unreachable!("compiled, not run")
}

/// The learning rate of a step.
fn rate(step: u64) -> f64 {
    0.1 / (1.0 + step as f64)
}

/// What PyTorch has and this crate leaves out, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("conv3d, max_pool3d and the other 3-d layers", "they are for videos and volumes, which these nets do not see"),
    ("LBFGS, Muon, Lion", "research on optimizers is not what this crate is for; one of your own is about 60 lines"),
    ("scaled_dot_product_attention, Transformer", "a product, a softmax and a product: write it out of these"),
    ("kron, triplet_margin_loss", "rarely used; both are a few of the ops above"),
    ("complex numbers, FFT, sparse tensors", "none of the nets that this crate is for uses them"),
    (
        "in-place ops (add_, relu_)",
        "a value that a rule has saved must not change; the optimizers update parameters in place",
    ),
];

fn page() -> String {
    let text = format!(
        "# Names in PyTorch, NumPy and here\n\nThis page is made from `tests/names.rs` (`{WRITE}=1 cargo test -p chainrule-tests names`); what is in \
         the first column compiles.\n`x` and `y` are variables (`Var`, `Var64`); a tensor without gradients has most of the same methods.\n"
    );
    let code = |names: &str| {
        names.split(", ").filter(|name| !name.is_empty()).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    let mut lines = vec![text];
    for (section, rows) in TABLE {
        lines.push(format!("## {section}\n\n| here | PyTorch | NumPy |\n|---|---|---|"));
        for (here, torch, numpy) in *rows {
            // A bar ends a cell even in code.
            let here = here.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
            lines.push(format!("| `{here}` | {} | {} |", code(torch), code(numpy)));
        }
        lines.push(String::new());
    }
    lines.push("## Left out\n\n| PyTorch | why |\n|---|---|".into());
    lines.extend(LEFT_OUT.iter().map(|(what, why)| format!("| {what} | {why} |")));
    lines.join("\n") + "\n"
}

#[test]
fn names_of_the_page_are_those_of_the_code() {
    let text = page();
    if std::env::var_os(WRITE).is_some() {
        fs::write(PAGE, &text).expect("the page can be written");
    }
    let there = fs::read_to_string(PAGE).unwrap_or_default();
    assert!(there == text, "docs/names.md is stale\n  help: {WRITE}=1 cargo test -p chainrule-tests names");
}
