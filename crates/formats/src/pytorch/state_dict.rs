//! Finds the weights among all that was saved.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::pickle::{Nodes, Pickle, Tensor, Value};
use crate::error::Problem;

/// Under these keys programs save the weights beside the rest of a run's state; the first one counts.
const KEYS: [&str; 3] = ["state_dict", "model_state_dict", "model"];
/// The keys that an error lists.
const LISTED: usize = 10;

/// The tensors of a state_dict by name.
pub(super) type Tensors<'a> = BTreeMap<Rc<str>, &'a Tensor>;

/// The tensors of the state_dict that was saved, alone or within a dict with other things.
///
/// What is not a tensor, such as the extra state of a module, is left out.
pub(super) fn find(pickle: &Pickle) -> Result<Tensors<'_>, Problem> {
    let nodes = &pickle.nodes;
    let Some(entries) = nodes.dict(pickle.root) else {
        return Err(Problem::refused(
            format!("it has {} and no state_dict", nodes.kind(pickle.root)),
            "in Python, save tensors by name: torch.save({'name': tensor}, FILE)",
        ));
    };
    let named = |key: &str| {
        let last = entries.iter().rev().find(|(name, _)| nodes.text(*name).is_some_and(|name| &**name == key));
        last.and_then(|&(_, value)| nodes.dict(value))
    };
    if let Some(tensors) = KEYS.into_iter().filter_map(named).map(|inner| tensors(nodes, inner)).find(|t| !t.is_empty())
    {
        return Ok(tensors);
    }
    let tensors = tensors(nodes, entries);
    if tensors.is_empty() {
        let names = entries.iter().filter_map(|(key, _)| nodes.text(*key));
        let listed: Vec<String> = names.clone().take(LISTED).map(|name| format!("'{}'", name.escape_debug())).collect();
        let more = names.count() - listed.len();
        return Err(Problem::refused(
            match (listed.is_empty(), more) {
                (true, _) => "its dict has no tensors".into(),
                (_, 0) => format!("no weights in its dict, which has {}", listed.join(", ")),
                _ => format!("no weights in its dict, which has {} and {more} more", listed.join(", ")),
            },
            "in Python, save the state_dict alone: torch.save(net.state_dict(), FILE)",
        ));
    }
    Ok(tensors)
}

/// The tensors of a dict. As in Python, the last value of a key counts.
fn tensors<'a>(nodes: &'a Nodes, entries: &[(Value, Value)]) -> Tensors<'a> {
    let mut all: BTreeMap<Rc<str>, Option<&Tensor>> = BTreeMap::new();
    for &(key, value) in entries {
        if let Some(name) = nodes.text(key) {
            all.insert(Rc::clone(name), nodes.tensor(value));
        }
    }
    all.into_iter().filter_map(|(name, tensor)| Some((name, tensor?))).collect()
}
