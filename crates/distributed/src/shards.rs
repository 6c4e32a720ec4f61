//! Parts of a batch that are fixed by their number, not by the number of processes.

use std::ops::Range;

use crate::communicator::Communicator;
use crate::error::DistributedError;

/// The parts, shards, into which each batch is cut, and which of them this process computes.
///
/// A sum over all shards is a binary tree: `((g₀ + g₁) + (g₂ + g₃)) + …`. The shards of a process are neighbors and make up a
/// subtree, so the additions are the same ones on any number of processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    count: usize,
    local: Range<usize>,
}

impl Shards {
    /// The most shards.
    pub const MAX: usize = 4096;

    /// `count` shards for the processes of a communicator.
    ///
    /// # Errors
    /// If the number of shards or of processes is not a power of two, there are fewer shards than processes, or more shards
    /// than [`MAX`](Self::MAX).
    pub fn new(count: usize, communicator: &dyn Communicator) -> Result<Self, DistributedError> {
        let ranks = communicator.size();
        let wrong = |rule: String| {
            Err(DistributedError::Unavailable(format!("{count} shards for {ranks} processes\n  rule: {rule}")))
        };
        if !count.is_power_of_two() || count > Self::MAX {
            return wrong(format!("the number of shards is a power of two, {} at most", Self::MAX));
        }
        if !ranks.is_power_of_two() {
            return wrong("with shards, the number of processes is a power of two: the sums are a binary tree".into());
        }
        if count < ranks {
            return wrong("at least one shard for each process".into());
        }
        let each = count / ranks;
        let first = communicator.rank() * each;
        Ok(Self { count, local: first..first + each })
    }

    /// One shard for each process, whatever their number.
    pub fn one_each(communicator: &dyn Communicator) -> Self {
        let rank = communicator.rank();
        Self { count: communicator.size(), local: rank..rank + 1 }
    }

    /// The number of shards of a batch.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The shards of this process.
    pub fn local(&self) -> Range<usize> {
        self.local.clone()
    }

    /// The samples of a shard in a batch of `n`. Empty for some shards if n is smaller than their number.
    pub fn samples(&self, n: usize, shard: usize) -> Range<usize> {
        shard * n / self.count..(shard + 1) * n / self.count
    }

    /// For each of `ranks` processes, whether it has a sample of a batch of `n`.
    pub fn filled(&self, n: usize, ranks: usize) -> Vec<bool> {
        let each = self.count / ranks;
        (0..ranks)
            .map(|rank| (rank * each..(rank + 1) * each).any(|shard| !self.samples(n, shard).is_empty()))
            .collect()
    }
}

/// The sum of a power of two of terms as a balanced binary tree, which keeps as many partial sums as the tree is high. A term
/// that is not there is left out.
#[derive(Debug)]
pub(crate) struct TreeSum<X> {
    /// Sums of 2ⁱ terms where bit i of `terms` is set, the largest first; `None` where all of them were left out.
    partial: Vec<Option<X>>,
    terms: usize,
}

impl<X> TreeSum<X> {
    pub(crate) fn new() -> Self {
        Self { partial: Vec::new(), terms: 0 }
    }

    /// Adds the next term.
    pub(crate) fn push(&mut self, term: Option<X>, add: &impl Fn(X, X) -> X) {
        let mut sum = term;
        for _ in 0..self.terms.trailing_ones() {
            let left = self.partial.pop().expect("a partial sum for each bit");
            sum = match (left, sum) {
                (Some(left), Some(right)) => Some(add(left, right)),
                (one, other) => one.or(other),
            };
        }
        self.partial.push(sum);
        self.terms += 1;
    }

    /// The partial sums, of the earliest terms first: the sum of all is that of the last with the one before it, and so on.
    pub(crate) fn into_partial(self) -> impl DoubleEndedIterator<Item = X> {
        self.partial.into_iter().flatten()
    }

    /// The sum of all terms, if there is one.
    pub(crate) fn total(self, add: &impl Fn(X, X) -> X) -> Option<X> {
        self.into_partial().rev().reduce(|right, left| add(left, right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Alone;

    #[allow(clippy::needless_pass_by_value)] // sums take their terms
    fn text(left: String, right: String) -> String {
        format!("({left}+{right})")
    }

    /// The tree by its definition.
    fn tree_sum<X>(terms: &mut [Option<X>], add: &impl Fn(X, X) -> X) -> Option<X> {
        match terms {
            [] => None,
            [one] => one.take(),
            _ => {
                let (left, right) = terms.split_at_mut(terms.len() / 2);
                match (tree_sum(left, add), tree_sum(right, add)) {
                    (Some(left), Some(right)) => Some(add(left, right)),
                    (one, other) => one.or(other),
                }
            }
        }
    }

    #[test]
    fn sums_term_by_term_are_the_tree_of_all_terms() {
        for n in [1, 2, 4, 8, 16] {
            for missing in [vec![], vec![0], vec![n - 1], vec![1 % n, n / 2], (0..n).collect()] {
                let term = |i: usize| (!missing.contains(&i)).then(|| i.to_string());
                let whole = tree_sum(&mut (0..n).map(term).collect::<Vec<_>>(), &text);
                let mut sum = TreeSum::new();
                (0..n).for_each(|i| sum.push(term(i), &text));
                assert_eq!(sum.total(&text), whole, "{n} terms without {missing:?}");
                // Terms that are left out at the end need not be named.
                let mut short = TreeSum::new();
                (0..n).take_while(|&i| (i..n).any(|i| term(i).is_some())).for_each(|i| short.push(term(i), &text));
                assert_eq!(short.total(&text), whole, "{n} terms without {missing:?}");
            }
        }
        let mut four: Vec<_> = (0..4).map(|i| Some(i.to_string())).collect();
        assert_eq!(tree_sum(&mut four, &text).as_deref(), Some("((0+1)+(2+3))"));
    }

    #[test]
    fn the_shards_of_a_batch_are_all_its_samples_in_order() {
        let shards = Shards::new(8, &Alone).expect("8 shards");
        for n in [0, 1, 5, 8, 64, 67] {
            let samples: Vec<usize> = (0..8).flat_map(|shard| shards.samples(n, shard)).collect();
            assert_eq!(samples, (0..n).collect::<Vec<_>>());
        }
        assert_eq!(shards.local(), 0..8);
        assert_eq!(shards.filled(1, 4), [false, false, false, true]);
        assert_eq!(shards.filled(64, 2), [true, true]);
        for (count, rule) in [(0, "power of two"), (3, "power of two"), (8192, "4096 at most")] {
            let error = Shards::new(count, &Alone).expect_err("not a number of shards").to_string();
            assert!(error.contains(rule), "{error}");
        }
    }
}
