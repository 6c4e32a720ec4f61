//! Convolution, pooling, resampling and normalization of images.

use chainrule_autograd::Var;
use chainrule_tensor::{Conv2dOptions, Pool2dOptions, TensorOf};

use super::matrix::standardized;
use super::window::{Geometry, Window, as_before, image};
use super::{Run, single};
use crate::import::attributes::Attributes;
use crate::import::pass::{Made, Pass};
use crate::import::value::Float;

/// The weight of a convolution as that of an image, and its kernel.
fn weight(pass: &Pass, w: &Float) -> Made<(Float, [usize; 2])> {
    let w =
        image(pass, w).map_err(|_| format!("the weight has shape {}\n  rule: as many axes as the input", w.shape))?;
    let kernel = [w.shape[2], w.shape[3]];
    Ok((w, kernel))
}

/// The number of groups, at least 1.
fn groups(attributes: &Attributes) -> Made<usize> {
    let group = attributes.integer("group", 1)?;
    usize::try_from(group).ok().filter(|&group| group > 0).ok_or_else(|| format!("attribute 'group' is {group}"))
}

pub(super) fn conv(attributes: &Attributes, _: i64) -> Made<Run> {
    let (window, groups) = (Window::of(attributes)?, groups(attributes)?);
    Ok(single(move |pass, x| {
        let (x, w, b) = (x.float(0)?, x.float(1)?, x.optional_float(2)?);
        let picture = image(pass, x)?;
        let (w, kernel) = weight(pass, w)?;
        let geometry = window.on(x, Some(kernel))?;
        let Geometry { stride, dilation, .. } = geometry;
        let options = |padding| Conv2dOptions { stride, padding, dilation, groups };
        let y = match geometry.symmetric() {
            Some(padding) => pass.conv2d(&picture, &w, b, options(padding))?,
            None => pass.conv2d(&geometry.padded(pass, &picture, 0.0)?, &w, b, options([0, 0]))?,
        };
        as_before(pass, x, &y)
    }))
}

pub(super) fn conv_transpose(attributes: &Attributes, _: i64) -> Made<Run> {
    let (window, groups) = (Window::of(attributes)?, groups(attributes)?);
    let same = attributes.text("auto_pad", "NOTSET")?.starts_with("SAME");
    let lower = attributes.text("auto_pad", "NOTSET")? == "SAME_LOWER";
    let (output_padding, output_shape) = (attributes.sizes("output_padding")?, attributes.sizes("output_shape")?);
    Ok(single(move |pass, x| {
        let (x, w, b) = (x.float(0)?, x.float(1)?, x.optional_float(2)?);
        let picture = image(pass, x)?;
        let (w, kernel) = weight(pass, w)?;
        let Geometry { stride, dilation, before, after, .. } = window.on(x, Some(kernel))?;
        let pair = |what: &str, values: &Option<Vec<usize>>| match (values.as_deref(), x.rank()) {
            (None, _) => Ok(None),
            (Some(&[a]), 3) => Ok(Some([usize::from(what == "output_shape"), a])),
            (Some(&[a, b]), 4) => Ok(Some([a, b])),
            (Some(values), _) => {
                Err(format!("attribute '{what}' has {} numbers\n  rule: one for each axis", values.len()))
            }
        };
        let added = pair("output_padding", &output_padding)?.unwrap_or([0, 0]);
        let options = |padding| Conv2dOptions { stride, padding, dilation, groups };
        let wanted = match pair("output_shape", &output_shape)? {
            None if same => Some([0, 1].map(|i| picture.shape[2 + i] * stride[i])),
            wanted => wanted,
        };
        if wanted.is_none() && before == after {
            let y = pass.conv_transpose2d(&picture, &w, b, options(before), added)?;
            return as_before(pass, x, &y);
        }
        // Without padding, of which the edges are cut off.
        let full = pass.conv_transpose2d(&picture, &w, b, options([0, 0]), added)?;
        let mut y = full;
        for i in 0..2 {
            let len = y.shape[2 + i];
            let (cut, kept) = match wanted {
                None => (before[i], len.checked_sub(before[i] + after[i])),
                Some(wanted) if wanted[i] > len => {
                    // What is missing is zeros, and the bias, after the end.
                    return Err(format!("an output of {wanted:?} is larger than {} without padding", y.shape));
                }
                Some(wanted) => {
                    let cut = len - wanted[i];
                    (if lower { cut.div_ceil(2) } else { cut / 2 }, Some(wanted[i]))
                }
            };
            let kept = kept
                .filter(|&kept| kept > 0)
                .ok_or_else(|| format!("the padding {before:?}, {after:?} leaves nothing of {}", y.shape))?;
            y = pass.slice(&y, 2 + i, cut, kept, 1)?;
        }
        as_before(pass, x, &y)
    }))
}

