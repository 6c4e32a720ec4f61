//! Which tensors of a file go where in a net.

use std::collections::BTreeMap;

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, Shape, TensorOf};

use super::report::LoadReport;
use super::stored::{StoredTensor, dtype};
use crate::module::{Item, Module, Visitor};

/// The tensors of a file by the names that they have in the net; beside each its name in the file.
pub(crate) type Named<'a> = BTreeMap<String, (&'a str, &'a StoredTensor<'a>)>;

/// A parameter, buffer or counter of a net, with all its names: tied weights and shared modules have several.
struct Place<T: Float> {
    names: Vec<String>,
    kind: Kind<T>,
}

enum Kind<T: Float> {
    Parameter(VarOf<T>),
    Buffer(Shape),
    Counter,
}

/// What a load will change, and its report. Nothing has changed yet.
pub(crate) struct Plan<T: Float> {
    parameters: Vec<(VarOf<T>, TensorOf<T>)>,
    /// By the first name of the buffer or counter.
    buffers: BTreeMap<String, TensorOf<T>>,
    counters: BTreeMap<String, u64>,
    pub(crate) report: LoadReport,
    /// Tied weights that differ in the file, so that no choice is right.
    pub(crate) conflicts: Vec<String>,
}

/// All places of a net, in its order. Parameters are named by their paths then.
fn places<T: Float>(net: &dyn Module<T>) -> Vec<Place<T>> {
    let _ = net.named_parameters();
    let mut places: Vec<Place<T>> = Vec::new();
    // A parameter has an identity of its own; a buffer or counter is where it is in memory.
    let mut known: BTreeMap<(u8, u64), usize> = BTreeMap::new();
    net.visit(&mut Visitor::new(&mut |path, item| {
        let address = |pointer: *const ()| pointer.addr() as u64;
        let (identity, kind) = match item {
            Item::Parameter(var) => ((0, var.id()), Kind::Parameter(var.clone())),
            Item::Buffer(buffer) => {
                ((1, address(std::ptr::from_ref(buffer).cast())), Kind::Buffer(buffer.get().shape()))
            }
            Item::Counter(counter) => ((2, address(std::ptr::from_ref(counter).cast())), Kind::Counter),
            Item::Mode(_) | Item::Synchronization(_) => return,
        };
        let i = *known.entry(identity).or_insert(places.len());
        match places.get_mut(i) {
            Some(place) => place.names.push(path.into()),
            None => places.push(Place { names: vec![path.into()], kind }),
        }
    }));
    places
}

impl<T: Float> Plan<T> {
    /// Finds a place in the net for each tensor. `convert` permits other formats than `T`.
    pub(crate) fn new(net: &dyn Module<T>, mut file: Named<'_>, convert: bool) -> Self {
        let mut plan = Self {
            parameters: Vec::new(),
            buffers: BTreeMap::new(),
            counters: BTreeMap::new(),
            report: LoadReport::default(),
            conflicts: Vec::new(),
        };
        for Place { names, kind } in places(net) {
            let found: Vec<(&String, &StoredTensor<'_>)> =
                names.iter().filter_map(|name| Some((name, file.remove(name)?.1))).collect();
            plan.place(names[0].clone(), &found, kind, convert);
        }
        plan.report.loaded.sort();
        plan.report.unexpected = file.into_values().map(|(name, _)| name.to_owned()).collect();
        plan.report.unexpected.sort();
        plan
    }

    fn place(&mut self, name: String, found: &[(&String, &StoredTensor<'_>)], kind: Kind<T>, convert: bool) {
        let Some(&(first, stored)) = found.first() else {
            match kind {
                Kind::Parameter(var) => drop(self.report.missing.insert(name, var.shape())),
                Kind::Buffer(shape) => drop(self.report.missing.insert(name, shape)),
                // PyTorch does not save all counters, and their value rarely matters.
                Kind::Counter => {}
            }
            return;
        };
        if let Some((other, _)) = found.iter().find(|(_, other)| *other != stored) {
            self.conflicts
                .push(format!("tied        {first} and {other} are one parameter in the net, but differ in the file"));
            return;
        }
        let shape = match &kind {
            Kind::Parameter(var) => var.shape(),
            Kind::Buffer(shape) => *shape,
            Kind::Counter => match stored.count() {
                Ok(count) => {
                    self.report.loaded.push(name.clone());
                    self.counters.insert(name, count);
                    return;
                }
                Err(why) => return drop(self.report.mismatched.insert(name, why)),
            },
        };
        let value = if stored.shape[..] != *shape {
            Err(format!("saved {}, the net has {shape}", stored.shape_text()))
        } else if stored.dtype == dtype::<T>() || (convert && stored.has_floats()) {
            stored.converted()
        } else {
            Err(format!("saved as {:?}, the net has {}", stored.dtype, T::NAME))
        };
        match value {
            Err(why) => drop(self.report.mismatched.insert(name, why)),
            Ok(value) => {
                if stored.dtype != dtype::<T>() {
                    self.report.converted.entry(format!("{:?}", stored.dtype)).or_default().push(name.clone());
                }
                self.report.loaded.push(name.clone());
                match kind {
                    Kind::Parameter(var) => self.parameters.push((var, value)),
                    _ => drop(self.buffers.insert(name, value)),
                }
            }
        }
    }

    /// Whether all tensors have a place and all places a tensor.
    pub(crate) fn fits(&self) -> bool {
        self.conflicts.is_empty() && self.report.is_complete()
    }

    /// What differs, one thing in each line.
    pub(crate) fn differences(&self) -> String {
        let all = self.conflicts.iter().cloned().chain(self.report.differences());
        all.map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
    }

    /// Changes the net.
    pub(crate) fn apply(mut self, net: &dyn Module<T>) -> LoadReport {
        for (var, loaded) in self.parameters {
            // In place, so that on a GPU filters keep the memory format of its convolutions.
            var.update(|value| value.copy_from(&loaded.to(value.device())));
        }
        set_counters(net, &self.counters);
        net.visit(&mut Visitor::new(&mut |path, item| {
            if let Item::Buffer(buffer) = item
                && let Some(loaded) = self.buffers.remove(path)
            {
                buffer.set(loaded.to(buffer.get().device()));
            }
        }));
        self.report
    }
}

/// Sets the counters of these paths.
pub(crate) fn set_counters<T: Float>(net: &dyn Module<T>, counts: &BTreeMap<String, u64>) {
    net.visit(&mut Visitor::new(&mut |path, item| {
        if let Item::Counter(counter) = item
            && let Some(&count) = counts.get(path)
        {
            counter.set(count);
        }
    }));
}
