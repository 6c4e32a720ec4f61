//! A random sample of the elements of several parameters.

use std::collections::BTreeSet;

use chainrule_tensor::{Key, Purpose};

/// Pairs of a parameter and the place of an element, ascending, without repetition. Small parameters are taken whole; the
/// others share what is left evenly.
pub(super) fn sample(sizes: &[usize], samples: usize, seed: u64) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&i| sizes[i]);
    let mut left = samples;
    let mut chosen = Vec::new();
    for (done, &parameter) in order.iter().enumerate() {
        let waiting = order.len() - done;
        // Rounded up, so that the remainder goes to small parameters and the share of the last is all that is left.
        let share = left.div_ceil(waiting).min(sizes[parameter]).min(left);
        left -= share;
        chosen.extend(distinct(share, sizes[parameter], seed, parameter).into_iter().map(|place| (parameter, place)));
    }
    chosen.sort_unstable();
    chosen
}

/// Distinct random numbers below a bound.
fn distinct(count: usize, below: usize, seed: u64, stream: usize) -> BTreeSet<usize> {
    if count == below {
        return (0..below).collect();
    }
    let mut rng = Key::new(seed, Purpose::CHECK).for_sample(stream as u32).rng();
    let mut found = BTreeSet::new();
    // Floyd's algorithm (Bentley: "Programming pearls: a sample of brilliance", 1987): each set is equally probable.
    for last in below - count..below {
        let draw = (rng.uniform() * (last + 1) as f64) as usize;
        if !found.insert(draw) {
            found.insert(last);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(sizes: &[usize], samples: usize) -> Vec<usize> {
        let chosen = sample(sizes, samples, 3);
        assert!(chosen.is_sorted() && chosen.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(chosen.iter().all(|&(parameter, place)| place < sizes[parameter]));
        (0..sizes.len()).map(|i| chosen.iter().filter(|(parameter, _)| *parameter == i).count()).collect()
    }

    #[test]
    fn all_parameters_have_a_share() {
        // The parameters of the MNIST CNN: the biases of 8, 16 and 10 elements whole.
        assert_eq!(counts(&[72, 8, 1152, 16, 100_352, 128, 1280, 10], 200), [34, 8, 33, 16, 33, 33, 33, 10]);
        assert_eq!(counts(&[3, 5], 100), [3, 5]);
        assert_eq!(counts(&[10, 10, 10], 2), [1, 1, 0]);
        assert!(counts(&[], 5).is_empty());
    }

    #[test]
    fn the_sample_is_a_function_of_the_seed() {
        assert_eq!(sample(&[1000], 20, 1), sample(&[1000], 20, 1));
        assert_ne!(sample(&[1000], 20, 1), sample(&[1000], 20, 2));
    }
}
