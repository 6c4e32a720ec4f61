//! From two recordings to an ONNX graph.

use chainrule_autograd::{Operation, Setting, Var};
use chainrule_nn::Paths;

use super::OPSET;
use super::batch::Dim;
use super::file::OnnxFile;
use super::graph::Graph;
use super::operations::{self, Emission};
use super::trace::{Source, Trace};
use crate::error::OnnxError;
use crate::proto::{ModelProto, OperatorSetIdProto, ValueInfoProto};

/// The version of the file format that came with [`OPSET`].
const IR_VERSION: i64 = 8;

/// The same pass, recorded at two batch sizes.
pub(super) struct Builder {
    one: Trace,
    other: Trace,
    batches: [usize; 2],
}

/// An operation, at both batch sizes.
pub(super) struct Step<'a> {
    recording: &'a Builder,
    pub(super) op: Operation<'a, f32>,
    other: Operation<'a, f32>,
}

/// Whether two leaves are not the same constant.
fn differ(a: &Var, b: &Var, source: Source) -> bool {
    let bits = |x: &Var| x.value().to_vec().into_iter().map(f32::to_bits).collect::<Vec<u32>>();
    source == Source::Leaf && a.id() != b.id() && (a.shape() != b.shape() || bits(a) != bits(b))
}

impl Builder {
    /// # Errors
    /// If the two recordings have other operations, or connect them differently.
    pub(super) fn new(one: Trace, other: Trace, batches: [usize; 2]) -> Result<Self, OnnxError> {
        let differs = |what: String| {
            let [a, b] = batches;
            OnnxError::Export(format!(
                "this net: {what} at batch sizes {a} and {b}\n  rule: a forward pass does the same for any batch"
            ))
        };
        if one.len() != other.len() {
            return Err(differs(format!("it records {} and {} operations", one.len(), other.len())));
        }
        for place in 0..one.len() {
            let (a, b) = (one.operation(place), other.operation(place));
            let (name, other_name) = (a.rule().name(), b.rule().name());
            if name != other_name {
                return Err(differs(format!("operation {place} is {name} and {other_name}")));
            }
            let same = |i: usize| one.source(a.parent(i)) == other.source(b.parent(i));
            if a.parents() != b.parents() || !(0..a.parents()).all(same) {
                return Err(differs(format!("operation {place}, {name}, has other operands")));
            }
            if (0..a.parents()).any(|i| differ(a.parent(i), b.parent(i), one.source(a.parent(i)))) {
                return Err(differs(format!("a constant of operation {place}, {name}, differs")));
            }
        }
        Ok(Self { one, other, batches })
    }

    fn step(&self, place: usize) -> Step<'_> {
        Step { recording: self, op: self.one.operation(place), other: self.other.operation(place) }
    }

    /// The model with these inputs, whose first axis is the batch if there are two batch sizes.
    pub(super) fn build(&self, inputs: &[(String, Var)], output: &Var) -> Result<OnnxFile, OnnxError> {
        let steps: Vec<Step> = (0..self.one.len()).map(|place| self.step(place)).collect();
        let emissions: Vec<Emission> = steps.iter().map(operations::emission).collect();
        let needed = self.needed(&emissions, output);

        let mut graph = Graph::default();
        let input_names: Vec<String> = inputs.iter().map(|(name, _)| graph.unique(name)).collect();
        // Reserved, so that no operation gets it.
        let output_name = graph.unique("output");
        let mut names: Vec<Option<String>> = vec![None; steps.len()];
        let mut paths = Paths::default();
        if self.batches[0] != self.batches[1] {
            graph.batch_of(&input_names[0]);
        }
        for (place, (step, emission)) in steps.iter().zip(&emissions).enumerate() {
            let path = paths.next(&step.op).replace(' ', "_");
            if !needed[place] {
                continue;
            }
            let operands: Vec<String> = emission
                .operands
                .iter()
                .map(|&var| match self.one.source(var) {
                    Source::Input(input) => input_names[input].clone(),
                    Source::Operation(place) => names[place].clone().expect("operands come before their operation"),
                    Source::Leaf => graph.leaf(var, &path),
                })
                .collect();
            let is_output = self.one.source(output) == Source::Operation(place);
            graph.begin(&path, is_output.then_some(&*output_name));
            let emitted = operations::emit(step, emission, &operands, &mut graph);
            let name = emitted.map_err(|why| OnnxError::Export(format!("'{path}' ({}): {why}", step.name())))?;
            names[place] = Some(name);
        }
        match self.one.source(output) {
            Source::Operation(_) => {}
            Source::Input(input) => graph.identity(&input_names[input], &output_name),
            Source::Leaf => {
                let text = "this net: its output does not depend on the input by recorded operations\n  rule: compute with variables, and outside of no_grad";
                return Err(OnnxError::Export(text.into()));
            }
        }
        let info = |name: &str, shapes: Option<Vec<Dim>>| {
            let text = "this net: the shape of its input or output does not grow with the batch";
            shapes.map(|dims| Graph::value_info(name, &dims)).ok_or_else(|| OnnxError::Export(text.into()))
        };
        let input_info: Result<Vec<ValueInfoProto>, OnnxError> = inputs
            .iter()
            .zip(&input_names)
            .map(|((_, var), name)| {
                let shape = var.shape();
                let other = if self.batches[0] == self.batches[1] { shape } else { shape.with(0, self.batches[1]) };
                info(name, Dim::all([shape, other], self.batches))
            })
            .collect();
        let output_dims = match self.one.source(output) {
            Source::Operation(place) => steps[place].output().ok(),
            _ => Dim::all([output.shape(), output.shape().with(0, self.batches[1])], self.batches),
        };
        let output_info = info(&output_name, output_dims)?;
        Ok(OnnxFile(ModelProto {
            ir_version: Some(IR_VERSION),
            opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(OPSET) }],
            producer_name: Some("chainrule".into()),
            producer_version: Some(env!("CARGO_PKG_VERSION").into()),
            doc_string: Some(
                "A forward pass at inference, recorded operation by operation; parameters have their paths as names."
                    .into(),
            ),
            graph: Some(graph.finish(input_info?, output_info)),
            ..ModelProto::default()
        }))
    }

    /// Which operations the output needs, given what each is emitted from.
    fn needed(&self, emissions: &[Emission], output: &Var) -> Vec<bool> {
        let mut needed = vec![false; emissions.len()];
        let mark = |needed: &mut Vec<bool>, var: &Var| {
            if let Source::Operation(place) = self.one.source(var) {
                needed[place] = true;
            }
        };
        mark(&mut needed, output);
        for (place, emission) in emissions.iter().enumerate().rev() {
            if needed[place] {
                emission.operands.iter().for_each(|var| mark(&mut needed, var));
            }
        }
        needed
    }
}

