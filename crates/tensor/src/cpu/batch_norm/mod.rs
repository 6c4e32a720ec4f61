//! Batch normalization (Ioffe, Szegedy: "Batch normalization: accelerating deep network training by reducing internal
//! covariate shift", 2015) of x (N,C,…), channel by channel.
//!
//! If there are enough channels for all threads, each thread runs all passes over a block of channels, so that only the
//! first pass reads from memory and the others from the cache. Otherwise each pass splits the batch into units, and threads
//! synchronize between passes. The sums have the same bits in both cases.

mod channels;
mod format;
mod functions;
mod lanes;
#[cfg(test)]
mod tests;

use crate::cpu::strided::in_order;
use crate::element::Float;
use crate::kernel::{BatchNormGradients, Epilogue};
use crate::layout::Layout;
use crate::parallel::Disjoint;
use crate::scalar::Real;
use crate::shape::Shape;
use crate::tensor::TensorOf;
use channels::{Backward, Forward};
use format::Format;
use functions::{Deviation, Gradient, InputGradient, Map, Scale, ScaleRelu, Term, Value};
use lanes::{ROWS_OF_1, ROWS_OF_2};

/// The mean and the biased variance of each channel, in two passes, the second of which corrects the mean.
pub(crate) fn statistics<T: Float>(x: &TensorOf<T>) -> (TensorOf<T>, TensorOf<T>) {
    let format = Format::of(x.layout());
    let values = format.read(x);
    moments(&format, &values)
}

fn moments<T: Float>(format: &Format, x: &[T]) -> (TensorOf<T>, TensorOf<T>) {
    let count = T::from_f64(format.count() as f64);
    let channels = format.channels();
    let sums = format.sums::<T, _, 1, 1, ROWS_OF_1>([x], TensorOf::zeros(channels).buffer(), Value);
    let mut mean = sums.reshape(channels);
    for sum in mean.make_mut() {
        *sum /= count;
    }
    let sums = format.sums::<T, _, 1, 2, ROWS_OF_2>([x], mean.buffer(), Deviation);
    let (sums, mut variance) = (sums.buffer(), TensorOf::zeros(channels));
    for (c, (mean, variance)) in mean.make_mut().iter_mut().zip(variance.make_mut()).enumerate() {
        [*mean, *variance] = moments_about(*mean, [sums[c], sums[channels + c]], count);
    }
    (mean, variance)
}

/// The mean and the biased variance from the sums of `x − center` and of `(x − center)²`.
///
/// `center` is the mean up to rounding; its error is the mean of the differences, which would add its square to the variance
/// (Chan, Golub, LeVeque: "Algorithms for computing the sample variance", 1983).
fn moments_about<T: Float>(center: T, [sum, squares]: [T; 2], count: T) -> [T; 2] {
    let error = sum / count;
    let variance = squares / count - error * error;
    // Rounding makes it negative only if all x are equal. NaN stays NaN.
    [center + error, if variance < T::ZERO { T::ZERO } else { variance }]
}

/// `1/√(var + ε)`.
fn inverse_deviation<T: Float>(variance: T, eps: T) -> T {
    T::ONE / Real::sqrt(variance + eps)
}

/// `y = γ·(x − mean)/√(var + ε) + β` with the statistics of x, then the epilogue; also mean, var and 1/√(var + ε).
pub(crate) fn forward<T: Float>(
    x: &TensorOf<T>,
    gamma: &TensorOf<T>,
    beta: &TensorOf<T>,
    eps: f64,
    epilogue: Epilogue<'_, TensorOf<T>>,
) -> (TensorOf<T>, [TensorOf<T>; 3]) {
    let format = Format::of(x.layout());
    let values = format.read(x);
    let [gamma, beta] = [gamma, beta].map(|of_channel| in_order(of_channel, &[0]));
    let (scale, eps) = ([&*gamma, &*beta], T::from_f64(eps));
    match (epilogue.residual, epilogue.relu) {
        (None, false) => forward_with(&format, [&values], scale, eps, Scale),
        (None, true) => forward_with(&format, [&values], scale, eps, ScaleRelu),
        (Some(residual), false) => forward_with(&format, [&values, &format.read(residual)], scale, eps, Scale),
        (Some(residual), true) => forward_with(&format, [&values, &format.read(residual)], scale, eps, ScaleRelu),
    }
}

