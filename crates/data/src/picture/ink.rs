//! A drawing on paper, prepared as MNIST was.

use super::paper::Page;
use super::{Picture, Prepared, crop, gray, pixels, resize, strokes};
use crate::error::{DataError, Result};
use crate::transform::Sample;

/// The longest side at which ink is looked for; strokes that matter are several pixels wide at this size.
const PAGE: usize = 640;

/// The side of the box into which MNIST fits a digit, of the side of its images.
const MNIST: [usize; 2] = [20, 28];

impl Picture {
    /// A drawing or a photograph of ink on paper for a net of gray images of `size` (H, W), as the digits of MNIST were
    /// prepared: light strokes on 0, fitted into a box of 20 of 28 pixels with their aspect ratio, with antialiasing, and placed
    /// so that their center of mass is within half a pixel of pixel (14, 14).
    /// Source: Y. LeCun, C. Cortes, C. Burges, <https://yann.lecun.com/exdb/mnist/>.
    ///
    /// The paper may be light or dark, and lit unevenly; a shadow with a sharp edge counts as ink, unless it reaches the
    /// border of the picture and there are other strokes. Specks are left out. A light drawing on a dark page that has the
    /// size of the net's images already is taken as it is.
    ///
    /// # Errors
    /// If nothing on the page differs clearly from the paper; the message names the file.
    ///
    /// # Panics
    /// If a side of `size` is outside 1 to 65 535.
    #[track_caller]
    pub fn drawing(&self, size: [usize; 2]) -> Result<Prepared> {
        let [_, height, width] = self.shape();
        let mut page = gray(&self.sample);
        if height.max(width) > PAGE {
            let scaled = |side: usize| (side * PAGE / height.max(width)).max(1);
            resize(&mut page, [scaled(height), scaled(width)]);
        }
        let [_, h, w] = page.shape();
        let mut notes = self.notes();
        let found = Page::new(page.pixels(), [h, w]);
        let strokes = strokes::find(&found, [h, w]).map_err(|contrast| self.no_ink(contrast))?;
        if !found.dark_ink && [height, width] == size {
            notes.push(format!("a light drawing on a dark page of {} pixels, taken as it is", pixels(size)));
            return Ok(Prepared { sample: page, notes });
        }
        notes.push(
            if found.dark_ink { "dark ink on a light page, inverted" } else { "light ink on a dark page" }.into(),
        );
        if strokes.edge {
            notes.push("what touches the edge of the picture is left out".into());
        }
        if strokes.specks > 0 {
            notes.push(format!("{} left out", count(strokes.specks, "speck")));
        }

        if strokes.drawings > 1 {
            notes.push(format!(
                "{} drawings side by side, taken as one: crop the picture to a single one",
                strokes.drawings
            ));
        }

        page.set(&strokes.ink, [1, h, w]);
        let ink = [strokes.rows.len(), strokes.columns.len()];
        let mut ink_only = crop(&page, [strokes.rows.start, strokes.columns.start], ink);
        let fitted = fit(ink, size);
        resize(&mut ink_only, fitted);
        brighten(&mut ink_only);
        // In pixels of the file.
        let found = [ink[0] * height / h, ink[1] * width / w];
        notes.push(format!(
            "the ink, {} of {} pixels, resized to {}",
            pixels(found),
            pixels([height, width]),
            pixels(fitted)
        ));
        notes.push(format!("placed by its center of mass in {} pixels", pixels(size)));
        Ok(Prepared { sample: center(&ink_only, size), notes })
    }

    fn no_ink(&self, contrast: f64) -> DataError {
        DataError::Inconsistent {
            what: self.path.display().to_string(),
            problem: format!(
                "no ink found: nothing differs from the paper by more than {contrast:.0} of 255 levels of gray"
            ),
            help: "draw one large digit with a dark pen on light paper, or the other way round",
        }
    }
}

/// The largest (H, W) with the aspect ratio of `ink` in the box of an image of `size`.
fn fit(ink: [usize; 2], size: [usize; 2]) -> [usize; 2] {
    let [of, side] = MNIST;
    let limits = size.map(|n| (n * of / side).max(1));
    let scale = (limits[0] as f64 / ink[0] as f64).min(limits[1] as f64 / ink[1] as f64);
    [0, 1].map(|axis| ((ink[axis] as f64 * scale).round() as usize).clamp(1, limits[axis]))
}

/// Scales so that the brightest pixel is 255, as in every image of MNIST: thin strokes are pale after resizing.
fn brighten(image: &mut Sample) {
    let brightest = u32::from(image.pixels().iter().copied().max().unwrap_or(0).max(1));
    image.pixels_mut().iter_mut().for_each(|x| *x = ((u32::from(*x) * 255 + brightest / 2) / brightest) as u8);
}

/// Places an image (1, h, w) in one of `size` so that its center of mass is at the center's pixel, or half a pixel before it.
fn center(image: &Sample, size: [usize; 2]) -> Sample {
    let [_, h, w] = image.shape();
    let mass: f64 = image.pixels().iter().map(|&x| f64::from(x)).sum();
    let moment = |coordinate: fn(usize, usize) -> usize| {
        let pixels = image.pixels().iter().enumerate();
        pixels.map(|(at, &x)| coordinate(at, w) as f64 * f64::from(x)).sum::<f64>() / mass
    };
    let centers = [moment(|at, w| at / w), moment(|at, w| at % w)];
    let [top, left] = [0, 1].map(|axis| {
        let room = size[axis] - [h, w][axis];
        // The center of mass of a digit of MNIST is at least 13.5 and less than 14.5 in both directions.
        ((size[axis] / 2) as f64 - 0.5 - centers[axis]).ceil().clamp(0.0, room as f64) as usize
    });
    let mut placed = Sample::default();
    placed.rebuild([1, size[0], size[1]], |_, new| {
        for (i, row) in image.pixels().chunks_exact(w).enumerate() {
            new[(top + i) * size[1] + left..][..w].copy_from_slice(row);
        }
    });
    placed
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
