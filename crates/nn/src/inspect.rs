//! What a trained net does inside: feature maps, dead units, and which pixels a decision depends on. All run the net in
//! inference mode, unfused where intermediate values are read, and restore its modes.

use chainrule_autograd::{VarOf, no_grad};
use chainrule_tensor::{Float, Scalar, TensorOf, Unary};

use crate::error::NnError;
use crate::hooks::Hooks;
use crate::inference::Inference;
use crate::module::Module;

/// The images as a variable with a gradient, with which also operations on frozen parameters are recorded.
fn input<T: Float>(images: &TensorOf<T>) -> VarOf<T> {
    VarOf::parameter("input", images)
}

/// The output of every operation for a batch of images, with its path as in [`Hooks`], in their order. Those of convolutions
/// and what follows them are (N, C, h, w).
///
/// # Panics
/// If the net does not accept images of this shape.
#[track_caller]
pub fn feature_maps<T: Float>(net: &dyn Module<T>, images: &TensorOf<T>) -> Vec<(String, TensorOf<T>)> {
    let _modes = Inference::enter(net);
    let hooked = Hooks::of(net).forward(&input(images)).expect("without a hook there is no wrong path");
    hooked.iter().map(|(path, value)| (path.to_owned(), value.value().clone())).collect()
}

/// The outputs of a layer for a batch, in a few numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationStatistics {
    /// The mean.
    pub mean: f64,
    /// The standard deviation, √(Σ (x − mean)² / n).
    pub std: f64,
    /// The smallest element.
    pub min: f64,
    /// The largest element.
    pub max: f64,
    /// The share of elements that are 0.
    pub zeros: f64,
    /// The number of units: of channels of (N, C, …), or of features of (N, C).
    pub units: usize,
    /// The units that are 0 for all images, at all positions. After a ReLU they learn nothing from these images.
    pub dead: Vec<usize>,
}

impl ActivationStatistics {
    /// Those of x (N, C, …), such as one of [`feature_maps`].
    ///
    /// # Panics
    /// If x is empty or has less than two axes.
    #[track_caller]
    pub fn of<T: Float>(x: &TensorOf<T>) -> Self {
        let shape = x.shape();
        assert!(
            shape.rank() >= 2 && shape.numel() > 0,
            "ActivationStatistics: the shape is {shape}\n  rule: (N, C, …), not empty"
        );
        let values: Vec<f64> = x.to_vec().into_iter().map(Scalar::to_f64).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let (units, positions) = (shape[1], shape[2..].iter().product::<usize>());
        let mut alive = vec![false; units];
        for (i, positions) in values.chunks_exact(positions).enumerate() {
            alive[i % units] |= positions.iter().any(|&x| x != 0.0);
        }
        Self {
            mean,
            std: variance.sqrt(),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            zeros: values.iter().filter(|&&x| x == 0.0).count() as f64 / n,
            units,
            dead: (0..units).filter(|&unit| !alive[unit]).collect(),
        }
    }

    /// The share of units that are dead.
    pub fn dead_share(&self) -> f64 {
        self.dead.len() as f64 / self.units as f64
    }
}

/// The score of a class for each image, summed: `Σ x[n, class[n]]` of logits x (N, C). At inference images do not depend on
/// each other, so its gradient holds that of each image's own score.
///
/// # Panics
/// If there is not one class for each image, or one is out of range.
#[must_use]
#[track_caller]
pub fn class_score<T: Float>(logits: &VarOf<T>, classes: &TensorOf<i32>) -> VarOf<T> {
    logits.gather(1, &classes.reshape([classes.numel(), 1])).sum()
}

/// How much each pixel matters: |∂s/∂x|, of the channels the largest: (N,H,W) for images (N,C,H,W) (Simonyan, Vedaldi,
/// Zisserman: "Deep inside convolutional networks", 2014). `score` makes the scalar s of the logits, such as [`class_score`]
/// or a loss.
///
/// # Panics
/// If the net does not accept images of this shape, or s is no scalar.
#[must_use]
#[track_caller]
pub fn saliency<T: Float>(
    net: &dyn Module<T>,
    images: &TensorOf<T>,
    score: impl FnOnce(&VarOf<T>) -> VarOf<T>,
) -> TensorOf<T> {
    let _modes = Inference::enter(net);
    let x = input(images);
    let dx = score(&net.forward(&x)).gradient(&x);
    dx.value().unary(Unary::Abs).max(&[1], false)
}

/// Where a class is seen: Grad-CAM, (N,H,W) for images (N,C,H,W), not negative (Selvaraju and others: "Grad-CAM: visual
/// explanations from deep networks via gradient-based localization", 2017).
///
/// `ReLU(Σ_k α[k]·A[k])`, where A (N,K,h,w) are the feature maps at `path` ([`Hooks`] says which paths there are) and `α[k]`
/// is the mean over h and w of the gradient of the score, enlarged to the image by bilinear interpolation. `score` makes the
/// scalar of the logits: [`class_score`]. The last layer with feature maps is the usual choice.
///
/// # Errors
/// [`NnError::NoOperation`] with the paths that there are, or [`NnError::NoFeatureMaps`] if the output there is not (N,K,h,w).
///
/// # Panics
/// If the net does not accept images of this shape, or the score is no scalar or does not depend on the feature maps.
#[track_caller]
pub fn grad_cam<T: Float>(
    net: &dyn Module<T>,
    images: &TensorOf<T>,
    path: &str,
    score: impl FnOnce(&VarOf<T>) -> VarOf<T>,
) -> Result<TensorOf<T>, NnError> {
    let _modes = Inference::enter(net);
    let hooked = Hooks::of(net).forward(&input(images))?;
    let (maps, shape) = (hooked.get(path)?, images.shape());
    if maps.shape().rank() != 4 || shape.rank() != 4 {
        return Err(NnError::NoFeatureMaps { path: path.into(), shape: maps.shape() });
    }
    let gradient = score(&hooked.output).gradient(maps);
    let cam = no_grad(|| {
        let alpha = gradient.mean_axes(&[2, 3], true);
        (alpha * maps).sum_axes(&[1], true).relu().upsample_bilinear2d([shape[2], shape[3]], false)
    });
    Ok(cam.value().reshape([shape[0], shape[2], shape[3]]))
}
