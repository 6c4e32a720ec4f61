//! Patterns of parameter paths, such as `layer1.*.weight`.

/// Whether a path matches a pattern, in which `*` stands for any characters, also none.
fn matches(path: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return path == pattern };
    let Some(path) = path.strip_prefix(start) else { return false };
    (0..=path.len()).filter(|&i| path.is_char_boundary(i)).any(|i| matches(&path[i..], rest))
}

/// The items in groups by the first pattern that matches their path, then those that no pattern matches.
///
/// # Panics
/// If a pattern is the first to match no path.
#[track_caller]
pub(crate) fn groups<P>(items: Vec<(String, P)>, patterns: &[&str]) -> Vec<Vec<P>> {
    let paths: Vec<String> = items.iter().map(|(path, _)| path.clone()).collect();
    let mut groups: Vec<Vec<P>> = (0..=patterns.len()).map(|_| Vec::new()).collect();
    for (path, item) in items {
        let group = patterns.iter().position(|pattern| matches(&path, pattern)).unwrap_or(patterns.len());
        groups[group].push(item);
    }
    if let Some((pattern, _)) = patterns.iter().zip(&groups).find(|(_, group)| group.is_empty()) {
        panic!(
            "parameters_by: no parameter is left for '{pattern}'\n  parameters: {}\n  rule: each pattern is the first to match a path",
            paths.join(", ")
        );
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, path, expected) in [
            ("fc.bias", "fc.bias", true),
            ("fc.bias", "fc.biases", false),
            ("*.bias", "layer1.0.bias", true),
            ("*.bias", "bias", false),
            ("*bias", "bias", true),
            ("layer1.*", "layer1.0.weight", true),
            ("layer1.*", "layer10.weight", false),
            ("*.bn*.*", "layer1.0.bn2.weight", true),
            ("a*a", "a", false),
            ("a*ab*b", "aaabbb", true),
            ("*", "", true),
            ("größe*", "größe.ß", true),
        ] {
            assert_eq!(matches(path, pattern), expected, "{pattern} of {path}");
        }
    }

    #[test]
    fn the_first_pattern_counts() {
        let items = || ["0.weight", "0.bias", "1.weight", "1.bias"].map(|path| (path.to_owned(), path)).to_vec();
        let expected = [vec!["0.bias", "1.bias"], vec!["1.weight"], vec!["0.weight"]];
        assert_eq!(groups(items(), &["*.bias", "1.*"]), expected);
        assert_eq!(groups(items(), &[])[0].len(), 4);
    }

    #[test]
    #[should_panic(
        expected = "parameters_by: no parameter is left for '0.*'\n  parameters: 0.bias\n  rule: each pattern is the first to match a path"
    )]
    fn a_pattern_without_parameters_is_named() {
        groups(vec![("0.bias".to_owned(), 0)], &["*.bias", "0.*"]);
    }
}
