//! Explanations as text, at three zooms: the whole net, one layer, every scalar; and the tree of one element.

mod document;
mod element;
mod html;

use chainrule_tensor::Float;

use crate::explanation::{Explanation, Numbers, Step, Variable};
use crate::number::{index_text, number, shape_text};

pub use document::Document;
pub(crate) use document::{Table, Tone};
pub(crate) use html::escaped;

impl<T: Float> Explanation<T> {
    /// The whole net: norm, smallest and largest element and the share of zeros of each value and each gradient, from the
    /// inputs to the loss.
    #[must_use]
    pub fn net(&self) -> Document {
        let header = ["variable", "shape", "|value|", "min", "max", "zeros", "|gradient|", "min", "max", "zeros"];
        let mut table = Table::new(&header, &[2, 3, 4, 5, 6, 7, 8, 9]);
        for variable in self.variables() {
            let mut cells = vec![variable.name.clone(), shape_text(&variable.shape)];
            cells.extend(statistics(&variable.value));
            match &variable.gradient {
                Some(gradient) => cells.extend(statistics(gradient)),
                None => cells.extend(["none".to_owned(), String::new(), String::new(), String::new()]),
            }
            let dead = variable.gradient.as_ref().is_some_and(|gradient| gradient.zeros == gradient.count);
            table.push(if dead { Tone::Warning } else { Tone::Normal }, cells);
        }
        let mut document = Document::default();
        document.heading(format!("Values and gradients of {}", self.loss()));
        document.table(table);
        document
    }

    /// One layer: the operation that computed a variable and those that use it, each with its rule, the shapes of the matrix
    /// identity, and statistics of all operands. `variable` is a position in [`variables`](Self::variables).
    #[must_use]
    pub fn layer(&self, variable: usize) -> Document {
        let of = &self.variables()[variable];
        let uses = of.arrivals.iter().map(|arrival| arrival.step);
        let mut document = Document::default();
        let mut steps: Vec<usize> = of.step.into_iter().chain(uses).collect();
        steps.sort_unstable_by(|a, b| b.cmp(a));
        steps.dedup();
        for step in steps {
            document.append(self.operation(&self.steps()[step]));
        }
        document
    }

    /// One operation with its operands.
    fn operation(&self, step: &Step) -> Document {
        let mut document = Document::default();
        let name = &self.variables()[step.output].name;
        document.heading(if *name == step.op { name.clone() } else { format!("{name}: {}", step.op) });
        let mut facts = vec![step.formula.symbols.clone(), step.derivative.clone()];
        facts.extend(step.attributes.iter().filter(|text| !text.contains('\n')).cloned());
        facts.push(format!("saved for the backward pass: {}", step.saved));
        facts.extend(step.layer.iter().map(|layer| format!("layer {layer}")));
        facts.extend(step.scope.iter().map(|scope| format!("scope {scope}")));
        document.paragraph(facts.iter().map(|fact| format!("  {fact}")).collect::<Vec<_>>().join("\n"));
        let mut table = Table::new(&["", "is", "shape", "norm", "min", "max", "zeros", "computed as"], &[3, 4, 5, 6]);
        let mut push = |symbol: String, name: String, shape: &[usize], numbers: &Numbers, how: String| {
            let cells = [symbol, name, shape_text(shape)].into_iter().chain(statistics(numbers)).chain([how]);
            table.push(Tone::Normal, cells);
        };
        let shapes = |text: &Option<String>| text.clone().unwrap_or_default();
        for input in &step.inputs {
            let variable = &self.variables()[input.variable];
            push(input.symbol.clone(), variable.name.clone(), &variable.shape, &variable.value, String::new());
        }
        let output = &self.variables()[step.output];
        push("y".into(), output.name.clone(), &output.shape, &output.value, shapes(&step.formula.shapes));
        if let Some(gradient) = &output.gradient {
            push("dy".into(), self.partial(step.output, ""), &output.shape, gradient, String::new());
        }
        for input in &step.inputs {
            if let Some(gradient) = &input.gradient {
                let shape = &self.variables()[input.variable].shape;
                let how = input.rule.as_ref().map_or(String::new(), |rule| shapes(&rule.shapes));
                push(format!("d{}", input.symbol), self.partial(input.variable, ""), shape, gradient, how);
            }
        }
        document.table(table);
        if let Some(mark) = &step.mark {
            document.paragraph(format!("  {mark}"));
        }
        document
    }

