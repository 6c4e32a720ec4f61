//! The operations of a recorded graph in their order.

use std::collections::{HashMap, HashSet};

use chainrule_autograd::{Operation, Var};

/// The operations between inputs and output, oldest first.
pub(super) struct Trace {
    operations: Vec<Var>,
    /// The place of each operation by its id.
    places: HashMap<u64, usize>,
    inputs: Vec<u64>,
}

/// Where an operand comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// An input of the graph.
    Input(usize),
    /// The result of an operation.
    Operation(usize),
    /// A parameter or a constant.
    Leaf,
}

impl Trace {
    pub(super) fn of(output: &Var, inputs: &[&Var]) -> Self {
        let inputs: Vec<u64> = inputs.iter().map(|x| x.id()).collect();
        let (mut found, mut seen, mut open) = (Vec::new(), HashSet::new(), vec![output.clone()]);
        while let Some(var) = open.pop() {
            if inputs.contains(&var.id()) || !seen.insert(var.id()) {
                continue;
            }
            if let Some(op) = var.operation() {
                open.extend((0..op.parents()).map(|i| op.parent(i).clone()));
                found.push(var);
            }
        }
        // Ids increase in the order of creation.
        found.sort_by_key(Var::id);
        let places = found.iter().enumerate().map(|(place, var)| (var.id(), place)).collect();
        Self { operations: found, places, inputs }
    }

    pub(super) fn len(&self) -> usize {
        self.operations.len()
    }

    pub(super) fn operation(&self, place: usize) -> Operation<'_, f32> {
        self.operations[place].operation().expect("only operations are kept")
    }

    pub(super) fn source(&self, var: &Var) -> Source {
        let id = var.id();
        if let Some(input) = self.inputs.iter().position(|&input| input == id) {
            return Source::Input(input);
        }
        self.places.get(&id).map_or(Source::Leaf, |&place| Source::Operation(place))
    }
}
