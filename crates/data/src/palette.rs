//! A few colors that stand for all: colorization as the classification of pixels.

use std::collections::BTreeSet;

use chainrule_tensor::{Key, Rng};

use crate::dataset::Images;
use crate::error::{DataError, Result};
use crate::k_means::k_means;
use crate::streams;

/// Pixels from which the colors are found.
const SAMPLE: u32 = 50_000;

/// A list of colors, to which the pixels of images are rounded.
///
/// ```
/// use chainrule_data::Palette;
/// let palette = Palette::new(vec![[0, 0, 0], [200, 30, 30]]);
/// // An image of one row: (C, H, W) = (3, 1, 2).
/// let indices = palette.nearest(&[10, 250, 20, 0, 30, 0]);
/// assert_eq!(indices, [0, 1]);
/// assert_eq!(palette.paint(&indices), [0, 200, 0, 30, 0, 30]);
/// assert_eq!(palette.names(), ["#000000", "#c81e1e"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Palette {
    colors: Vec<[u8; 3]>,
}

impl Palette {
    /// A palette of these colors, red, green and blue each.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn new(colors: Vec<[u8; 3]>) -> Self {
        assert!(!colors.is_empty(), "Palette: no colors; pass at least one");
        Self { colors }
    }

    /// The colors of a set of images (N, 3, H, W): the centers that [`k_means`] finds in 50 000 of their pixels, drawn by
    /// the seed without replacement, or in all of them if there are no more. They are rounded to 8 bits and ordered by luma
    /// (0.299 R + 0.587 G + 0.114 B, ITU-R BT.601), the darkest first.
    ///
    /// # Errors
    /// [`DataError::Inconsistent`] if the images are not RGB, or if the drawn pixels have fewer different colors.
    ///
    /// # Panics
    /// If `colors` is 0, or there are 2³² or more pixels.
    #[track_caller]
    pub fn of(images: &Images, colors: usize, seed: u64) -> Result<Self> {
        let error = |problem: String, help| Err(DataError::Inconsistent { what: "Palette::of".into(), problem, help });
        let [n, c, h, w] = images.shape();
        if c != 3 {
            return error(
                format!("the images are (C,H,W) = ({c}, {h}, {w})"),
                "pass RGB images, which have 3 channels",
            );
        }
        let pixels = u32::try_from(n * h * w).expect("there are fewer than 2³² pixels");
        let plane = h * w;
        let color = |pixel: u32| {
            let (image, at) = (images.image(pixel as usize / plane), pixel as usize % plane);
            [0, 1, 2].map(|channel| image[channel * plane + at])
        };
        let mut key = Key::new(seed, streams::PALETTE).rng();
        let sample: Vec<[u8; 3]> = draw(pixels, SAMPLE.min(pixels), &mut key).into_iter().map(color).collect();
        let different = sample.iter().collect::<BTreeSet<_>>().len();
        if different < colors {
            return error(format!("{colors} colors of pixels that have only {different}"), "use fewer colors");
        }
        let points: Vec<[f64; 3]> = sample.iter().map(|color| color.map(f64::from)).collect();
        let mut colors: Vec<[u8; 3]> =
            k_means(&points, colors, seed).centers.into_iter().map(|center| center.map(|x| x.round() as u8)).collect();
        colors.sort_by_key(|&color| (luma(color), color));
        Ok(Self::new(colors))
    }

    /// The colors, red, green and blue each.
    pub fn colors(&self) -> &[[u8; 3]] {
        &self.colors
    }

    /// The colors as text, such as "#c81e1e".
    pub fn names(&self) -> Vec<String> {
        self.colors.iter().map(|[r, g, b]| format!("#{r:02x}{g:02x}{b:02x}")).collect()
    }

    /// The palette with these [names](Self::names); `None` if one is no color, or there is none.
    pub fn from_names(names: &[String]) -> Option<Self> {
        let color = |name: &String| {
            let digits = name.strip_prefix('#').filter(|digits| digits.len() == 6)?;
            let number = u32::from_str_radix(digits, 16).ok()?;
            Some([number >> 16, number >> 8, number].map(|byte| byte as u8))
        };
        let colors: Vec<[u8; 3]> = names.iter().map(color).collect::<Option<_>>()?;
        (!colors.is_empty()).then_some(Self { colors })
    }

    /// For each pixel of an image (3, H, W) the index of the color with the least squared distance in RGB; of equally near
    /// colors the first.
    pub fn nearest(&self, pixels: &[u8]) -> Vec<i32> {
        let plane = pixels.len() / 3;
        let [r, g, b] = [0, 1, 2].map(|channel| &pixels[channel * plane..][..plane]);
        let (mut indices, mut least) = (vec![0; plane], vec![i32::MAX; plane]);
        // Colors outside, pixels inside: the loop over pixels runs in SIMD lanes.
        for (index, &color) in self.colors.iter().enumerate() {
            let [red, green, blue] = color.map(i32::from);
            for (((nearest, least), &r), (&g, &b)) in indices.iter_mut().zip(&mut least).zip(r).zip(g.iter().zip(b)) {
                let [r, g, b] = [i32::from(r) - red, i32::from(g) - green, i32::from(b) - blue];
                let distance = r * r + g * g + b * b;
                *nearest = if distance < *least { index as i32 } else { *nearest };
                *least = distance.min(*least);
            }
        }
        indices
    }

    /// The image (3, H, W) in the colors with these indices (H, W).
    ///
    /// # Panics
    /// If there is no such color.
    #[track_caller]
    pub fn paint(&self, indices: &[i32]) -> Vec<u8> {
        (0..3).flat_map(|channel| indices.iter().map(move |&i| self.colors[i as usize][channel])).collect()
    }

    /// The image (3, H, W) of the most probable color of each pixel, for logits (colors, H, W); of equally probable ones the
    /// first.
    ///
    /// # Panics
    /// If the number of logits is no multiple of the colors.
    #[track_caller]
    pub fn most_probable(&self, logits: &[f32]) -> Vec<u8> {
        let plane = self.plane(logits);
        let (mut indices, mut most) = (vec![0; plane], vec![f32::NEG_INFINITY; plane]);
        for (index, logits) in logits.chunks_exact(plane).enumerate() {
            for ((best, most), &logit) in indices.iter_mut().zip(&mut most).zip(logits) {
                if logit > *most {
                    (*best, *most) = (index as i32, logit);
                }
            }
        }
        self.paint(&indices)
    }

    /// The image (3, H, W) of the annealed mean of each pixel, for logits (colors, H, W): the mean of the colors by the
    /// softmax of logits / `temperature` (Zhang, Isola, Efros: "Colorful image colorization", 2016, equation 5, there in the
    /// color space Lab, here in RGB). A temperature near 0 gives the most probable color, 1 the mean by the probabilities of
    /// the net; between them colors stay vivid and change smoothly. The paper uses 0.38.
    ///
    /// # Panics
    /// If the number of logits is no multiple of the colors, or the temperature is not positive.
    #[track_caller]
    pub fn annealed_mean(&self, logits: &[f32], temperature: f64) -> Vec<u8> {
        assert!(temperature > 0.0, "annealed_mean: temperature {temperature}; it must be positive");
        let plane = self.plane(logits);
        let mut pixels = vec![0; 3 * plane];
        for at in 0..plane {
            let of = |index: usize| f64::from(logits[index * plane + at]);
            let most = (0..self.colors.len()).map(of).fold(f64::NEG_INFINITY, f64::max);
            let (mut sum, mut mean) = (0.0, [0.0; 3]);
            for (index, color) in self.colors.iter().enumerate() {
                let weight = ((of(index) - most) / temperature).exp();
                sum += weight;
                mean.iter_mut().zip(color).for_each(|(mean, &x)| *mean += weight * f64::from(x));
            }
            for (channel, mean) in mean.into_iter().enumerate() {
                pixels[channel * plane + at] = (mean / sum).round() as u8;
            }
        }
        pixels
    }

    /// The pixels of an image with these logits.
    #[track_caller]
    fn plane(&self, logits: &[f32]) -> usize {
        let colors = self.colors.len();
        assert!(logits.len().is_multiple_of(colors), "Palette: {} logits for {colors} colors", logits.len());
        logits.len() / colors
    }
}

