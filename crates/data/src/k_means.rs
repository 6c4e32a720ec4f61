//! k-means clustering.

use chainrule_tensor::{Key, Rng, parallel_chunks};

use crate::streams;

/// Iterations after which the search ends in any case.
const MOST_ITERATIONS: usize = 300;
/// The search ends when the squared distances that the centers move sum to no more than this part of the points' variance.
const TOLERANCE: f64 = 1e-4;
/// Points that a thread takes at a time.
const GRAIN: usize = 512;

/// Points in clusters, as [`k_means`] finds them.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters<const D: usize> {
    /// The center of each cluster.
    pub centers: Vec<[f64; D]>,
    /// For each point the index of its nearest center; of equally near ones the first.
    pub labels: Vec<usize>,
    /// The sum of the squared distances of the points from their centers.
    pub inertia: f64,
    /// The iterations that moved the centers.
    pub iterations: usize,
}

/// Divides points into `k` clusters whose sum of squared distances from the centers is small.
///
/// The first centers are points that are drawn one after the other, each with a probability proportional to its squared
/// distance from the nearest center so far (Arthur and Vassilvitskii: "k-means++: the advantages of careful seeding", 2007).
/// Then each point joins its nearest center and each center moves to the mean of its points, in turn (Lloyd: "Least squares
/// quantization in PCM", 1982), until the centers hardly move: until their squared moves sum to 1e-4 times the mean variance
/// of a coordinate, as in scikit-learn, or for 300 iterations. A cluster that has lost all of its points starts again
/// at the point that is farthest from its center. The result is a local minimum that depends on `seed`.
///
/// The result has the same bits on any number of threads. With fewer than `k` different points, some centers are equal, and
/// all but the first of them have no points.
///
/// ```
/// let points = [[0.0, 0.0], [0.0, 1.0], [9.0, 9.0], [9.0, 8.0]];
/// let clusters = chainrule_data::k_means(&points, 2, 0);
/// assert_eq!(clusters.labels[0], clusters.labels[1]);
/// assert_eq!(clusters.centers[clusters.labels[2]], [9.0, 8.5]);
/// assert_eq!(clusters.inertia, 4.0 * 0.25);
/// ```
///
/// # Panics
/// If there are no points, if `k` is 0, or if a coordinate is not finite.
#[track_caller]
pub fn k_means<const D: usize>(points: &[[f64; D]], k: usize, seed: u64) -> Clusters<D> {
    assert!(!points.is_empty() && k > 0, "k_means: {} points and {k} clusters; both must be at least 1", points.len());
    if let Some(i) = points.iter().position(|point| point.iter().any(|x| !x.is_finite())) {
        panic!("k_means: point {i} is {:?}; all coordinates must be finite", points[i]);
    }
    let start = plus_plus(points, k, &mut Key::new(seed, streams::K_MEANS).rng());
    lloyd(points, start)
}

/// The first centers.
fn plus_plus<const D: usize>(points: &[[f64; D]], k: usize, rng: &mut Rng) -> Vec<[f64; D]> {
    let mut centers = vec![points[rng.below(points.len() as u32) as usize]];
    let mut nearest = vec![f64::INFINITY; points.len()];
    while centers.len() < k {
        let newest = centers[centers.len() - 1];
        for (nearest, point) in nearest.iter_mut().zip(points) {
            *nearest = squared_distance(point, &newest).min(*nearest);
        }
        let mut rest = rng.uniform() * nearest.iter().sum::<f64>();
        let drawn = nearest.iter().position(|&distance| {
            rest -= distance;
            rest < 0.0
        });
        // Rounding may leave a rest after the last point; and if all points are centers, every distance is 0.
        let drawn = drawn.or_else(|| nearest.iter().rposition(|&distance| distance > 0.0)).unwrap_or(0);
        centers.push(points[drawn]);
    }
    centers
}

/// Moves centers until they hardly move.
fn lloyd<const D: usize>(points: &[[f64; D]], mut centers: Vec<[f64; D]>) -> Clusters<D> {
    let enough = TOLERANCE * variance(points);
    let mut nearest = assign(points, &centers);
    let mut iterations = 0;
    while iterations < MOST_ITERATIONS {
        iterations += 1;
        let moved = means(points, &mut nearest, &centers);
        let shift: f64 = moved.iter().zip(&centers).map(|(new, old)| squared_distance(new, old)).sum();
        centers = moved;
        nearest = assign(points, &centers);
        if shift <= enough {
            break;
        }
    }
    let inertia = nearest.iter().map(|(_, distance)| distance).sum();
    Clusters { centers, labels: nearest.into_iter().map(|(label, _)| label).collect(), inertia, iterations }
}

