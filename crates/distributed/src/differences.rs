//! Whether all processes run the same thing.

/// What one process has that another has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What differs, such as `data`.
    pub what: String,
    /// The ranks that differ from rank 0, with theirs.
    pub ranks: Vec<(usize, String)>,
    /// What rank 0 has.
    pub first: String,
}

/// The facts of all processes that differ: each process says the same things of itself, such as its code, its settings and
/// its data, by name. `facts` has those of each rank.
pub fn differences(facts: &[Vec<(String, String)>]) -> Vec<Difference> {
    let value = |rank: usize, what: &str| {
        let found = facts[rank].iter().find(|(name, _)| name == what);
        found.map_or_else(|| "nothing".to_owned(), |(_, value)| value.clone())
    };
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in facts.iter().flatten() {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let difference = |what: &str| {
        let first = value(0, what);
        let others = (1..facts.len()).map(|rank| (rank, value(rank, what)));
        let ranks: Vec<_> = others.filter(|(_, value)| *value != first).collect();
        (!ranks.is_empty()).then(|| Difference { what: what.to_owned(), ranks, first })
    };
    names.into_iter().filter_map(difference).collect()
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, ranks, first } = self;
        write!(f, "{what}: rank 0 has {first}")?;
        for (rank, value) in ranks {
            write!(f, ", rank {rank} has {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_that_differs_is_named_with_both_values() {
        let facts = |data: &str| vec![("code".to_owned(), "a".to_owned()), ("data".to_owned(), data.to_owned())];
        assert_eq!(differences(&[facts("x"), facts("x"), facts("x")]), []);
        let mut without = facts("x");
        without.remove(0);
        let found: Vec<String> =
            differences(&[facts("x"), facts("y"), without]).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["code: rank 0 has a, rank 2 has nothing", "data: rank 0 has x, rank 1 has y"]);
    }
}
