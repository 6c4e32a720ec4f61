//! Pickles, as far as files of weights need them: the operations of a small stack machine that make dicts, lists, tuples, text,
//! numbers, and descriptions of tensors. It runs no code: a class or function is only ever a name of a short list, and every
//! other name is refused.

mod call;
mod globals;
mod input;
mod machine;
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

/// The refusal of a pickle that is an object of a class of layers.
fn whole_module(class: &str) -> Problem {
    Problem::refused(
        format!("a whole pickled module ({class}) and no state_dict: to build it, code would have to run"),
        "if you trust the file and have its source code, in Python: \
         torch.save(torch.load(FILE, weights_only=False).state_dict(), NEW)",
    )
}

/// The refusal of a class or function.
fn unread(verb: &str, name: &str) -> Problem {
    Problem::refused(
        format!(
            "its pickle {verb} {name}, which is refused: only tensors, dicts, lists, tuples, text and numbers are read, and \
             no code is run"
        ),
        "if you trust the file, save its weights alone, in Python: \
         torch.save(torch.load(FILE, weights_only=False)['state_dict'], NEW)",
    )
}
