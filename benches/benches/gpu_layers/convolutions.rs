//! Each direction of single convolutions.

use chainrule_tensor::{Conv2dOptions, Tensor};

use crate::{Plan, as_stored, random, timing};

/// C, side of the image, O, side of the kernel, stride.
pub const LAYERS: [[usize; 5]; 13] = [
    [3, 32, 64, 3, 1],
    [64, 32, 64, 3, 1],
    [64, 32, 128, 3, 2],
    [128, 16, 128, 3, 1],
    [128, 16, 256, 3, 2],
    [256, 8, 256, 3, 1],
    [256, 8, 512, 3, 2],
    [512, 4, 512, 3, 1],
    [64, 32, 128, 1, 2],
    [128, 16, 256, 1, 2],
    [256, 8, 512, 1, 2],
    [1, 28, 8, 3, 1],
    [8, 14, 16, 3, 1],
];

const DIRECTIONS: [&str; 3] = ["forward", "input gradient", "weight gradient"];

pub fn measure(plan: &Plan, [c, side, o, kernel, stride]: [usize; 5], precision: &str) {
    let (name, batch) = (format!("{c}x{side}x{side} {o} {kernel}x{kernel}/{stride}"), plan.batch);
    let wanted = DIRECTIONS.map(|direction| plan.includes(&format!("{name} {direction} {precision}")));
    if wanted == [false; 3] {
        return;
    }
    let options = Conv2dOptions { stride: [stride; 2], ..Conv2dOptions::padded(kernel / 2) };
    let x = as_stored(&random(1, [batch, c, side, side]));
    let w = random(2, [o, c, kernel, kernel]).channels_last();
    let dy = as_stored(&random(3, x.conv2d(&w, None, options).shape()));
    let flops = 2.0 * (dy.numel() * c * kernel * kernel) as f64;
    let calls: [&dyn Fn() -> Tensor; 3] =
        [&|| x.conv2d(&w, None, options), &|| dy.conv2d_input_gradient(&w, [side; 2], options), &|| {
            x.conv2d_weight_gradient(&dy, [kernel; 2], options)
        }];
    for ((direction, call), _) in DIRECTIONS.iter().zip(calls).zip(wanted).filter(|&(_, wanted)| wanted) {
        if plan.once {
            drop(call());
            continue;
        }
        let seconds = timing::seconds(call);
        println!(
            r#"{{"layer": "{name}", "batch": {batch}, "direction": "{direction}", "precision": "{precision}", "microseconds": {:.2}, "tflops": {:.2}}}"#,
            1e6 * seconds,
            flops / seconds / 1e12
        );
    }
}
