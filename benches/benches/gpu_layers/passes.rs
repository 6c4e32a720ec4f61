//! What a training step consists of besides convolutions, with the bytes that it has to move: each operand is read once by each
//! kernel that needs it, and each result is written once.

use chainrule_tensor::{AdamSlot, AdamStep, Binary, Epilogue, SgdSlot, SgdStep, Tensor, TensorOf, Unary, shape_rules};

use crate::{GPU, Plan, as_stored, random, timing};

/// Channels and side of the images of a ResNet-18 on CIFAR-10.
pub const IMAGES: [[usize; 2]; 4] = [[64, 32], [128, 16], [256, 8], [512, 4]];
/// Output and input channels of its convolutions, and the side of the kernel.
const FILTERS: [([usize; 3], usize); 11] = [
    ([64, 3, 3], 1),
    ([64, 64, 3], 4),
    ([128, 64, 3], 1),
    ([128, 64, 1], 1),
    ([128, 128, 3], 3),
    ([256, 128, 3], 1),
    ([256, 128, 1], 1),
    ([256, 256, 3], 3),
    ([512, 256, 3], 1),
    ([512, 256, 1], 1),
    ([512, 512, 3], 3),
];

/// Measures a pass that moves this many bytes.
fn report<R>(plan: &Plan, name: &str, precision: &str, bytes: usize, call: impl FnMut() -> R) {
    if !plan.includes(&format!("{name} {precision}")) {
        return;
    }
    let mut call = call;
    if plan.once {
        call();
        return;
    }
    let seconds = timing::seconds(call);
    println!(
        r#"{{"pass": "{name}", "batch": {}, "precision": "{precision}", "microseconds": {:.2}, "gigabytes_per_second": {:.0}}}"#,
        plan.batch,
        1e6 * seconds,
        bytes as f64 / seconds / 1e9
    );
}

/// The passes over images of a size.
pub fn measure_images(plan: &Plan, [channels, side]: [usize; 2], precision: &str) {
    let stored = |salt| as_stored(&random(salt, [plan.batch, channels, side, side]));
    let [x, r, dy] = [1, 2, 3].map(stored);
    let [gamma, beta] = [4, 5].map(|salt| random(salt, [channels]));
    let bytes = x.numel() * if precision == "bf16" { 2 } else { 4 };
    let report = |name: &str, images: f64, call: &dyn Fn()| {
        let moved = (images * bytes as f64) as usize;
        report(plan, &format!("{name} {channels}x{side}x{side}"), precision, moved, call);
    };
    let (y, [mean, _, istd]) = x.batch_norm(&gamma, &beta, 1e-5, Epilogue::RELU);
    report("batch norm and relu", 2.0, &|| drop(x.batch_norm(&gamma, &beta, 1e-5, Epilogue::RELU)));
    report("batch norm, add and relu", 3.0, &|| drop(x.batch_norm(&gamma, &beta, 1e-5, Epilogue::add_relu(&r))));
    // dy, x and y are read for the sums and again for dx.
    report("batch norm backward", 7.0, &|| drop(x.batch_norm_backward(&dy, &mean, &istd, &gamma, Some(&y), false)));
    report("batch norm backward with residual", 8.0, &|| {
        drop(x.batch_norm_backward(&dy, &mean, &istd, &gamma, Some(&y), true));
    });
    report("relu", 2.0, &|| drop(x.unary(Unary::Relu)));
    report("add", 3.0, &|| drop(x.binary(Binary::Add, &r)));
    let windows = shape_rules::pool2d("pool", x.shape(), 2.into()).expect("an even side");
    let (_, indices) = x.relu_max_pool2d(&windows);
    // The indices are 4 bytes for each of a quarter of the elements.
    let index = x.numel() as f64 / bytes as f64;
    report("relu and max pool", 1.25 + index, &|| drop(x.relu_max_pool2d(&windows)));
    let quarter = as_stored(&random(6, [plan.batch, channels, side / 2, side / 2]));
    report("relu and max pool backward", 1.25 + index, &|| drop(quarter.scatter2d(&indices, [side; 2])));
    report("average pool", 1.25, &|| drop(x.avg_pool2d(&windows)));
    report("average pool backward", 1.25, &|| drop(quarter.avg_pool2d_adjoint(&windows, [side; 2])));
}

/// The loss, and the steps of optimizers on the filters; all in f32.
pub fn measure_steps(plan: &Plan) {
    let (x, labels) = (random(1, [plan.batch, 10]), TensorOf::from_fn([plan.batch], |i| i as i32 % 10).to(GPU));
    report(plan, "cross entropy", "fp32", plan.batch * 4 * (10 + 1 + 3), || x.cross_entropy(&labels));
    let [loss, max, ln] = x.cross_entropy(&labels);
    report(plan, "cross entropy backward", "fp32", plan.batch * 4 * (2 * 10 + 4), || {
        x.cross_entropy_backward(&loss, &labels, &max, &ln)
    });

    let filters = || -> Vec<Tensor> {
        let each = FILTERS.iter().flat_map(|&([o, c, side], count)| std::iter::repeat_n([o, c, side, side], count));
        each.map(|shape| random(2, shape).channels_last()).collect()
    };
    let [mut parameters, gradients, mut first, mut second] = [(); 4].map(|()| filters());
    let bytes = 4 * parameters.iter().map(Tensor::numel).sum::<usize>();
    let mut non_finite = Tensor::full_on(GPU, [0; 0], 0.0);
    let step = SgdStep { lr: 1e-3, momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 1e-4, first: false };
    report(plan, "SGD with momentum", "fp32", 5 * bytes, || {
        let slots = parameters.iter_mut().zip(&gradients).zip(&mut first);
        let slots = slots.map(|((parameter, gradient), momentum)| SgdSlot {
            parameter,
            gradient,
            momentum: Some(momentum),
            step,
        });
        Tensor::sgd_step(slots.collect(), &mut non_finite);
    });
    let step = AdamStep { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, decoupled: false, step: 1 };
    for square in &mut second {
        *square = square.unary(Unary::Square);
    }
    report(plan, "Adam", "fp32", 7 * bytes, || {
        let slots = parameters.iter_mut().zip(&gradients).zip(first.iter_mut().zip(&mut second));
        let slots =
            slots.map(|((parameter, gradient), (mean, square))| AdamSlot { parameter, gradient, mean, square, step });
        Tensor::adam_step(slots.collect(), &mut non_finite);
    });
}
