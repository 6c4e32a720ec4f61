//! Resizing of images.

use super::window::{as_before, image};
use super::{Run, single};
use crate::import::attributes::Attributes;
use crate::import::pass::{Made, Pass, axis};
use crate::import::value::Float;

/// How a resize samples its input.
#[derive(Clone, Copy)]
enum Sampling {
    Nearest,
    /// `first` is whether a single output is the first pixel, not the middle.
    Bilinear {
        align_corners: bool,
        first: bool,
    },
}

pub(super) fn resize(attributes: &Attributes, opset: i64) -> Made<Run> {
    let mode = attributes.only_text("mode", &["nearest", "linear"])?;
    let (coordinates, rounding) = if opset < 11 {
        ("asymmetric", "floor")
    } else {
        (
            attributes.text("coordinate_transformation_mode", "half_pixel")?,
            attributes.text("nearest_mode", "round_prefer_floor")?,
        )
    };
    attributes.only("antialias", 0)?;
    attributes.only("exclude_outside", 0)?;
    attributes.number("cubic_coeff_a", -0.75)?;
    attributes.number("extrapolation_value", 0.0)?;
    if attributes.text("keep_aspect_ratio_policy", "stretch")? != "stretch" {
        return Err("attribute 'keep_aspect_ratio_policy' is supported as 'stretch' only".into());
    }
    let axes = attributes.integers("axes")?;
    // For integer factors these pairs all repeat each pixel.
    let repeats = matches!(
        (coordinates, rounding),
        ("asymmetric", "floor") | ("half_pixel" | "pytorch_half_pixel", "round_prefer_floor" | "round_prefer_ceil")
    );
    let exact = (coordinates, rounding) == ("asymmetric", "floor");
    let sampling = match (mode, coordinates) {
        ("nearest", _) if repeats => Sampling::Nearest,
        ("linear", "half_pixel" | "pytorch_half_pixel") => {
            Sampling::Bilinear { align_corners: false, first: coordinates == "pytorch_half_pixel" }
        }
        ("linear", "align_corners") => Sampling::Bilinear { align_corners: true, first: true },
        _ => {
            return Err(format!(
                "mode '{mode}' with coordinate_transformation_mode '{}' and nearest_mode '{}' is not supported\n  rule: linear with half_pixel or align_corners; nearest with asymmetric and floor, or half_pixel and round_prefer_floor",
                coordinates.escape_debug(),
                rounding.escape_debug()
            ));
        }
    };
    let first = if opset < 11 { 1 } else { 2 };
    Ok(single(move |pass, x| {
        let scales = match x.optional_float(first)?.filter(|scales| scales.shape.numel() > 0) {
            Some(scales) => Some(scales.setting("the scales")?),
            None => None,
        };
        let sizes = if opset < 11 { None } else { x.optional_integers(3)?.map(|sizes| sizes.values.clone()) };
        resampled(pass, x.float(0)?, &Factors { scales, sizes, axes: axes.clone() }, sampling, exact)
    }))
}

pub(super) fn upsample(attributes: &Attributes, opset: i64) -> Made<Run> {
    attributes.only_text("mode", &["nearest"])?;
    let old =
        if opset < 9 { Some(attributes.numbers("scales")?.ok_or("attribute 'scales' is missing")?) } else { None };
    Ok(single(move |pass, x| {
        let scales = match &old {
            Some(scales) => scales.clone(),
            None => x.float(1)?.setting("the scales")?,
        };
        resampled(
            pass,
            x.float(0)?,
            &Factors { scales: Some(scales), sizes: None, axes: None },
            Sampling::Nearest,
            true,
        )
    }))
}

/// The factors or sizes of a resize, for these axes or for all.
struct Factors {
    scales: Option<Vec<f32>>,
    sizes: Option<Vec<i64>>,
    axes: Option<Vec<i64>>,
}

/// `exact` is whether nearest sampling takes `⌊i·H/oh⌋` for any factor, not only for integer ones.
fn resampled(pass: &Pass, x: &Float, factors: &Factors, sampling: Sampling, exact: bool) -> Made {
    let picture = image(pass, x)?;
    let given: Vec<usize> = match &factors.axes {
        Some(axes) => axes.iter().map(|&number| axis(number, x.rank())).collect::<Made<_>>()?,
        None => (0..x.rank()).collect(),
    };
    let mut lengths = x.shape.to_vec();
    let count = factors
        .sizes
        .as_ref()
        .map(Vec::len)
        .or(factors.scales.as_ref().map(Vec::len))
        .ok_or("it has neither scales nor sizes")?;
    if count != given.len() {
        return Err(format!("{count} factors for {} axes", given.len()));
    }
    for (i, &axis) in given.iter().enumerate() {
        let (len, wanted) = (x.shape[axis] as f64, factors.sizes.as_ref().map(|sizes| sizes[i] as f64));
        let scale = factors.scales.as_ref().map_or(1.0, |scales| scales[i]);
        // As runtimes compute it, in `f32`.
        let wanted = wanted.unwrap_or_else(|| (len as f32 * scale).floor().into());
        if !(1.0..=f64::from(1 << 20)).contains(&wanted) {
            return Err(format!("an axis of length {len} would get length {wanted}\n  rule: from 1 to 2²⁰"));
        }
        // A runtime samples by the scale, which is the ratio of the lengths, up to rounding, only if that is whole.
        if factors.sizes.is_none() && (wanted - len * f64::from(scale)).abs() > 1e-6 * wanted {
            return Err(format!(
                "an axis of length {len} is scaled by {scale}\n  rule: the scaled length is an integer"
            ));
        }
        lengths[axis] = wanted as usize;
        if matches!(sampling, Sampling::Bilinear { align_corners: false, first: true }) && wanted == 1.0 && len > 1.0 {
            return Err("pytorch_half_pixel to a single pixel is not supported".into());
        }
        let is_whole = wanted % len == 0.0;
        if matches!(sampling, Sampling::Nearest) && !is_whole && !exact {
            return Err(format!(
                "an axis of length {len} gets length {wanted}\n  rule: nearest sampling by an integer factor"
            ));
        }
    }
    if lengths[..2] != x.shape[..2] {
        return Err(format!("{} would become {lengths:?}\n  rule: batch and channels keep their lengths", x.shape));
    }
    let size = [if x.rank() == 4 { lengths[2] } else { 1 }, lengths[x.rank() - 1]];
    let y = pass.resample(&picture, size, |x| match sampling {
        Sampling::Nearest => x.upsample_nearest2d(size),
        Sampling::Bilinear { align_corners, .. } => x.upsample_bilinear2d(size, align_corners),
    })?;
    as_before(pass, x, &y)
}
