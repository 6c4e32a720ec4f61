//! One self-contained page that shows an explanation: it needs no network, no server and no other file.

mod array;
mod data;
mod elements;
mod layout;

use std::path::Path;

use chainrule_tensor::Float;

use crate::error::ExplainError;
use crate::explanation::Explanation;
use crate::number::ravel;
use crate::text::escaped;
use data::{Data, Explained};

/// The parts of the page.
const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
/// A subset of Noto Sans Math, made by scripts/make_math_font.sh, so that formulas look the same everywhere.
const FONT: &[u8] = include_bytes!("font/math.woff2");
const SCRIPTS: [&str; 8] = [
    include_str!("script/numbers.js"),
    include_str!("script/model.js"),
    include_str!("script/graph.js"),
    include_str!("script/tensor.js"),
    include_str!("script/panel.js"),
    include_str!("script/element.js"),
    include_str!("script/quiz.js"),
    include_str!("script/main.js"),
];

/// A page about an explanation. Made by [`Explanation::page`].
pub struct Page<'a, T: Float> {
    explanation: &'a Explanation<T>,
    title: String,
    text: String,
    chosen: Vec<(usize, usize)>,
}

impl<T: Float> Explanation<T> {
    /// A page with a title.
    pub fn page(&self, title: impl Into<String>) -> Page<'_, T> {
        Page { explanation: self, title: title.into(), text: String::new(), chosen: Vec::new() }
    }

    /// Writes the page of this explanation: the graph with values and gradients, stepped through forward and backward.
    ///
    /// Explain a small batch, best a single sample: all values and gradients are in the file, and each element that is
    /// explained in it costs a few passes through an operation.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_html(&self, path: impl AsRef<Path>) -> Result<(), ExplainError> {
        self.page(format!("Gradients of {}", self.loss())).save_html(path)
    }
}

impl<T: Float> Page<'_, T> {
    /// Adds a sentence below the title.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// Adds an element that the page opens with. A page of a large graph explains these elements only, and those that their
    /// terms lead to; if none is added, the element with the largest gradient of each parameter.
    ///
    /// # Errors
    /// If the variable at this position in [`Explanation::variables`] has no gradient, or the index does not fit its shape.
    pub fn element(mut self, variable: usize, index: &[usize]) -> Result<Self, ExplainError> {
        // Checks both.
        self.explanation.element_at(variable, index, crate::element::Extent { depth: 1, terms: 1 })?;
        let shape = &self.explanation.variables()[variable].shape;
        self.chosen.extend(ravel(index, shape).map(|flat| (variable, flat)));
        Ok(self)
    }

    /// The page as HTML.
    #[must_use]
    pub fn to_html(&self) -> String {
        let explained = match elements::all_locals(self.explanation) {
            Some(locals) => Explained::Locals(locals),
            None => Explained::Elements(elements::chosen(self.explanation, &self.elements())),
        };
        let data = Data::new(self.explanation, &self.title, &self.text, &self.chosen, explained);
        // JSON has `<` only within strings; as an escape, no string can end the script element.
        let data = serde_json::to_string(&data).expect("the data has string keys only").replace('<', "\\u003c");
        let title = escaped(&self.title);
        // The data comes last, since it may contain the placeholders.
        let scripts = SCRIPTS.join("\n");
        PAGE.replace("{{title}}", &title)
            .replace("{{style}}", STYLE)
            .replace("{{font}}", &array::base64(FONT))
            .replace("{{script}}", &scripts)
            .replace("{{data}}", &data)
    }

    /// Writes the page.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_html(&self, path: impl AsRef<Path>) -> Result<(), ExplainError> {
        let path = path.as_ref();
        std::fs::write(path, self.to_html()).map_err(|source| ExplainError::Write { path: path.to_owned(), source })
    }

    /// The chosen elements, or for each parameter the element with the largest gradient.
    fn elements(&self) -> Vec<(usize, usize)> {
        let variables = self.explanation.variables().iter().enumerate();
        let parameters = variables.filter(|(_, variable)| variable.kind == crate::explanation::Kind::Parameter);
        let largest = parameters.filter_map(|(i, _)| {
            let gradient = self.explanation.graph.gradients[i].as_ref()?.to_vec();
            let size = |k: usize| gradient[k].to_f64().abs();
            Some((i, (0..gradient.len()).fold(0, |best, k| if size(k) > size(best) { k } else { best })))
        });
        self.chosen.iter().copied().chain(largest.filter(|(i, _)| self.chosen.iter().all(|(j, _)| i != j))).collect()
    }
}