/// The nearest center of each point, of equally near ones the first, and its squared distance.
fn assign<const D: usize>(points: &[[f64; D]], centers: &[[f64; D]]) -> Vec<(usize, f64)> {
    let mut nearest = vec![(0, f64::INFINITY); points.len()];
    parallel_chunks(&mut nearest, GRAIN, 1, |chunk, nearest| {
        for (nearest, point) in nearest.iter_mut().zip(&points[chunk * GRAIN..]) {
            for (label, center) in centers.iter().enumerate() {
                let distance = squared_distance(point, center);
                if distance < nearest.1 {
                    *nearest = (label, distance);
                }
            }
        }
    });
    nearest
}

/// The means of the clusters. A cluster without points gets the one that is farthest from its center; if all points are at
/// centers, it stays where it is. The sums are in the order of the points, so that they have the same bits on any number of
/// threads.
fn means<const D: usize>(points: &[[f64; D]], nearest: &mut [(usize, f64)], centers: &[[f64; D]]) -> Vec<[f64; D]> {
    let mut counts = vec![0_usize; centers.len()];
    for &(label, _) in &*nearest {
        counts[label] += 1;
    }
    for empty in 0..centers.len() {
        if counts[empty] > 0 {
            continue;
        }
        let mut farthest: Option<usize> = None;
        for (i, &(label, distance)) in nearest.iter().enumerate() {
            // The last point of a cluster stays in it.
            if counts[label] > 1 && distance > farthest.map_or(0.0, |i| nearest[i].1) {
                farthest = Some(i);
            }
        }
        let Some(i) = farthest else { break };
        counts[nearest[i].0] -= 1;
        counts[empty] = 1;
        nearest[i] = (empty, 0.0);
    }
    let mut sums = vec![[0.0; D]; centers.len()];
    for (point, &(label, _)) in points.iter().zip(&*nearest) {
        sums[label].iter_mut().zip(point).for_each(|(sum, x)| *sum += x);
    }
    let mean = |((sum, &count), &old): ((&[f64; D], &usize), &[f64; D])| match count {
        0 => old,
        _ => sum.map(|sum| sum / count as f64),
    };
    sums.iter().zip(&counts).zip(centers).map(mean).collect()
}