/// The pooling of these windows without padding, all of whose windows fit.
fn plain(geometry: &Geometry) -> Pool2dOptions {
    let Geometry { kernel, stride, dilation, .. } = *geometry;
    Pool2dOptions { kernel, stride, padding: [0, 0], dilation, ceil_mode: false, count_include_pad: true }
}

/// The pooling of these windows, if it can do the padding by itself.
fn with_padding(geometry: &Geometry) -> Option<Pool2dOptions> {
    let Geometry { kernel, before, after, ceil, .. } = *geometry;
    let fits = before == after && (0..2).all(|i| before[i] <= kernel[i] / 2);
    fits.then(|| Pool2dOptions { padding: before, ceil_mode: ceil, ..plain(geometry) })
}

/// A pooling: what it makes of images (N,C,H,W) and their windows, on images of one or two axes.
fn pooling(window: Window, pool: impl Fn(&Pass, &Float, &Geometry) -> Made + Send + Sync + 'static) -> Run {
    single(move |pass, x| {
        let x = x.float(0)?;
        let picture = image(pass, x)?;
        let geometry = window.on(x, None)?;
        let y = pool(pass, &picture, &geometry)?;
        as_before(pass, x, &y)
    })
}

pub(super) fn max_pool(attributes: &Attributes, _: i64) -> Made<Run> {
    let window = Window::of(attributes)?;
    attributes.only("storage_order", 0)?;
    Ok(pooling(window, |pass, picture, geometry| match with_padding(geometry) {
        Some(options) => pass.max_pool2d(picture, options),
        None => pass.max_pool2d(&geometry.padded(pass, picture, f64::NEG_INFINITY)?, plain(geometry)),
    }))
}

pub(super) fn average_pool(attributes: &Attributes, _: i64) -> Made<Run> {
    let window = Window::of(attributes)?;
    let include = attributes.flag("count_include_pad", false)?;
    Ok(pooling(window, move |pass, picture, geometry| match with_padding(geometry) {
        Some(options) => pass.avg_pool2d(picture, Pool2dOptions { count_include_pad: include, ..options }),
        None => average_of_padded(pass, picture, geometry, include),
    }))
}

/// The mean of each window by the elements that count: those of the image, or those of the image and its padding.
fn average_of_padded(pass: &Pass, picture: &Float, geometry: &Geometry, include: bool) -> Made {
    let padded = geometry.padded(pass, picture, 0.0)?;
    let y = pass.avg_pool2d(&padded, plain(geometry))?;
    let counts = |i: usize| -> Made<Vec<usize>> {
        let (before, image) = (geometry.before[i], picture.shape[2 + i]);
        let counted = if include { 0..before + image + geometry.after[i] } else { before..before + image };
        let count = |place: usize| {
            let at = |cell: usize| place * geometry.stride[i] + cell * geometry.dilation[i];
            (0..geometry.kernel[i]).filter(|&cell| counted.contains(&at(cell))).count()
        };
        let counts: Vec<usize> = (0..y.shape[2 + i]).map(count).collect();
        if counts.contains(&0) { Err("a window has nothing but padding".into()) } else { Ok(counts) }
    };
    let (rows, columns) = (counts(0)?, counts(1)?);
    let size = (geometry.kernel[0] * geometry.kernel[1]) as f32;
    let factor = pass.constant(&[1, 1, rows.len(), columns.len()], |shape| {
        TensorOf::from_fn(shape, |place| size / (rows[place / columns.len()] * columns[place % columns.len()]) as f32)
    })?;
    pass.binary("AveragePool", &y, &factor, |y, factor| y * factor)
}

pub(super) fn global_average_pool(_: &Attributes, _: i64) -> Made<Run> {
    Ok(single(|pass, x| {
        let x = x.float(0)?;
        let y = pass.global_average(&image(pass, x)?)?;
        as_before(pass, x, &y)
    }))
}

pub(super) fn global_max_pool(_: &Attributes, _: i64) -> Made<Run> {
    Ok(single(|pass, x| {
        let x = x.float(0)?;
        let y = pass.global_max(&image(pass, x)?)?;
        as_before(pass, x, &y)
    }))
}

pub(super) fn batch_normalization(attributes: &Attributes, opset: i64) -> Made<Run> {
    let eps = attributes.number("epsilon", 1e-5)?;
    attributes.number("momentum", 0.9)?;
    if opset < 9 {
        attributes.only("spatial", 1)?;
    } else if opset >= 14 {
        attributes.only("training_mode", 0)?;
    }
    if eps < 0.0 {
        return Err(format!("attribute 'epsilon' is {eps}\n  rule: it is not negative"));
    }
    Ok(single(move |pass, x| pass.batch_norm(x.float(0)?, [x.float(1)?, x.float(2)?], [x.float(3)?, x.float(4)?], eps)))
}

/// A row (C) as (C,1,1,…), for an input of this rank.
fn of_channels(pass: &Pass, row: &Float, rank: usize) -> Made {
    pass.reshape(row, &[&[row.shape.numel()][..], &vec![1; rank - 2]].concat())
}

