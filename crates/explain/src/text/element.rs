//! The tree of terms of one element, as a table.

use chainrule_tensor::Float;

use super::document::{Document, Table, Tone};
use crate::element::Element;
use crate::explanation::Explanation;
use crate::number::{index_text, number};

impl<T: Float> Explanation<T> {
    /// The tree of terms of an element: each row is a term dyⱼ · ∂yⱼ/∂xᵢ, and below it the terms of its dyⱼ.
    #[must_use]
    pub fn tree_text(&self, element: &Element) -> Document {
        let mut table = Table::new(&["", "dy", "· ∂y/∂x", "which is", "= term"], &[1, 2, 4]);
        let of = self.partial(element.variable, &index_text(&element.index));
        let total = number(element.gradient);
        table.push(Tone::Strong, [of.clone(), String::new(), String::new(), String::new(), total.clone()]);
        self.push_terms(&mut table, element, "");
        let mut document = Document::default();
        let name = &self.variables()[element.variable].name;
        document.heading(format!("{name}{} = {}, {of} = {total}", index_text(&element.index), number(element.value)));
        document.table(table);
        let (sum, magnitude) = (element.sum(), element.magnitude());
        let limit = 8.0 * T::EPSILON.to_f64() * magnitude;
        let difference = (sum - element.gradient).abs();
        document.paragraph(format!(
            "  All terms add up to {}; the engine has {total}. They differ by {}; rounding allows {}.",
            number(sum),
            number(difference),
            number(limit)
        ));
        document
    }

    fn push_terms(&self, table: &mut Table, element: &Element, indent: &str) {
        let more = element.rest.count > 0 || !element.blocked.is_empty();
        for (i, term) in element.terms.iter().enumerate() {
            let last = i + 1 == element.terms.len() && !more;
            let (branch, below) = if last { ("└ ", "  ") } else { ("├ ", "│ ") };
            let step = &self.steps()[term.step];
            let label = format!("{}{}", self.variables()[step.output].name, index_text(&term.output));
            let through = if self.variables()[step.output].name.starts_with(&step.op) {
                String::new()
            } else {
                format!(" by {}", step.op)
            };
            let factor = term.factor.as_ref().map_or(String::new(), |factor| {
                format!("{}{}", self.variables()[factor.variable].name, index_text(&factor.index))
            });
            let numbers = [number(term.dy), number(term.local), factor, number(term.product)];
            table.push(Tone::Normal, [format!("{indent}{branch}{label}{through}")].into_iter().chain(numbers));
            if let Some(next) = &term.next {
                self.push_terms(table, next, &format!("{indent}{below}"));
            }
        }
        for (i, blocked) in element.blocked.iter().enumerate() {
            let branch = if i + 1 == element.blocked.len() && element.rest.count == 0 { "└ " } else { "├ " };
            let name = &self.variables()[self.steps()[blocked.step].output].name;
            let text = format!("{indent}{branch}{name}: no path, all local derivatives are 0");
            table.push(Tone::Warning, [text, String::new(), String::new(), String::new(), "0".into()]);
        }
        if element.rest.count > 0 {
            let text = format!("{indent}└ {} smaller terms", element.rest.count);
            table.push(Tone::Faint, [text, String::new(), String::new(), String::new(), number(element.rest.sum)]);
        }
    }
}