fn squared_distance<const D: usize>(a: &[f64; D], b: &[f64; D]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// The variance of a coordinate, averaged over the coordinates.
fn variance<const D: usize>(points: &[[f64; D]]) -> f64 {
    let n = points.len() as f64;
    let of = |axis: usize| {
        let mean = points.iter().map(|point| point[axis]).sum::<f64>() / n;
        points.iter().map(|point| (point[axis] - mean).powi(2)).sum::<f64>() / n
    };
    (0..D).map(of).sum::<f64>() / D.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use chainrule_tensor::{Purpose, with_threads};

    fn random<const D: usize>(n: usize, seed: u64) -> Vec<[f64; D]> {
        let mut rng = Key::new(seed, Purpose::CHECK).rng();
        (0..n).map(|_| [(); D].map(|()| rng.uniform())).collect()
    }

    /// The least sum of squared distances over all ways to divide the points among `k` clusters.
    fn best_inertia<const D: usize>(points: &[[f64; D]], k: usize) -> f64 {
        let ways = k.pow(points.len() as u32);
        let inertia = |way: usize| -> f64 {
            let label = |i: usize| way / k.pow(i as u32) % k;
            let of = |cluster: usize| -> f64 {
                let own: Vec<_> = (0..points.len()).filter(|&i| label(i) == cluster).map(|i| points[i]).collect();
                let mean = |axis: usize| own.iter().map(|p| p[axis]).sum::<f64>() / own.len() as f64;
                own.iter().flat_map(|p| (0..D).map(|axis| (p[axis] - mean(axis)).powi(2)).collect::<Vec<_>>()).sum()
            };
            (0..k).map(of).sum()
        };
        (0..ways).map(inertia).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn the_best_of_some_seeds_is_the_best_of_all_partitions() {
        for case in 0..5 {
            let points = random::<2>(8, case);
            let best = best_inertia(&points, 3);
            let found: Vec<f64> = (0..20).map(|seed| k_means(&points, 3, seed).inertia).collect();
            let least = found.iter().copied().fold(f64::INFINITY, f64::min);
            assert!((least - best).abs() < 1e-12, "case {case}: {least}, the best is {best}");
            assert!(found.iter().all(|&inertia| inertia >= best - 1e-12), "case {case}");
        }
    }

    /// Lloyd's iterations, written as slowly as they are described.
    fn slow_lloyd(points: &[[f64; 3]], mut centers: Vec<[f64; 3]>, iterations: usize) -> (Vec<[f64; 3]>, Vec<usize>) {
        let distance = |a: [f64; 3], b: [f64; 3]| (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>();
        let nearest = |centers: &[[f64; 3]], p: [f64; 3]| {
            (0..centers.len())
                .min_by(|&a, &b| distance(p, centers[a]).total_cmp(&distance(p, centers[b])))
                .expect("there is a center")
        };
        for _ in 0..iterations {
            let labels: Vec<usize> = points.iter().map(|&p| nearest(&centers, p)).collect();
            for (label, center) in centers.iter_mut().enumerate() {
                let own: Vec<_> = points.iter().zip(&labels).filter(|(_, l)| **l == label).map(|(p, _)| p).collect();
                *center = [0, 1, 2].map(|axis| own.iter().map(|p| p[axis]).sum::<f64>() / own.len() as f64);
            }
        }
        let labels = points.iter().map(|&p| nearest(&centers, p)).collect();
        (centers, labels)
    }

    #[test]
    fn iterations_are_those_of_the_slow_reference() {
        let points = random::<3>(3000, 1);
        let start = plus_plus(&points, 7, &mut Key::new(4, streams::K_MEANS).rng());
        let found = k_means(&points, 7, 4);
        let (centers, labels) = slow_lloyd(&points, start, found.iterations);
        assert!(found.iterations > 5, "{}", found.iterations);
        assert_eq!(found.labels, labels);
        for (a, b) in found.centers.iter().flatten().zip(centers.iter().flatten()) {
            assert!((a - b).abs() < 1e-12, "{a} and {b}");
        }
        let distance = |(p, &label): (&[f64; 3], &usize)| squared_distance(p, &centers[label]);
        let inertia: f64 = points.iter().zip(&labels).map(distance).sum();
        assert!((found.inertia - inertia).abs() < 1e-9);
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let points = random::<3>(20_000, 2);
        let one = with_threads(1, || k_means(&points, 24, 3));
        for threads in [2, 3, 7] {
            assert_eq!(with_threads(threads, || k_means(&points, 24, 3)), one);
        }
        assert_ne!(with_threads(1, || k_means(&points, 24, 4)), one);
    }

    #[test]
    fn of_equally_near_centers_the_first_is_taken() {
        let nearest = assign(&[[1.0]], &[[5.0], [0.0], [2.0], [0.0]]);
        assert_eq!(nearest, [(1, 1.0)]);
    }

    #[test]
    fn an_empty_cluster_starts_again_at_the_farthest_point() {
        let points = [[0.0], [1.0], [2.0], [10.0]];
        // The second center has no point.
        let clusters = lloyd(&points, vec![[1.0], [-50.0]]);
        assert_eq!((clusters.centers, clusters.labels), (vec![[1.0], [10.0]], vec![0, 0, 0, 1]));
        // Both of two empty clusters get a point, and no cluster loses its last one.
        let clusters = lloyd(&points, vec![[1.0], [-50.0], [-60.0], [-70.0]]);
        assert_eq!(clusters.inertia, 0.0);
    }

    #[test]
    fn fewer_different_points_than_clusters_leave_clusters_without_points() {
        let clusters = k_means(&[[3.0, 1.0], [3.0, 1.0], [5.0, 1.0]], 4, 0);
        assert_eq!(clusters.inertia, 0.0);
        assert_eq!(clusters.labels[0], clusters.labels[1]);
        assert_ne!(clusters.labels[0], clusters.labels[2]);
        assert_eq!(clusters.centers.len(), 4);
    }

    #[test]
    #[should_panic(expected = "k_means: point 1 is [NaN]; all coordinates must be finite")]
    fn a_point_that_is_not_finite_is_named() {
        k_means(&[[0.0], [f64::NAN]], 1, 0);
    }

    #[test]
    #[should_panic(expected = "k_means: 0 points and 2 clusters; both must be at least 1")]
    fn no_points_are_refused() {
        k_means::<3>(&[], 2, 0);
    }
}