fn forward_with<T: Float, const I: usize>(
    format: &Format,
    x: [&[T]; I],
    [gamma, beta]: [&[T]; 2],
    eps: T,
    f: impl Map<T, I, 3, 1>,
) -> (TensorOf<T>, [TensorOf<T>; 3]) {
    let row = || TensorOf::uninitialized(Layout::contiguous(Shape::from(format.channels())));
    if let Some(block) = channels::block(format) {
        let (mut y, mut statistics) = ([format.output()], [row(), row(), row()]);
        let out = y.each_mut().map(|y| Disjoint::new(y.buffer_mut().0));
        let rows = statistics.each_mut().map(|row| Disjoint::new(row.buffer_mut().0));
        channels::for_blocks(format, block, |channels| {
            Forward { planes: format.planes, block, channels, x, gamma, beta, eps, f, out: &out, statistics: &rows }
                .run();
        });
        let [y] = y;
        return (y, statistics);
    }
    let (mean, variance) = moments(format, x[0]);
    let (mut istd, mut scale) = (row(), row());
    for (istd, &variance) in istd.make_mut().iter_mut().zip(variance.buffer()) {
        *istd = inverse_deviation(variance, eps);
    }
    for ((scale, &gamma), &istd) in scale.make_mut().iter_mut().zip(gamma).zip(istd.buffer()) {
        *scale = gamma * istd;
    }
    let [y] = format.map(x, [mean.buffer(), scale.buffer(), beta], f);
    (y, [mean, variance, istd])
}

/// `y = (x − mean) · scale + shift`, then the epilogue, in the memory format of x.
pub(crate) fn apply<T: Float>(
    x: &TensorOf<T>,
    mean: &TensorOf<T>,
    scale: &TensorOf<T>,
    shift: &TensorOf<T>,
    epilogue: Epilogue<'_, TensorOf<T>>,
) -> TensorOf<T> {
    let format = Format::of(x.layout());
    let values = format.read(x);
    let constants = [mean, scale, shift].map(|of_channel| in_order(of_channel, &[0]));
    let constants = constants.each_ref().map(|of_channel| &**of_channel);
    let [y] = match (epilogue.residual, epilogue.relu) {
        (None, false) => format.map([&values], constants, Scale),
        (None, true) => format.map([&values], constants, ScaleRelu),
        (Some(residual), false) => format.map([&values, &format.read(residual)], constants, Scale),
        (Some(residual), true) => format.map([&values, &format.read(residual)], constants, ScaleRelu),
    };
    y
}

/// With `dz = dy` or, if y is given, `dz = dy` where y > 0, else 0: `dβ = Σ dz`, `dγ = istd · Σ dz·(x − mean)`,
/// `dx = γ·istd · (dz − dβ/m − (x − mean) · istd·dγ/m)`, where m is the number of elements of a channel, and if requested
/// `dr = dz`. One pass computes the sums and one dx and dr, which have the memory format of x.
pub(crate) fn backward<T: Float>(
    of_y: &TensorOf<T>,
    x: &TensorOf<T>,
    mean: &TensorOf<T>,
    istd: &TensorOf<T>,
    gamma: &TensorOf<T>,
    y: Option<&TensorOf<T>>,
    residual: bool,
) -> BatchNormGradients<T> {
    let format = Format::of(x.layout());
    let (dy, x) = (format.read(of_y), format.read(x));
    let of_channel = [mean, istd, gamma].map(|of_channel| in_order(of_channel, &[0]));
    let of_channel = of_channel.each_ref().map(|of_channel| &**of_channel);
    let Some(y) = y else {
        let ([dx], [dgamma, dbeta]) = backward_with(&format, [&dy, &x], of_channel);
        return (dx, dgamma, dbeta, residual.then(|| of_y.clone()));
    };
    let inputs = [&*dy, &*x, &*format.read(y)];
    if residual {
        let ([dx, dr], [dgamma, dbeta]) = backward_with(&format, inputs, of_channel);
        return (dx, dgamma, dbeta, Some(dr));
    }
    let ([dx], [dgamma, dbeta]) = backward_with(&format, inputs, of_channel);
    (dx, dgamma, dbeta, None)
}

