//! What is paper and what is ink in the gray image of a page.

/// The part of the pixels to which the paper's brightness is fitted: ink may cover the rest.
const PAPER: f64 = 0.5;

/// A page: how much each pixel differs from the paper, in the direction of the ink.
pub(super) struct Page {
    /// From 0, the paper, to 255, row-major.
    pub strength: Vec<u8>,
    /// The standard deviation of the paper, at least 1.
    pub noise: f64,
    /// Whether the ink is darker than the paper.
    pub dark_ink: bool,
}

impl Page {
    /// Finds the paper, whose brightness may change over the page as light from one side does: a quadratic surface is fitted to
    /// the half of the pixels that are nearest to it, beginning with the brightness of the page's edge. The ink is on the side of
    /// the surface from which the other pixels differ more.
    pub fn new(gray: &[u8], size: [usize; 2]) -> Self {
        let mut surface = Surface { coefficients: [0.0; TERMS] };
        surface.coefficients[0] = edge_brightness(gray, size);
        // First a constant, then a plane: a quadratic surface could bend towards ink in the middle.
        for terms in [1, 3, 3, TERMS, TERMS, TERMS] {
            surface = surface.fit(gray, size, terms);
        }
        let differences: Vec<f64> = surface.differences(gray, size).collect();
        let noise = (1.4826 * quantile(differences.iter().map(|d| d.abs()), PAPER)).max(1.0);
        let energy = |sign: f64| {
            let beyond = differences.iter().map(|d| sign * d).filter(|&d| d > 4.0 * noise);
            beyond.map(|d| d * d).sum::<f64>()
        };
        let dark_ink = energy(-1.0) >= energy(1.0);
        let sign = if dark_ink { -1.0 } else { 1.0 };
        // `as` limits to 0 to 255.
        let strength = differences.iter().map(|d| (sign * d).round() as u8).collect();
        Self { strength, noise, dark_ink }
    }
}

/// The number of terms of a quadratic polynomial in two variables.
const TERMS: usize = 6;

/// Brightness as a polynomial in the position, from −1 to 1 in both directions.
struct Surface {
    coefficients: [f64; TERMS],
}

/// 1, x, y, x², xy, y² of each pixel, row-major.
fn basis([h, w]: [usize; 2]) -> impl Iterator<Item = [f64; TERMS]> {
    let position = |i: usize, n: usize| (2 * i + 1) as f64 / n as f64 - 1.0;
    (0..h * w).map(move |at| {
        let (y, x) = (position(at / w, h), position(at % w, w));
        [1.0, x, y, x * x, x * y, y * y]
    })
}

impl Surface {
    /// Brightness minus surface, of each pixel.
    fn differences<'a>(&self, gray: &'a [u8], size: [usize; 2]) -> impl Iterator<Item = f64> + 'a {
        let coefficients = self.coefficients;
        gray.iter().zip(basis(size)).map(move |(&gray, basis)| {
            f64::from(gray) - basis.iter().zip(coefficients).map(|(b, c)| b * c).sum::<f64>()
        })
    }

    /// The surface of the first `terms` terms with least squares over the pixels that are nearest to this one: a step of least
    /// trimmed squares (Rousseeuw and Van Driessen, 2006).
    fn fit(&self, gray: &[u8], size: [usize; 2], terms: usize) -> Self {
        let limit = quantile(self.differences(gray, size).map(f64::abs), PAPER);
        // Normal equations (AᵀA + λ) c = Aᵀ gray; the ridge λ keeps terms small that the pixels do not determine.
        let mut normal = [[0.0; TERMS + 1]; TERMS];
        for ((&gray, basis), difference) in gray.iter().zip(basis(size)).zip(self.differences(gray, size)) {
            if difference.abs() <= limit {
                for i in 0..terms {
                    for j in 0..terms {
                        normal[i][j] += basis[i] * basis[j];
                    }
                    normal[i][TERMS] += basis[i] * f64::from(gray);
                }
            }
        }
        let count = normal[0][0];
        for i in 1..terms {
            normal[i][i] += 1e-6 * count;
        }
        Self { coefficients: solve(normal, terms) }
    }
}

/// The solution of the first `n` equations, a positive definite matrix with its right-hand side in the last column: Gaussian
/// elimination, which needs no pivoting here.
fn solve(mut rows: [[f64; TERMS + 1]; TERMS], n: usize) -> [f64; TERMS] {
    for i in 0..n {
        for k in i + 1..n {
            let factor = rows[k][i] / rows[i][i];
            for j in i..=TERMS {
                rows[k][j] -= factor * rows[i][j];
            }
        }
    }
    let mut solution = [0.0; TERMS];
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|j| rows[i][j] * solution[j]).sum();
        solution[i] = (rows[i][TERMS] - known) / rows[i][i];
    }
    solution
}

/// The median brightness of the outermost twentieth of the page on each side.
pub(super) fn edge_brightness(gray: &[u8], [h, w]: [usize; 2]) -> f64 {
    let margin = [h, w].map(|side| side.div_ceil(20));
    let in_margin = |i: usize, side: usize, margin: usize| i < margin || i >= side - margin;
    let edge =
        gray.iter().enumerate().filter(|(at, _)| in_margin(at / w, h, margin[0]) || in_margin(at % w, w, margin[1]));
    quantile(edge.map(|(_, &gray)| f64::from(gray)), 0.5)
}

/// The value below which a `share` of the values lies.
pub(super) fn quantile(values: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.collect();
    let at = ((values.len() - 1) as f64 * share) as usize;
    *values.select_nth_unstable_by(at, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page lit from the left, with a square of ink that takes away `contrast` of its light.
    fn page(contrast: f64) -> Vec<u8> {
        let light = |i: usize, j: usize| 230.0 - 1.2 * j as f64 - 0.3 * i as f64 + 0.002 * (j * j) as f64;
        let ink = |i: usize, j: usize| (30..60).contains(&i) && (40..70).contains(&j);
        let gray = |at: usize| light(at / 100, at % 100) - if ink(at / 100, at % 100) { contrast } else { 0.0 };
        (0..100 * 100).map(|at| gray(at).round() as u8).collect()
    }

    #[test]
    fn light_from_one_side_is_no_ink() {
        for (contrast, dark_ink) in [(60.0, true), (-60.0, false)] {
            let page = Page::new(&page(contrast), [100, 100]);
            assert_eq!((page.dark_ink, page.noise), (dark_ink, 1.0));
            for (at, &strength) in page.strength.iter().enumerate() {
                let expected = if (30..60).contains(&(at / 100)) && (40..70).contains(&(at % 100)) { 60 } else { 0 };
                assert!(strength.abs_diff(expected) <= 1, "row {}, column {}: {strength}", at / 100, at % 100);
            }
        }
    }

    #[test]
    fn pages_of_few_pixels_have_a_paper() {
        for size in [[1, 1], [1, 2], [2, 1], [1, 7], [2, 2]] {
            let page = Page::new(&vec![200; size[0] * size[1]], size);
            assert_eq!(page.strength, vec![0; size[0] * size[1]]);
        }
    }
}