impl<'a> Step<'a> {
    pub(super) fn name(&self) -> &'a str {
        self.op.rule().name()
    }

    /// The step that computed an operand, if it is one.
    pub(super) fn producer(&self, operand: usize) -> Option<Step<'a>> {
        match self.recording.one.source(self.op.parent(operand)) {
            Source::Operation(place) => Some(self.recording.step(place)),
            _ => None,
        }
    }

    /// The axes of the output.
    pub(super) fn output(&self) -> Result<Vec<Dim>, String> {
        self.dims(self.op.output(), self.other.output())
    }

    /// The axes of an operand.
    pub(super) fn operand(&self, i: usize) -> Result<Vec<Dim>, String> {
        self.dims(self.op.parent(i), self.other.parent(i))
    }

    fn dims(&self, one: &Var, other: &Var) -> Result<Vec<Dim>, String> {
        let shapes = [one.shape(), other.shape()];
        Dim::all(shapes, self.recording.batches).ok_or_else(|| {
            let [a, b] = self.recording.batches;
            format!("a shape is {} at batch size {a} and {} at {b}\n  rule: the length of an axis is fixed or a multiple of the batch size", shapes[0], shapes[1])
        })
    }

    /// A setting, which must not depend on the batch size.
    pub(super) fn setting(&self, name: &str) -> Result<Setting, String> {
        let of = |op: &Operation<f32>| op.rule().attributes().into_iter().find(|found| found.name == name);
        let (one, other) = (of(&self.op), of(&self.other));
        match one {
            None => Err(format!("it has no setting '{name}'")),
            Some(_) if one != other => Err(format!("its setting '{name}' depends on the batch size")),
            Some(attribute) => Ok(attribute.value),
        }
    }

    pub(super) fn number(&self, name: &str) -> Result<f32, String> {
        match self.setting(name)? {
            Setting::Number(x) => Ok(x as f32),
            other => Err(format!("its setting '{name}' is {other}, not a number")),
        }
    }

    pub(super) fn integer(&self, name: &str) -> Result<i64, String> {
        match self.setting(name)? {
            Setting::Integer(x) => Ok(x),
            other => Err(format!("its setting '{name}' is {other}, not an integer")),
        }
    }

    pub(super) fn integers(&self, name: &str) -> Result<Vec<i64>, String> {
        match self.setting(name)? {
            Setting::Integers(x) => Ok(x),
            other => Err(format!("its setting '{name}' is {other}, not integers")),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, String> {
        match self.setting(name)? {
            Setting::Flag(x) => Ok(x),
            other => Err(format!("its setting '{name}' is {other}, not a flag")),
        }
    }

    /// The axis that a setting names, from 0.
    pub(super) fn axis(&self, name: &str) -> Result<usize, String> {
        let (axis, rank) = (self.integer(name)?, self.op.parent(0).shape().rank() as i64);
        Ok(if axis < 0 { axis + rank } else { axis } as usize)
    }
}
