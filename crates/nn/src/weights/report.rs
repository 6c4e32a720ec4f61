//! What was loaded from a file, and what was not.

use std::collections::BTreeMap;
use std::fmt;

use chainrule_tensor::Shape;

/// The names of each kind that a text lists; the reports themselves hold all.
const LISTED: usize = 10;

/// What was loaded from a file of weights, and what was not. Names are those of the net, and sorted, except where it says
/// otherwise.
///
/// As text it lists what is missing, mismatched and unexpected, at most ten names of each, and what was converted.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct LoadReport {
    /// What was loaded.
    pub loaded: Vec<String>,
    /// Parameters and buffers for which the file has no tensor, and their shapes.
    pub missing: BTreeMap<String, Shape>,
    /// Tensors that have another shape or format than the net, and what differs.
    pub mismatched: BTreeMap<String, String>,
    /// Tensors for which the net has no place, by their names in the file.
    pub unexpected: Vec<String>,
    /// What was converted to the element type of the net, by the format in the file, such as `F16`.
    pub converted: BTreeMap<String, Vec<String>>,
    /// The prefix, such as `module.`, that every name in the file has and that was removed, because the names without it
    /// are those of the net.
    pub prefix: Option<String>,
}

impl LoadReport {
    /// Whether every tensor of the file has its place in the net, and the other way round.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.mismatched.is_empty() && self.unexpected.is_empty()
    }

    /// What is missing, mismatched and unexpected, one name in each line.
    pub(crate) fn differences(&self) -> Vec<String> {
        let missing = self.missing.iter().map(|(name, shape)| format!("{name} {shape}"));
        let mismatched = self.mismatched.iter().map(|(name, why)| format!("{name}: {why}"));
        let mut all = listed("missing", missing);
        all.extend(listed("mismatch", mismatched));
        all.extend(listed("unexpected", self.unexpected.iter().cloned()));
        all
    }
}

/// Lines that begin with `kind`: the first ones, and how many more there are.
fn listed(kind: &str, mut items: impl ExactSizeIterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = items.by_ref().take(LISTED).map(|item| format!("{kind:<10}  {item}")).collect();
    if items.len() > 0 {
        lines.push(format!("{kind:<10}  and {} more", items.len()));
    }
    lines
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loaded {} tensors", self.loaded.len())?;
        if let Some(prefix) = &self.prefix {
            write!(f, ", without the prefix '{prefix}' of all names in the file")?;
        }
        for (format, names) in &self.converted {
            let first: Vec<&str> = names.iter().take(LISTED).map(String::as_str).collect();
            write!(f, "\n  converted   {} from {format}: {}", names.len(), first.join(", "))?;
            if names.len() > LISTED {
                write!(f, " and {} more", names.len() - LISTED)?;
            }
        }
        self.differences().iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}
