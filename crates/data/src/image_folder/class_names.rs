//! Class names that look alike: the same letters composed differently, or with spaces that do not show.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;

use crate::error::{DataError, Result};

/// Notes about classes of one set that look alike.
pub(super) fn notes(names: &[String]) -> Vec<String> {
    let mut alike: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for name in names {
        alike.entry(appearance(name)).or_default().push(name);
    }
    let several = alike.into_iter().filter(|(_, names)| names.len() > 1);
    several
        .map(|(appearance, names)| {
            let spelled: Vec<String> = names.iter().map(|name| code_points(name)).collect();
            format!("{} classes look like \"{appearance}\": {}", names.len(), spelled.join(", "))
        })
        .collect()
}

/// An error if a class of the test set only looks like one of the training set.
pub(super) fn check(dataset: &str, train: &[String], test: &[String]) -> Result<()> {
    let missing = test.iter().filter(|name| !train.contains(name));
    for (test, train) in missing.flat_map(|test| train.iter().map(move |train| (test, train))) {
        if appearance(test) == appearance(train) {
            return Err(DataError::Inconsistent {
                what: dataset.into(),
                problem: format!(
                    "the class \"{}\" is {} in the training set, but {} in the test set",
                    appearance(test),
                    code_points(train),
                    code_points(test)
                ),
                help: "rename one of the two folders, so that their names have the same characters",
            });
        }
    }
    Ok(())
}

/// The name in a form that is the same for all names that look like it.
fn appearance(name: &str) -> String {
    let zero_width = |c: &char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}');
    let visible: String = name.nfc().filter(|c| !zero_width(c)).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The characters of a name, those outside printable ASCII and spaces by number: `c a f U+00E9`.
fn code_points(name: &str) -> String {
    let spelled: Vec<String> = name
        .chars()
        .map(|c| if c.is_ascii_graphic() { c.to_string() } else { format!("U+{:04X}", u32::from(c)) })
        .collect();
    spelled.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_recognized() {
        for (a, b) in [
            ("caf\u{e9}", "cafe\u{301}"),
            ("cat", "cat "),
            ("cat", "\u{a0}cat"),
            ("big cat", "big  cat"),
            ("cat", "ca\u{200b}t"),
            // Hangul: a syllable, and its letters.
            ("\u{ac00}", "\u{1100}\u{1161}"),
            ("\u{c5}", "\u{212b}"),
        ] {
            assert_eq!(appearance(a), appearance(b), "{a:?} {b:?}");
        }
        for (a, b) in [("cat", "Cat"), ("cafe", "caf\u{e9}"), ("bigcat", "big cat"), ("1", "l")] {
            assert_ne!(appearance(a), appearance(b), "{a:?} {b:?}");
        }
    }
}
