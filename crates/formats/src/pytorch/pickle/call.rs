//! What the calls in a pickle make: dicts, tensors, storages. Only names in `globals.rs` get here.

use std::rc::Rc;

use super::globals::{Global, Rebuild};
use super::refused::whole_module;
use super::value::{Node, Nodes, Storage, Tensor, Value};
use crate::error::{Problem, damaged};
use crate::strided::Strided;

/// PyTorch allows 64 axes.
const MAX_AXES: usize = 64;

/// The result of a call.
pub(super) fn call(nodes: &mut Nodes, function: Global, arguments: Value) -> Result<Value, Problem> {
    let Some(items) = nodes.items(arguments) else { return damaged("its pickle calls a function without a tuple") };
    let first = items.first().copied();
    match function {
        Global::Dict => dict(nodes, first),
        Global::First => first.ok_or_else(|| Problem::Damaged("a parameter or size of nothing".into())),
        Global::Rebuild(version) => {
            let tensor = tensor(nodes, version, items)?;
            Ok(nodes.add(Node::Tensor(Box::new(tensor))))
        }
        Global::FromType => match *items {
            // A second level would be a call within a call.
            [Value::Global(function @ (Global::Rebuild(_) | Global::First)), _, arguments, ..] => {
                call(nodes, function, arguments)
            }
            _ => damaged("a tensor with attributes is made of another function than those of tensors"),
        },
        Global::Other => Ok(Value::Other),
        Global::Storage(_) | Global::Dtype(_) => damaged("its pickle calls the type of a storage or of numbers"),
    }
}

/// A dict, of another one or of a list of pairs.
fn dict(nodes: &mut Nodes, contents: Option<Value>) -> Result<Value, Problem> {
    let Some(contents) = contents else { return Ok(nodes.add(Node::Dict(Vec::new()))) };
    if nodes.dict(contents).is_some() {
        return Ok(contents);
    }
    let pair = |value: &Value| match nodes.items(*value) {
        Some(&[key, value]) => Some((key, value)),
        _ => None,
    };
    let entries = nodes.items(contents).and_then(|items| items.iter().map(pair).collect::<Option<Vec<_>>>());
    match entries {
        Some(entries) => Ok(nodes.add(Node::Dict(entries))),
        None => damaged(format!("a dict is made of {}", nodes.kind(contents))),
    }
}

/// The number of values that a call copies, for the limit of work.
pub(super) fn cost(nodes: &Nodes, function: Global, arguments: Value) -> usize {
    let first = nodes.items(arguments).and_then(|items| items.first());
    match (function, first) {
        (Global::Dict, Some(&contents)) => nodes.items(contents).map_or(0, <[Value]>::len),
        (Global::Rebuild(_) | Global::FromType, _) => MAX_AXES,
        _ => 0,
    }
}

fn tensor(nodes: &Nodes, version: Rebuild, arguments: &[Value]) -> Result<Tensor, Problem> {
    let [storage, offset, size, stride, rest @ ..] = arguments else {
        return damaged(format!("a tensor is made of {} arguments", arguments.len()));
    };
    let Some(Node::Storage(storage)) = nodes.get(*storage) else {
        return damaged(format!("a tensor is made of {} in place of a storage", nodes.kind(*storage)));
    };
    let (dtype, metadata) = match (version, rest) {
        (Rebuild::V1, _) => (storage.dtype, None),
        (Rebuild::V2, rest) => (storage.dtype, rest.get(2)),
        (Rebuild::V3, [_, _, Value::Global(Global::Dtype(dtype)), rest @ ..]) => (Some(*dtype), rest.first()),
        (Rebuild::V3, _) => (None, None),
    };
    let Some(dtype) = dtype else { return damaged("a tensor without a format, of a storage of bytes") };
    let plain = |metadata: Value| matches!(metadata, Value::None) || nodes.dict(metadata).is_some_and(<[_]>::is_empty);
    if metadata.is_some_and(|metadata| !plain(*metadata)) {
        return Err(Problem::refused(
            "a tensor that is a lazy negative or conjugate of its storage",
            "in Python, call resolve_neg() or resolve_conj() before it is saved",
        ));
    }
    let (shape, strides) = (lengths(nodes, *size)?, lengths(nodes, *stride)?);
    if shape.len() != strides.len() {
        return damaged(format!("a tensor with {} axes has {} strides", shape.len(), strides.len()));
    }
    let (begin, numel) = storage.view.unwrap_or((0, storage.numel));
    let layout = Strided { offset: count(*offset)?, shape, strides };
    // A storage of bytes has as many more elements as the tensor's are larger.
    let available = if storage.dtype.is_none() { numel / (dtype.bitsize() / 8) } else { numel };
    if layout.reach().is_none_or(|reach| reach > available) {
        return damaged(format!(
            "a tensor of shape {:?}, strides {:?} and offset {} goes beyond its storage '{}' of {available} elements",
            layout.shape,
            layout.strides,
            layout.offset,
            storage.key.escape_debug()
        ));
    }
    // Within the storage, so it cannot overflow.
    let layout = Strided { offset: layout.offset.saturating_add(begin), ..layout };
    Ok(Tensor { key: Rc::clone(&storage.key), dtype, layout })
}

