//! Changes of color, in torchvision's formulas for 8-bit tensors, with its `f32` arithmetic.

use super::Sample;

/// trunc(ratio · x + (1 − ratio) · other), limited to 0 to 255.
#[expect(clippy::manual_clamp, reason = "it would keep the NaN of ∞ · 0, which is to become 0")]
fn blend(x: u8, other: f32, ratio: f64) -> u8 {
    truncated((ratio as f32 * f32::from(x) + (1.0 - ratio) as f32 * other).max(0.0).min(255.0))
}

/// Blends all pixels with one number.
fn blend_all(sample: &mut Sample, other: f32, ratio: f64) {
    // There are fewer values than pixels.
    let table: [u8; 256] = std::array::from_fn(|x| blend(x as u8, other, ratio));
    sample.pixels_mut().iter_mut().for_each(|x| *x = table[usize::from(*x)]);
}

/// The luma of a color, truncated.
fn gray([r, g, b]: [u8; 3]) -> u8 {
    truncated(0.2989 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b))
}

/// The integer part of x from 0 to 255. A cast would also look for NaN and for numbers out of range, which keeps loops from
/// being vectorized.
fn truncated(x: f32) -> u8 {
    // From 2²³ on the numbers are integers: the sum rounds, and its last bits count.
    const SHIFT: f32 = (1 << 23) as f32;
    let rounded = x + SHIFT;
    let above = rounded - SHIFT > x;
    (rounded.to_bits() as u8).wrapping_sub(u8::from(above))
}

/// Replaces each color of an image of three channels.
fn map_colors(sample: &mut Sample, f: impl Fn([u8; 3]) -> [u8; 3]) {
    let [_, h, w] = sample.shape();
    let (r, gb) = sample.pixels_mut().split_at_mut(h * w);
    let (g, b) = gb.split_at_mut(h * w);
    for ((r, g), b) in r.iter_mut().zip(g).zip(b) {
        [*r, *g, *b] = f([*r, *g, *b]);
    }
}

/// Blends with black: 0 is black, 1 the image.
pub(super) fn adjust_brightness(sample: &mut Sample, factor: f64) {
    blend_all(sample, 0.0, factor);
}

/// Blends with the mean luma of the image: 0 is uniform gray, 1 the image.
pub(super) fn adjust_contrast(sample: &mut Sample, factor: f64) {
    let [c, h, w] = sample.shape();
    let (r, gb) = sample.pixels().split_at(h * w);
    let total: u64 = if c == 3 {
        let (g, b) = gb.split_at(h * w);
        r.iter().zip(g).zip(b).map(|((&r, &g), &b)| u64::from(gray([r, g, b]))).sum()
    } else {
        r.iter().map(|&x| u64::from(x)).sum()
    };
    blend_all(sample, total as f32 / (h * w) as f32, factor);
}

/// Blends with the luma of each pixel: 0 is a gray image, 1 the image. An image of one channel stays.
pub(super) fn adjust_saturation(sample: &mut Sample, factor: f64) {
    if sample.shape()[0] == 3 {
        map_colors(sample, |color| {
            let luma = f32::from(gray(color));
            color.map(|x| blend(x, luma, factor))
        });
    }
}

/// Turns the hue by `turns` of the color circle. An image of one channel stays.
pub(super) fn adjust_hue(sample: &mut Sample, turns: f64) {
    if sample.shape()[0] == 3 {
        map_colors(sample, |color| {
            let [h, s, v] = hsv(color.map(|x| f32::from(x) / 255.0));
            rgb([wrap(h + turns as f32), s, v]).map(|x| (x * (255.0 + 1.0 - 1e-3)) as u8)
        });
    }
}

/// x modulo 1 for −1 ≤ x < 2, exactly. `%` is a call of the C library.
fn wrap(x: f32) -> f32 {
    if x < 0.0 {
        x + 1.0
    } else if x < 1.0 {
        x
    } else {
        x - 1.0
    }
}

/// Hue, saturation and value, each from 0 to 1.
fn hsv([r, g, b]: [f32; 3]) -> [f32; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most == least {
        return [0.0, 0.0, most];
    }
    let [rc, gc, bc] = [r, g, b].map(|x| (most - x) / (most - least));
    let sixths = if most == r {
        bc - gc
    } else if most == g {
        2.0 + rc - bc
    } else {
        4.0 + gc - rc
    };
    [wrap(sixths / 6.0 + 1.0), (most - least) / most, most]
}

fn rgb([h, s, v]: [f32; 3]) -> [f32; 3] {
    // Truncation is the floor: h is not negative.
    let sector = (h * 6.0) as u32;
    let f = h * 6.0 - sector as f32;
    let [p, q, t] = [v * (1.0 - s), v * (1.0 - s * f), v * (1.0 - s * (1.0 - f))].map(|x| x.clamp(0.0, 1.0));
    match sector % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    /// A third of a turn makes red green, green blue and blue red.
    #[test]
    fn a_third_of_a_turn_permutes_the_channels() {
        let levels: Vec<u8> = (0..=255).step_by(15).collect();
        for &r in &levels {
            for &g in &levels {
                for &b in &levels {
                    for (turns, expected) in [(1.0 / 3.0, [b, r, g]), (-1.0 / 3.0, [g, b, r])] {
                        let mut sample = sample(&[r, g, b], [3, 1, 1]);
                        adjust_hue(&mut sample, turns);
                        // Truncation after the way there and back in f32 may lose one level.
                        let near = sample.pixels().iter().zip(expected).all(|(&x, y)| x.abs_diff(y) <= 1);
                        assert!(near, "{:?} of {:?} by {turns}, expected {expected:?}", sample.pixels(), [r, g, b]);
                    }
                }
            }
        }
    }

    #[test]
    fn truncation_is_that_of_a_cast() {
        for k in 0..=255 * 8 {
            let x = k as f32 / 8.0;
            for x in [x, x.next_up(), x.next_down()].map(|x| x.clamp(0.0, 255.0)) {
                assert_eq!(truncated(x), x as u8, "{x}");
            }
        }
    }

    #[test]
    fn factors_at_their_ends() {
        let colors = [200, 10, 30, 40, 50, 255];
        let with = |f: &dyn Fn(&mut Sample)| {
            let mut sample = sample(&colors, [3, 1, 2]);
            f(&mut sample);
            sample.pixels().to_vec()
        };
        assert_eq!(with(&|sample| adjust_brightness(sample, 0.0)), [0; 6]);
        assert_eq!(with(&|sample| adjust_brightness(sample, 2.0)), [255, 20, 60, 80, 100, 255]);
        assert_eq!(with(&|sample| adjust_saturation(sample, 0.0)), [83, 55, 83, 55, 83, 55]);
        assert_eq!(with(&|sample| adjust_contrast(sample, 0.0)), [69; 6]);
        for same in [adjust_brightness, adjust_contrast, adjust_saturation] {
            assert_eq!(with(&|sample| same(sample, 1.0)), colors);
        }
    }
}