/// The gray image (1, H, W) of one in RGB (3, H, W): the mean of red, green and blue, rounded.
pub fn mean_gray(pixels: &[u8]) -> Vec<u8> {
    let plane = pixels.len() / 3;
    let sum = |at: usize| [0, 1, 2].iter().map(|channel| u32::from(pixels[channel * plane + at])).sum::<u32>();
    (0..plane).map(|at| ((2 * sum(at) + 3) / 6) as u8).collect()
}

/// The luma in thousandths.
fn luma([r, g, b]: [u8; 3]) -> u32 {
    299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b)
}

/// `count` of the numbers below `n`, drawn without replacement, in ascending order (Floyd's algorithm: Bentley and Floyd, "A
/// sample of brilliance", 1987).
fn draw(n: u32, count: u32, rng: &mut Rng) -> BTreeSet<u32> {
    let mut drawn = BTreeSet::new();
    for last in n - count..n {
        let number = rng.below(last + 1);
        if !drawn.insert(number) {
            drawn.insert(last);
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use chainrule_tensor::with_threads;

    /// Images with these colors, one pixel each.
    fn pixels(colors: &[[u8; 3]]) -> Images {
        let pixels = colors.iter().flatten().copied().collect();
        Images::new(pixels, [colors.len(), 3, 1, 1], vec![0; colors.len()], vec!["one".into()]).unwrap()
    }

    #[test]
    fn the_colors_of_images_are_found_and_ordered_by_luma() {
        // Green is brighter than red, and red than blue.
        let colors = [[0, 0, 255], [255, 0, 0], [0, 255, 0], [0, 0, 0], [255, 0, 0]];
        let palette = Palette::of(&pixels(&colors), 4, 0).unwrap();
        assert_eq!(palette.colors(), [[0, 0, 0], [0, 0, 255], [255, 0, 0], [0, 255, 0]]);
    }

    #[test]
    fn a_palette_is_a_function_of_seed_and_images_on_any_number_of_threads() {
        let mut rng = Key::new(5, chainrule_tensor::Purpose::CHECK).rng();
        let noise = (0..40 * 3 * 48 * 48).map(|_| rng.below(256) as u8).collect();
        let images = Images::new(noise, [40, 3, 48, 48], vec![0; 40], vec!["noise".into()]).unwrap();
        let of = |threads: usize, seed: u64| with_threads(threads, || Palette::of(&images, 8, seed).unwrap());
        assert_eq!(of(1, 0), of(3, 0));
        assert_ne!(of(1, 0), of(1, 1));
        let lumas: Vec<u32> = of(1, 0).colors().iter().map(|&color| luma(color)).collect();
        assert!(lumas.is_sorted());
    }

    #[test]
    fn images_without_enough_colors_are_refused() {
        let text = |images: &Images, colors| Palette::of(images, colors, 0).unwrap_err().to_string();
        assert_eq!(
            text(&pixels(&[[1, 2, 3], [1, 2, 3], [4, 5, 6]]), 3),
            "Palette::of: 3 colors of pixels that have only 2\n  help: use fewer colors"
        );
        let gray = Images::new(vec![0; 4], [1, 1, 2, 2], vec![0], vec!["one".into()]).unwrap();
        assert_eq!(
            text(&gray, 1),
            "Palette::of: the images are (C,H,W) = (1, 2, 2)\n  help: pass RGB images, which have 3 channels"
        );
    }

    #[test]
    fn the_nearest_color_is_that_of_a_slow_search_and_ties_go_to_the_first() {
        let mut rng = Key::new(1, chainrule_tensor::Purpose::CHECK).rng();
        let mut byte = || rng.below(256) as u8;
        let palette = Palette::new((0..24).map(|_| [byte(), byte(), byte()]).collect());
        let image: Vec<u8> = (0..3 * 500).map(|_| byte()).collect();
        let slow = |at: usize| {
            let pixel = [0, 1, 2].map(|channel| i64::from(image[channel * 500 + at]));
            let distance = |color: &[u8; 3]| (0..3).map(|i| (pixel[i] - i64::from(color[i])).pow(2)).sum::<i64>();
            (0..24).min_by_key(|&index| distance(&palette.colors()[index])).unwrap() as i32
        };
        assert_eq!(palette.nearest(&image), (0..500).map(slow).collect::<Vec<i32>>());

        let palette = Palette::new(vec![[9, 0, 0], [4, 0, 0], [2, 0, 0], [4, 0, 0]]);
        assert_eq!(palette.nearest(&[3, 4, 0, 0, 0, 0]), [1, 1]);
    }

    #[test]
    fn names_lead_back_to_the_colors() {
        let palette = Palette::new(vec![[0, 1, 2], [255, 16, 171]]);
        assert_eq!(palette.names(), ["#000102", "#ff10ab"]);
        assert_eq!(Palette::from_names(&palette.names()), Some(palette));
        for wrong in [&["horse"][..], &["#12345"], &["#00000g"], &["#000000", ""], &[]] {
            assert_eq!(Palette::from_names(&wrong.iter().map(|&name| name.into()).collect::<Vec<_>>()), None);
        }
    }

    #[test]
    fn annealed_means_go_from_the_most_probable_color_to_the_mean() {
        let palette = Palette::new(vec![[0, 0, 0], [100, 200, 40]]);
        // Two pixels: probabilities 1/4 and 3/4, then ½ and ½.
        let logits = [0.0, 0.0, 3.0_f32.ln(), 0.0];
        assert_eq!(palette.most_probable(&logits), [100, 0, 200, 0, 40, 0]);
        assert_eq!(palette.annealed_mean(&logits, 1.0), [75, 50, 150, 100, 30, 20]);
        // 3² : 1 at half the temperature.
        assert_eq!(palette.annealed_mean(&logits, 0.5), [90, 50, 180, 100, 36, 20]);
        assert_eq!(palette.annealed_mean(&logits, 1e-3)[..1], [100]);
    }

    #[test]
    fn gray_is_the_rounded_mean_of_the_channels() {
        assert_eq!(mean_gray(&[0, 1, 255, 0, 1, 255, 1, 2, 255]), [0, 1, 255]);
        assert_eq!(mean_gray(&[1, 1, 0]), [1]);
    }

    #[test]
    fn draws_are_without_replacement_and_evenly_spread() {
        let mut times = [0_u32; 10];
        for seed in 0..3000 {
            let drawn = draw(10, 3, &mut Key::new(seed, streams::PALETTE).rng());
            assert_eq!(drawn.len(), 3);
            for number in drawn {
                times[number as usize] += 1;
            }
        }
        // 900 each; five standard deviations are 125.
        assert!(times.iter().all(|n| n.abs_diff(900) < 125), "{times:?}");
        assert_eq!(draw(4, 4, &mut Key::new(0, streams::PALETTE).rng()).into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
}
