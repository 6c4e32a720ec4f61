//! Filters that whiten images.

use chainrule_tensor::Tensor;

/// The side of a patch.
const SIDE: usize = 2;
/// Added to the eigenvalues, so that directions that hardly occur are not amplified without bound.
const EPSILON: f64 = 5e-4;

/// Filters of a 2×2 convolution whose outputs on these images are uncorrelated and have mean square 1: images (N,C,H,W) →
/// filters (8C, C, 2, 2).
///
/// With the patches p (C·2·2) of all images at all positions, `S = mean(p·pᵀ) = Σᵢ λᵢ·vᵢ·vᵢᵀ`, the filters are vᵢ/√(λᵢ +
/// 5e-4), in ascending order of λ, then their negatives, so that with ReLU or GELU after it the convolution loses nothing.
/// The element of vᵢ with the largest magnitude is positive.
///
/// # Panics
/// If the shape is not (N,C,H,W) with at least one image and sides of at least 2.
#[track_caller]
pub fn whitening_filters(images: &Tensor) -> Tensor {
    let shape = images.shape();
    assert!(
        shape.rank() == 4 && shape[0] > 0 && shape[1] > 0 && shape[2] >= SIDE && shape[3] >= SIDE,
        "whitening_filters: there are no patches of 2×2 in images of shape {shape}\n  rule: (N,C,H,W), N, C ≥ 1, H, W ≥ 2"
    );
    let channels = shape[1];
    let (values, vectors) = eigen(second_moments(&images.to_vec(), &shape));
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut filters = Vec::new();
    for i in order {
        let vector = &vectors[i];
        let largest = vector.iter().fold(0.0, |a: f64, &b| if b.abs() > a.abs() { b } else { a });
        let scale = largest.signum() / (values[i].max(0.0) + EPSILON).sqrt();
        filters.extend(vector.iter().map(|v| (v * scale) as f32));
    }
    filters.extend_from_within(..);
    let half = filters.len() / 2;
    filters[half..].iter_mut().for_each(|w| *w = -*w);
    Tensor::from_slice(&filters, [2 * channels * SIDE * SIDE, channels, SIDE, SIDE])
}

/// A square matrix by rows.
type Matrix = Vec<Vec<f64>>;

/// mean(p·pᵀ) over all patches of images (N,C,H,W).
fn second_moments(pixels: &[f32], shape: &[usize]) -> Matrix {
    let &[images, channels, height, width] = shape else { unreachable!("the rank was checked") };
    let size = channels * SIDE * SIDE;
    let (mut sums, mut patch) = (vec![vec![0.0; size]; size], vec![0.0; size]);
    for n in 0..images {
        for (row, column) in (0..height - 1).flat_map(|row| (0..width - 1).map(move |column| (row, column))) {
            for (k, p) in patch.iter_mut().enumerate() {
                let (channel, i, j) = (k / (SIDE * SIDE), k / SIDE % SIDE, k % SIDE);
                *p = f64::from(pixels[((n * channels + channel) * height + row + i) * width + column + j]);
            }
            for (sum, a) in sums.iter_mut().zip(&patch) {
                sum.iter_mut().zip(&patch).for_each(|(sum, b)| *sum += a * b);
            }
        }
    }
    let patches = (images * (height - 1) * (width - 1)) as f64;
    sums.iter_mut().flatten().for_each(|sum| *sum /= patches);
    sums
}

/// The eigenvalues and the eigenvectors, in the same order, of a symmetric matrix, by Jacobi rotations (Golub, Van Loan:
/// "Matrix computations", 2013, §8.5).
fn eigen(mut a: Matrix) -> (Vec<f64>, Matrix) {
    let n = a.len();
    let mut vectors: Matrix = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let size: f64 = a.iter().flatten().map(|x| x * x).sum();
    // Convergence is quadratic; a dozen sweeps are more than matrices of any size need.
    for _sweep in 0..30 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j] * a[i][j]).sum();
        if off <= size * f64::EPSILON * f64::EPSILON {
            break;
        }
        for (p, q) in (0..n).flat_map(|q| (0..q).map(move |p| (p, q))) {
            rotate(&mut a, &mut vectors, p, q);
        }
    }
    ((0..n).map(|i| a[i][i]).collect(), vectors)
}

/// The rotation in the plane of axes p < q that makes a[p][q] zero. Rows of `vectors` are rotated with it.
fn rotate(a: &mut Matrix, vectors: &mut Matrix, p: usize, q: usize) {
    if a[p][q] == 0.0 {
        return;
    }
    // The smaller root of t² + 2τt − 1 = 0, t the tangent of the angle.
    let tau = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
    let t = tau.signum() / (tau.abs() + tau.hypot(1.0));
    let cos = 1.0 / t.hypot(1.0);
    let sin = t * cos;
    let turn = |rows: &mut Matrix| {
        for k in 0..rows.len() {
            let (x, y) = (rows[p][k], rows[q][k]);
            (rows[p][k], rows[q][k]) = (cos * x - sin * y, sin * x + cos * y);
        }
    };
    turn(a);
    for row in a.iter_mut() {
        let (x, y) = (row[p], row[q]);
        (row[p], row[q]) = (cos * x - sin * y, sin * x + cos * y);
    }
    turn(vectors);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A·v = λ·v for all of them, and the vectors are orthonormal.
    fn check(a: &Matrix) {
        let (values, vectors) = eigen(a.clone());
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(a, b)| a * b).sum::<f64>();
        for (i, (value, v)) in values.iter().zip(&vectors).enumerate() {
            for (row, component) in a.iter().zip(v) {
                assert!((dot(row, v) - value * component).abs() < 1e-12, "λ = {value}");
            }
            for (j, w) in vectors.iter().enumerate() {
                assert!((dot(v, w) - f64::from(u8::from(i == j))).abs() < 1e-13, "vectors {i} and {j}");
            }
        }
    }

    #[test]
    fn eigenvectors_are_orthonormal_and_keep_their_direction() {
        check(&vec![vec![2.0]]);
        check(&vec![vec![2.0, 1.0], vec![1.0, 2.0]]);
        // Equal eigenvalues, and the zero matrix.
        check(&vec![vec![3.0, 0.0, 0.0], vec![0.0, 3.0, 0.0], vec![0.0, 0.0, 3.0]]);
        check(&vec![vec![0.0; 4]; 4]);
        // The Hilbert matrix, whose eigenvalues span 16 powers of ten.
        check(&(0..12).map(|i| (0..12).map(|j| 1.0 / f64::from(i + j + 1)).collect()).collect());
        let (mut values, _) = eigen(vec![vec![2.0, 1.0], vec![1.0, 2.0]]);
        values.sort_by(f64::total_cmp);
        assert!((values[0] - 1.0).abs() < 1e-15 && (values[1] - 3.0).abs() < 1e-15, "{values:?}");
    }
}
