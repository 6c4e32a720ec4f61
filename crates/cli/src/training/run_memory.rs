//! Whether a run fits into memory, measured on a few images before it begins.

use chainrule::nn::Snapshot;
use chainrule::prelude::*;
use chainrule::tensor::buffer_pool;

use super::memory::require;
use super::options::Options;
use super::recipe::Recipe;
use crate::failure::Failure;

/// Checks that training steps on batches of `batch` images, of which `shard` are computed at a time, and the evaluation of
/// `evaluated` images fit into the memory that so many processes share.
///
/// # Errors
/// As [`require`].
pub fn check(
    net: &dyn Module,
    recipe: &Recipe,
    optimizer: &mut dyn Optimizer,
    options: &Options,
    image: [usize; 3],
    [shard, batch, evaluated]: [usize; 3],
    processes: usize,
) -> Result<(), Failure> {
    let before = Snapshot::take(net, optimizer);
    let pass = |images: usize, training: bool| measured(|| forward_and_backward(net, recipe, image, images, training));
    // Memory comes in sizes that repeat at each doubling, so the slope between 8 and 16 images has no steps. How much threads
    // take at the same time varies: the larger of two.
    let most = |images, training| pass(images, training).max(pass(images, training));
    let predicted = |images: usize, training| {
        if images <= 16 {
            return most(images, training);
        }
        let [eight, sixteen] = [8, 16].map(|n| most(n, training));
        sixteen + (images as f64 - 16.0) * ((sixteen - eight) / 8.0).max(0.0)
    };
    let (step, evaluation) = (predicted(shard, true), predicted(evaluated, false));
    before.restore(net, optimizer);
    net.train();

    // The batches themselves: one in use, one waiting, one being prepared.
    let batches = |images: usize| 3.0 * (images * image.iter().product::<usize>() * size_of::<f32>()) as f64;
    let weights = (net.parameter_count() * size_of::<f32>()) as f64;
    let state = options.optimizer.state_tensors() as f64 * weights;
    // Beside the optimizer's state: the copy from which a step is run again, and a checkpoint and its file's contents.
    let copies = f64::from(u8::from(!options.allow_nan)) + 2.0 * f64::from(u8::from(options.files.save().is_some()));
    // The records of --out compare the weights with those before a step; an average is there twice while it is tested.
    let compared = f64::from(u8::from(options.files.out.is_some())) * weights;
    let averages = f64::from(u8::from(options.recipe.has_average())) * 2.0 * weights;
    let held = state + copies * (weights + state) + compared + averages;
    // The gradients of the batches of a step before the one in use.
    let accumulated = f64::from(u8::from(recipe.accumulation().of_a_step() > 1)) * weights;
    // Those of earlier shards, as a tree; and the buckets that are sent and received.
    let shards = if options.distributed.divides() { 2.0 + (batch as f64 / shard as f64).log2() } else { 0.0 };
    let training = step + batches(batch) + held + accumulated + shards * weights;
    let (all, together) = match processes {
        1 => (1.0, String::new()),
        n => (n as f64, format!(", in each of {n} processes of this machine,")),
    };
    let what = format!("training on {shard} images at a time{together}");
    require(options.memory(), &what, all * training, "use --recompute, a smaller --batch-size or a smaller net")?;
    let what = format!("the evaluation of {evaluated} images at a time{together}");
    require(options.memory(), &what, all * (evaluation + batches(evaluated) + held), "use a smaller net")
}

/// The memory that `body` takes from the system beyond what is in use: also what it leaves to be reused.
fn measured(body: impl FnOnce()) -> f64 {
    buffer_pool::trim();
    let before = buffer_pool::stats().in_use;
    body();
    let after = buffer_pool::stats();
    ((after.in_use + after.held).max(after.peak_in_use) - before) as f64
}

fn forward_and_backward(net: &dyn Module, recipe: &Recipe, [c, h, w]: [usize; 3], images: usize, training: bool) {
    let x = Tensor::zeros([images, c, h, w]);
    // One for each image or, if the net has logits for each of its pixels, (N, outputs, H, W), for each of these.
    let outputs = net.output_shape(x.shape()).expect("the images were checked").to_vec();
    let labels = TensorOf::<i32>::zeros(Shape::from([&outputs[..1], &outputs[2..]].concat()));
    net.set_training(training);
    if training {
        drop(recipe.loss_of(net, &x, &labels, None).0.backward());
    } else {
        no_grad(|| drop(recipe.loss_of(net, &x, &labels, None)));
    }
}