/// The constants of a channel for dx, `[mean, factor, level, slope]`, and dγ, from the sums of dz and dz·(x − mean).
fn gradient_constants<T: Float>([dbeta, product]: [T; 2], [mean, istd, gamma]: [T; 3], count: T) -> ([T; 4], T) {
    let dgamma = product * istd;
    ([mean, gamma * istd, dbeta / count, istd * dgamma / count], dgamma)
}

fn backward_with<T: Float, const I: usize, const O: usize>(
    format: &Format,
    inputs: [&[T]; I],
    of_channel: [&[T]; 3],
) -> ([TensorOf<T>; O], [TensorOf<T>; 2])
where
    Gradient: Term<T, I, 2>,
    InputGradient: Map<T, I, 4, O>,
{
    let row = || TensorOf::uninitialized(Layout::contiguous(Shape::from(format.channels())));
    if let Some(block) = channels::block(format) {
        let mut results: [TensorOf<T>; O] = std::array::from_fn(|_| format.output());
        let mut gradients = [row(), row()];
        let out = results.each_mut().map(|y| Disjoint::new(y.buffer_mut().0));
        let rows = gradients.each_mut().map(|row| Disjoint::new(row.buffer_mut().0));
        channels::for_blocks(format, block, |channels| {
            Backward { planes: format.planes, block, channels, inputs, of_channel, out: &out, gradients: &rows }.run();
        });
        return (results, gradients);
    }
    let sums = format.sums::<T, _, I, 2, ROWS_OF_2>(inputs, of_channel[0], Gradient);
    let count = T::from_f64(format.count() as f64);
    let channels = format.channels();
    let mut constants = TensorOf::uninitialized(Layout::contiguous(Shape::from([4, channels])));
    let (mut dgamma, mut dbeta) = (row(), row());
    let (sums, rows, dgammas) = (sums.buffer(), constants.make_mut(), dgamma.make_mut());
    for c in 0..channels {
        let sums = [sums[c], sums[channels + c]];
        let (of_channel, dgamma) = gradient_constants(sums, of_channel.map(|of_channel| of_channel[c]), count);
        for (p, constant) in of_channel.into_iter().enumerate() {
            rows[p * channels + c] = constant;
        }
        dgammas[c] = dgamma;
    }
    dbeta.make_mut().copy_from_slice(&sums[..channels]);
    let rows = constants.buffer();
    let rows = std::array::from_fn(|p| &rows[p * channels..(p + 1) * channels]);
    (format.map(inputs, rows, InputGradient), [dgamma, dbeta])
}

/// `running = (1 − share) · running + share · new` for the mean and for the variance, whose new value is first multiplied
/// by `correction`.
pub(crate) fn track<T: Float>(
    running_mean: &mut TensorOf<T>,
    running_variance: &mut TensorOf<T>,
    mean: &TensorOf<T>,
    variance: &TensorOf<T>,
    share: f64,
    correction: f64,
) {
    let (kept, share) = (T::from_f64(1.0 - share), T::from_f64(share));
    let blend = |running: &mut TensorOf<T>, new: &TensorOf<T>, factor: T| {
        for (running, &new) in running.make_mut().iter_mut().zip(&*in_order(new, &[0])) {
            *running = kept * *running + share * (factor * new);
        }
    };
    blend(running_mean, mean, T::ONE);
    blend(running_variance, variance, T::from_f64(correction));
}