    /// Every number: the formula of each operation with its numbers, forward and then backward. Of a tensor, the element
    /// with the largest gradient is shown.
    #[must_use]
    pub fn scalars(&self) -> Document {
        let mut document = Document::default();
        document.heading("Forward");
        let mut table = Table::new(&["value", "formula", "with numbers", "inputs", "result"], &[4]);
        for step in self.steps().iter().rev() {
            let output = &self.variables()[step.output];
            let inputs = step.inputs.iter().map(|x| format!("{} = {}", x.symbol, self.variables()[x.variable].name));
            let at = step.at.clone().unwrap_or_default();
            table.push(
                Tone::Normal,
                [
                    format!("{}{}", output.name, index_text(&at)),
                    step.formula.symbols.clone(),
                    step.formula.numbers.clone().unwrap_or_default(),
                    inputs.collect::<Vec<_>>().join(", "),
                    shown(&output.value, &output.shape, &at),
                ],
            );
        }
        document.table(table);
        document.heading("Backward");
        let mut table = Table::new(&["gradient", "through", "rule", "with numbers", "result"], &[4]);
        let loss = self.variables().len() - 1;
        table.push(
            Tone::Strong,
            [self.partial(loss, ""), String::new(), "the loss itself".into(), String::new(), "1".into()],
        );
        let mut arrived = vec![0; self.variables().len()];
        for step in self.steps() {
            let at = step.at.clone().unwrap_or_default();
            for input in &step.inputs {
                let (Some(gradient), variable) = (&input.gradient, &self.variables()[input.variable]) else { continue };
                let at = if variable.shape == self.variables()[step.output].shape { at.clone() } else { Vec::new() };
                let rule = input.rule.as_ref();
                table.push(
                    Tone::Normal,
                    [
                        self.partial(input.variable, &index_text(&at)),
                        self.variables()[step.output].name.clone(),
                        rule.map_or(String::new(), |rule| rule.symbols.clone()),
                        rule.and_then(|rule| rule.numbers.clone()).unwrap_or_default(),
                        shown(gradient, &variable.shape, &at),
                    ],
                );
                arrived[input.variable] += 1;
                if arrived[input.variable] == variable.arrivals.len() && variable.arrivals.len() > 1 {
                    self.push_sum(&mut table, input.variable, variable);
                }
            }
        }
        document.table(table);
        for step in self.steps() {
            if let Some(mark) = &step.mark {
                document.paragraph(format!("  {}: {mark}", self.variables()[step.output].name));
            }
        }
        document
    }

    /// The row of a sum over the uses of a variable.
    fn push_sum(&self, table: &mut Table, position: usize, variable: &Variable) {
        let Some(sum) = &variable.gradient else { return };
        let text = |numbers: &Numbers| shown(numbers, &variable.shape, &[]);
        let parts: Vec<String> = variable.arrivals.iter().map(|arrival| text(&arrival.gradient)).collect();
        let how = format!("sum of {} uses", parts.len());
        let parts = if sum.count == 1 { parts.join(" + ").replace("+ -", "− ") } else { String::new() };
        table.push(Tone::Strong, [self.partial(position, ""), String::new(), how, parts, text(sum)]);
    }
}

/// A scalar as a number, an element of a listed tensor likewise, other tensors by their norm.
fn shown(numbers: &Numbers, shape: &[usize], at: &[usize]) -> String {
    let listed = numbers.elements.as_ref();
    let element = crate::number::ravel(at, shape).and_then(|i| listed?.get(i).copied());
    match (element, listed) {
        (Some(x), _) => number(x),
        (None, Some(elements)) if elements.len() == 1 => number(elements[0]),
        _ => format!("norm {}", number(numbers.norm)),
    }
}

fn statistics(numbers: &Numbers) -> [String; 4] {
    let share = 100.0 * numbers.zeros as f64 / numbers.count.max(1) as f64;
    let zeros = if numbers.zeros == 0 { "0 %".into() } else { format!("{share:.0} %") };
    [number(numbers.norm), number(numbers.min), number(numbers.max), zeros]
}
