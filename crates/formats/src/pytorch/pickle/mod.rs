//! Pickles, as far as files of weights need them: the operations of a small stack machine that make dicts, lists, tuples, text,
//! numbers, and descriptions of tensors. It runs no code: a class or function is only ever a name of a short list, and every
//! other name is refused.

mod call;
mod globals;
mod input;
mod machine;
mod refused;
mod value;

use std::collections::BTreeMap;
use std::io::Read;
use std::rc::Rc;

use crate::error::Problem;
pub(super) use value::{Nodes, Storage, Tensor, Value};

/// What a pickle describes.
pub(super) struct Pickle {
    pub(super) nodes: Nodes,
    pub(super) root: Value,
    /// The storages of its tensors by key.
    pub(super) storages: BTreeMap<Rc<str>, Storage>,
}

impl Pickle {
    /// Reads one pickle, and nothing after it.
    pub(super) fn read(reader: &mut dyn Read) -> Result<Self, Problem> {
        machine::Machine::new(input::Input::new(reader)).run()
    }
}
