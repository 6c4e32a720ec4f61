//! Derivatives by central differences, with an error estimate that comes from the differences alone.
//!
//! Ridders' method (Ridders: "Accurate computation of F′(x) and F′(x)F″(x)", Advances in Engineering Software 4, 1982; the
//! table as in Press and others: "Numerical Recipes", section 5.7): central differences for steps h, h/2, h/4, … are
//! extrapolated to step 0, and the entry of the table that differs least from its neighbors is taken. Unlike theirs, an
//! entry is also compared with that of the same order one step before, and all steps are tried: kinks make a table that
//! converges only below some step.

/// A derivative by differences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The derivative.
    pub value: f64,
    /// The estimate of its error: how far it is from the entries of the table that it was extrapolated from, and the
    /// rounding error of the function divided by the step.
    pub error: f64,
    /// The smallest step that it was computed from.
    pub step: f64,
    /// The slope to the right minus the slope to the left, in magnitude and less the error of that estimate. Near 0 for a
    /// smooth function; at a kink the derivative is the mean of both slopes.
    pub jump: f64,
}

/// The number of steps, each half of the one before.
const STEPS: usize = 22;

/// The derivative of f at 0, where `scale` is an offset that changes f moderately.
///
/// Steps are tried from scale/128 downwards, until the error estimate is below a part of `enough` of the value.
pub fn difference(mut f: impl FnMut(f64) -> f64, scale: f64, enough: f64) -> Difference {
    let center = f(0.0);
    let mut best = Difference { value: f64::NAN, error: f64::INFINITY, step: scale, jump: 0.0 };
    let mut best_at = 0;
    // The row of the table for the step before: entry j is extrapolated from j + 1 steps.
    let mut above: Vec<f64> = Vec::new();
    let mut jumps = Jumps::default();
    for i in 0..STEPS {
        let h = scale / 128.0 / f64::powi(2.0, i as i32);
        let (right, left) = (f(h), f(-h));
        // f is computed from many rounded numbers.
        let rounding = 8.0 * f64::EPSILON * (right.abs() + left.abs()) / h;
        jumps.push(((right - center) - (center - left)) / h, rounding);
        let mut row = vec![(right - left) / (2.0 * h)];
        // The errors of a central difference are even powers of h.
        let mut factor = 1.0;
        for (j, &coarser) in above.iter().enumerate() {
            factor *= 4.0;
            let finer = row[j];
            let value = finer + (finer - coarser) / (factor - 1.0);
            row.push(value);
            // One of the same order must confirm it; two numbers of a noisy table are close by chance.
            let Some(&same) = above.get(j + 1) else { continue };
            let apart = [finer, coarser, same].map(|other| (value - other).abs());
            let error = apart.into_iter().fold(0.0, f64::max) + rounding;
            if error < best.error {
                best = Difference { value, error, step: h, jump: 0.0 };
                best_at = i;
            }
        }
        if best.error <= enough * best.value.abs() {
            break;
        }
        above = row;
    }
    if best.error.is_finite() { Difference { jump: jumps.sure(best_at), ..best } } else { best }
}

/// For each step the right slope less the left slope, and its rounding error.
#[derive(Default)]
struct Jumps(Vec<(f64, f64)>);

impl Jumps {
    fn push(&mut self, bend: f64, rounding: f64) {
        self.0.push((bend, rounding));
    }

    /// The extrapolation to step 0 from step i and the one before: the bend of a smooth function is h·f″.
    fn extrapolated(&self, i: usize) -> f64 {
        2.0 * self.0[i].0 - self.0[i - 1].0
    }

    /// What is certain of the jump at step i, the third or a later one.
    fn sure(&self, i: usize) -> f64 {
        let jump = self.extrapolated(i);
        (jump.abs() - (jump - self.extrapolated(i - 1)).abs() - 2.0 * self.0[i].1).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derivative(f: impl Fn(f64) -> f64) -> Difference {
        difference(f, 1.0, 1e-12)
    }

    #[test]
    fn smooth_functions_are_exact_within_the_error_estimate() {
        let check = |found: Difference, exact: f64| {
            assert!((found.value - exact).abs() <= found.error, "{found:?}, exactly {exact}");
            assert!(found.error <= 1e-11 * exact.abs().max(1.0), "{found:?}");
            assert!(found.jump <= 1e-9 * exact.abs().max(1.0), "{found:?}");
        };
        check(derivative(|t| (1.0 + t).exp()), 1f64.exp());
        check(derivative(|t| (3.0 + 40.0 * t).sin()), 40.0 * 3f64.cos());
        check(derivative(|t| 1e-6 * (0.5 + t).tanh()), 1e-6 * (1.0 - 0.5f64.tanh().powi(2)));
        check(derivative(|t| 5.0 - 2.0 * t), -2.0);
        check(derivative(|t| t * t), 0.0);
    }

    #[test]
    fn a_kink_nearby_is_avoided_by_small_steps() {
        for distance in [3e-3, 1e-4, 1e-5] {
            let found = derivative(|t| (t - distance).max(0.0) + (1.0 + t).ln());
            assert!((found.value - 1.0).abs() <= found.error.max(1e-9) && found.error < 1e-7, "{distance}: {found:?}");
        }
    }

    #[test]
    fn a_kink_at_the_point_is_a_jump_of_the_slope() {
        let found = derivative(|t| 3.0 * t.max(0.0) + t.exp());
        assert!((found.value - 2.5).abs() < 1e-8 && (found.jump - 3.0).abs() < 1e-6, "{found:?}");
        // One that is too near for the steps to avoid it.
        let found = derivative(|t| (t - 1e-12).abs() + t.exp());
        assert!((found.jump - 2.0).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn noise_gives_a_large_error() {
        // The bits of t, scrambled: another number in ±1e-6 for each.
        let noise = |t: f64| (t.to_bits().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
        let found = derivative(|t| t + 1e-6 * noise(t));
        assert!((found.value - 1.0).abs() <= 10.0 * found.error && found.error > 1e-7, "{found:?}");
    }

    #[test]
    fn nan_has_no_finite_error() {
        assert_eq!(derivative(f64::ln).error, f64::INFINITY);
    }
}
