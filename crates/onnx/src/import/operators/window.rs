//! The windows of convolutions and poolings: their attributes, and the padding that they ask for.
//!
//! Signals (N,C,L) are images of one row.

use crate::import::attributes::Attributes;
use crate::import::pass::{Made, Pass};
use crate::import::value::Float;

/// The attributes of a window, each for as many axes as the input has.
pub(super) struct Window {
    kernel: Option<Vec<usize>>,
    strides: Option<Vec<usize>>,
    pads: Option<Vec<usize>>,
    dilations: Option<Vec<usize>>,
    auto_pad: AutoPad,
    ceil: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum AutoPad {
    Explicit,
    /// The output has the input's size divided by the stride, rounded up; what is left over is padded at the end.
    SameUpper,
    /// As above, padded at the start.
    SameLower,
    Valid,
}

/// A window over an image, of both axes.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    pub(super) kernel: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) dilation: [usize; 2],
    pub(super) before: [usize; 2],
    pub(super) after: [usize; 2],
    /// Whether a last window that is cut off counts.
    pub(super) ceil: bool,
    /// What is appended beyond the padding so that it fits.
    pub(super) extra: [usize; 2],
}

impl Window {
    pub(super) fn of(attributes: &Attributes) -> Made<Self> {
        let auto_pad = match attributes.only_text("auto_pad", &["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])? {
            "SAME_UPPER" => AutoPad::SameUpper,
            "SAME_LOWER" => AutoPad::SameLower,
            "VALID" => AutoPad::Valid,
            _ => AutoPad::Explicit,
        };
        Ok(Self {
            kernel: attributes.sizes("kernel_shape")?,
            strides: attributes.sizes("strides")?,
            pads: attributes.sizes("pads")?,
            dilations: attributes.sizes("dilations")?,
            auto_pad,
            ceil: attributes.flag("ceil_mode", false)?,
        })
    }

    /// For an input of one or two axes besides batch and channels, whose weight has this kernel if there is one.
    pub(super) fn on(&self, x: &Float, weight: Option<[usize; 2]>) -> Made<Geometry> {
        let spatial = x.rank().saturating_sub(2);
        let pair = |what: &str, values: &Option<Vec<usize>>, single: usize, default: [usize; 2]| match (
            values.as_deref(),
            spatial,
        ) {
            (None, _) => Ok(default),
            (Some(&[a]), 1) => Ok([single, a]),
            (Some(&[a, b]), 2) => Ok([a, b]),
            (Some(values), _) => Err(format!(
                "attribute '{what}' has {} numbers\n  rule: one for each of the {spatial} axes",
                values.len()
            )),
        };
        let kernel = match (pair("kernel_shape", &self.kernel, 1, weight.unwrap_or([0, 0]))?, weight) {
            ([0, _] | [_, 0], _) => return Err("attribute 'kernel_shape' is missing or has 0".into()),
            (kernel, Some(weight)) if kernel != weight => {
                return Err(format!("attribute 'kernel_shape' is {kernel:?}, the weight's {weight:?}"));
            }
            (kernel, _) => kernel,
        };
        let stride = pair("strides", &self.strides, 1, [1, 1])?;
        let dilation = pair("dilations", &self.dilations, 1, [1, 1])?;
        if stride.contains(&0) || dilation.contains(&0) {
            return Err("a stride or dilation is 0".into());
        }
        let (mut before, mut after) = match (self.pads.as_deref(), spatial) {
            _ if self.auto_pad != AutoPad::Explicit => ([0, 0], [0, 0]),
            (None, _) => ([0, 0], [0, 0]),
            (Some(&[a, b]), 1) => ([0, a], [0, b]),
            (Some(&[top, left, bottom, right]), 2) => ([top, left], [bottom, right]),
            (Some(pads), _) => {
                return Err(format!(
                    "attribute 'pads' has {} numbers\n  rule: two for each of the {spatial} axes",
                    pads.len()
                ));
            }
        };
        let image = [if spatial == 2 { x.shape[2] } else { 1 }, x.shape[x.rank() - 1]];
        let reach = [0, 1].map(|i| dilation[i] * (kernel[i] - 1) + 1);
        if matches!(self.auto_pad, AutoPad::SameUpper | AutoPad::SameLower) {
            for i in 0..2 {
                let places = image[i].div_ceil(stride[i]);
                let padding = ((places.max(1) - 1) * stride[i] + reach[i]).saturating_sub(image[i]);
                let (less, more) = (padding / 2, padding.div_ceil(2));
                (before[i], after[i]) = if self.auto_pad == AutoPad::SameUpper { (less, more) } else { (more, less) };
            }
        }
        let extra = [0, 1].map(|i| {
            let padded = image[i] + before[i] + after[i];
            let left = padded.saturating_sub(reach[i]) % stride[i];
            // A window that would begin in the padding at the end is dropped.
            let starts = (padded.saturating_sub(reach[i]) / stride[i] + 1) * stride[i];
            if self.ceil && padded >= reach[i] && left > 0 && starts < image[i] + before[i] {
                stride[i] - left
            } else {
                0
            }
        });
        Ok(Geometry { kernel, stride, dilation, before, after, ceil: self.ceil, extra })
    }
}

impl Geometry {
    /// The padding, if it is the same on both sides and nothing is appended.
    pub(super) fn symmetric(&self) -> Option<[usize; 2]> {
        (self.before == self.after && self.extra == [0, 0]).then_some(self.before)
    }

    /// An image with the padding.
    pub(super) fn padded(&self, pass: &Pass, image: &Float, value: f64) -> Made {
        let width = |i: usize| (self.before[i], self.after[i] + self.extra[i]);
        pass.pad(image, &[(0, 0), (0, 0), width(0), width(1)], value)
    }
}

/// x as an image (N,C,H,W): a signal (N,C,L) becomes one row.
pub(super) fn image(pass: &Pass, x: &Float) -> Made {
    match x.rank() {
        3 => pass.reshape(x, &[x.shape[0], x.shape[1], 1, x.shape[2]]),
        4 => Ok(x.clone()),
        _ => {
            Err(format!("the input has shape {}\n  rule: images (N,C,H,W) and signals (N,C,L) are supported", x.shape))
        }
    }
}

/// An image with the rank that x had.
pub(super) fn as_before(pass: &Pass, x: &Float, image: &Float) -> Made {
    if x.rank() == 3 {
        pass.reshape(image, &[image.shape[0], image.shape[1], image.shape[3]])
    } else {
        Ok(image.clone())
    }
}