pub(super) fn instance_normalization(attributes: &Attributes, _: i64) -> Made<Run> {
    let eps = attributes.number("epsilon", 1e-5)?;
    Ok(single(move |pass, x| {
        let (x, scale, shift) = (x.float(0)?, x.float(1)?, x.float(2)?);
        if x.rank() < 3 || scale.shape != [x.shape[1]] || shift.shape != [x.shape[1]] {
            return Err(format!(
                "input {}, scale {}, B {}\n  rule: input (N,C,…), scale and B (C)",
                x.shape, scale.shape, shift.shape
            ));
        }
        let [normal, ..] = standardized(pass, x, &(2..x.rank()).collect::<Vec<_>>(), eps)?;
        let scaled =
            pass.binary("InstanceNormalization", &normal, &of_channels(pass, scale, x.rank())?, |x, scale| x * scale)?;
        pass.binary("InstanceNormalization", &scaled, &of_channels(pass, shift, x.rank())?, |x, shift| x + shift)
    }))
}

/// `x / (bias + α/size · Σ x²)^β`, the sum over `size` neighboring channels (Krizhevsky and others, 2012).
pub(super) fn local_response_normalization(attributes: &Attributes, _: i64) -> Made<Run> {
    let (alpha, beta, bias) =
        (attributes.number("alpha", 1e-4)?, attributes.number("beta", 0.75)?, attributes.number("bias", 1.0)?);
    let size = attributes.integer("size", 0)?;
    let size = usize::try_from(size)
        .ok()
        .filter(|size| (1..=1024).contains(size))
        .ok_or_else(|| format!("attribute 'size' is {size}\n  rule: from 1 to 1024"))?;
    Ok(single(move |pass, x| {
        let x = x.float(0)?;
        if x.rank() < 2 {
            return Err(format!("the input has shape {}\n  rule: (N,C,…)", x.shape));
        }
        let square = pass.unary(x, Var::square)?;
        let mut widths = vec![(0, 0); x.rank()];
        widths[1] = ((size - 1) / 2, size / 2);
        let padded = pass.pad(&square, &widths, 0.0)?;
        let mut sum = pass.slice(&padded, 1, 0, x.shape[1], 1)?;
        for start in 1..size {
            sum = pass.binary("LRN", &sum, &pass.slice(&padded, 1, start, x.shape[1], 1)?, |sum, part| sum + part)?;
        }
        pass.binary("LRN", x, &sum, |x, sum| x / (bias + (alpha / size as f64) * sum).pow(beta))
    }))
}

/// Moves blocks of channels (N, C·b², H, W) into images (N, C, H·b, W·b).
pub(super) fn depth_to_space(attributes: &Attributes, _: i64) -> Made<Run> {
    let b = block_size(attributes)?;
    let depth_first = attributes.only_text("mode", &["DCR", "CRD"])? == "DCR";
    Ok(single(move |pass, x| {
        let x = x.float(0)?;
        let &[n, c, h, w] = &x.shape[..] else {
            return Err(format!("the input has shape {}\n  rule: images (N,C,H,W)", x.shape));
        };
        let area = b * b;
        if !c.is_multiple_of(area) {
            return Err(format!("{c} channels\n  rule: a multiple of {area}"));
        }
        let (dims, order) = if depth_first {
            ([n, b, b, c / area, h, w], [0, 3, 4, 1, 5, 2])
        } else {
            ([n, c / area, b, b, h, w], [0, 1, 4, 2, 5, 3])
        };
        let blocks = pass.permute(&pass.reshape(x, &dims)?, &order)?;
        pass.reshape(&blocks, &[n, c / area, h * b, w * b])
    }))
}

/// The inverse of [`depth_to_space`] in mode DCR.
pub(super) fn space_to_depth(attributes: &Attributes, _: i64) -> Made<Run> {
    let b = block_size(attributes)?;
    Ok(single(move |pass, x| {
        let x = x.float(0)?;
        let &[n, c, h, w] = &x.shape[..] else {
            return Err(format!("the input has shape {}\n  rule: images (N,C,H,W)", x.shape));
        };
        if !h.is_multiple_of(b) || !w.is_multiple_of(b) {
            return Err(format!("an image of {h}×{w}\n  rule: multiples of {b}"));
        }
        let blocks = pass.reshape(x, &[n, c, h / b, b, w / b, b])?;
        pass.reshape(&pass.permute(&blocks, &[0, 3, 5, 1, 2, 4])?, &[n, c * b * b, h / b, w / b])
    }))
}

fn block_size(attributes: &Attributes) -> Made<usize> {
    let size = attributes.integer("blocksize", 0)?;
    usize::try_from(size)
        .ok()
        .filter(|size| (1..=1024).contains(size))
        .ok_or_else(|| format!("attribute 'blocksize' is {size}\n  rule: from 1 to 1024"))
}
