//! Inversion, as of ink on paper.

use chainrule_tensor::Rng;

use super::{Sample, Transform};

/// Replaces each pixel x by 255 − x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invert;

impl Transform for Invert {
    fn apply(&self, sample: &mut Sample, _rng: &mut Rng) {
        sample.pixels_mut().iter_mut().for_each(|x| *x = !*x);
    }
}