/// The lengths or strides of a tuple.
fn lengths(nodes: &Nodes, tuple: Value) -> Result<Vec<usize>, Problem> {
    match nodes.items(tuple) {
        Some(items) if items.len() <= MAX_AXES => items.iter().map(|item| count(*item)).collect(),
        Some(items) => damaged(format!("a tensor with {} axes; PyTorch allows {MAX_AXES}", items.len())),
        None => damaged(format!("the shape of a tensor is {}", nodes.kind(tuple))),
    }
}

fn count(value: Value) -> Result<usize, Problem> {
    match value {
        Value::Int(n) if n >= 0 => Ok(n as usize),
        Value::Int(n) => damaged(format!("a length, stride or offset of {n}")),
        _ => damaged("a length, stride or offset that is no number"),
    }
}

/// The storage of a persistent id: `('storage', type, key, location, number of elements)`, in the legacy format followed by
/// `None` or a view `(key, first element, number of elements)`.
pub(super) fn storage(nodes: &Nodes, id: Value) -> Result<Storage, Problem> {
    let [kind, rest @ ..] = nodes.items(id).unwrap_or_default() else {
        return damaged(format!("a persistent id is {}", nodes.kind(id)));
    };
    match nodes.text(*kind).map(Rc::as_ref) {
        Some("storage") => {}
        // Only whole modules have these: the class with its source code.
        Some("module") => {
            let name = rest.first().and_then(|&class| nodes.unknown(class));
            return Err(whole_module(name.unwrap_or("torch.nn.Module")));
        }
        _ => return damaged("a persistent id of no storage"),
    }
    let &[Value::Global(Global::Storage(dtype)), key, _, numel, ref view @ ..] = rest else {
        let name = rest.first().and_then(|&class| nodes.unknown(class));
        return match name {
            Some(name) => Err(Problem::refused(
                format!("a storage of the type {name}"),
                "in Python, convert its tensors to float32, on the CPU, before they are saved",
            )),
            None => damaged("a persistent id of another form than that of a storage"),
        };
    };
    let Some(key) = nodes.text(key) else {
        return damaged(format!("the key of a storage is {}", nodes.kind(key)));
    };
    let numel = count(numel)?;
    let view = match view {
        [] | [Value::None] => None,
        [view] => match nodes.items(*view) {
            Some(&[_, begin, length]) => {
                let (begin, length) = (count(begin)?, count(length)?);
                if begin.checked_add(length).is_none_or(|end| end > numel) {
                    return damaged(format!("a view goes beyond its storage '{}'", key.escape_debug()));
                }
                Some((begin, length))
            }
            _ => return damaged("a view of a storage of another form"),
        },
        _ => return damaged("a persistent id of a storage with more parts than any version writes"),
    };
    Ok(Storage { key: Rc::clone(key), dtype, numel, view })
}
