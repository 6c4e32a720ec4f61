//! One element of a gradient as a finite sum: `dL/dxᵢ = Σⱼ dyⱼ · ∂yⱼ/∂xᵢ`, over all uses of x and all elements j of their
//! outputs. Each dyⱼ is an element of a gradient, too, up to the loss, whose gradient is 1.

use chainrule_autograd::VarOf;
use chainrule_tensor::Float;
use serde::Serialize;

use crate::column::{column, sources};
use crate::error::ExplainError;
use crate::explanation::{Explanation, explain};
use crate::number::{accurate_sum, ravel, unravel};

/// An element of a gradient, as the sum of its terms.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Element {
    /// The variable: a position in [`Explanation::variables`].
    pub variable: usize,
    /// The index of the element; empty for a scalar.
    pub index: Vec<usize>,
    /// The value of the element.
    pub value: f64,
    /// The element of the gradient, as the engine computed it.
    pub gradient: f64,
    /// The largest terms, in descending order of |product|. Empty for the loss.
    pub terms: Vec<Term>,
    /// The other terms.
    pub rest: Rest,
    /// Operations that use the variable and pass nothing to this element: all their local derivatives are 0, as those of
    /// a relu below 0 or of a maximum that another element has won.
    pub blocked: Vec<Blocked>,
}

/// One term: the gradient of an output element times its local derivative.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Term {
    /// The step of the operation, a position in [`Explanation::steps`].
    pub step: usize,
    /// Which of the operation's inputs the element belongs to.
    pub input: usize,
    /// The index j of the output element.
    pub output: Vec<usize>,
    /// dyⱼ.
    pub dy: f64,
    /// ∂yⱼ/∂xᵢ.
    pub local: f64,
    /// The element of another input of the operation that the local derivative is, such as one of the weight in a product.
    pub factor: Option<Factor>,
    /// dyⱼ · ∂yⱼ/∂xᵢ.
    pub product: f64,
    /// dyⱼ explained in turn, if the depth allows.
    pub next: Option<Box<Element>>,
}

/// An element of a variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Factor {
    /// A position in [`Explanation::variables`].
    pub variable: usize,
    /// The index of the element; empty for a scalar.
    pub index: Vec<usize>,
}

/// The terms that are not listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rest {
    /// Their number.
    pub count: usize,
    /// Their sum.
    pub sum: f64,
    /// The sum of their absolute values.
    pub magnitude: f64,
}

/// An input whose local derivatives are all 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Blocked {
    /// The step of the operation.
    pub step: usize,
    /// Which of its inputs.
    pub input: usize,
}

/// How much of the tree of terms is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The number of levels: 1 gives the terms of the element alone.
    pub depth: usize,
    /// The number of terms that are listed at each element; the others are summed.
    pub terms: usize,
}

impl Default for Extent {
    /// Three levels of five terms.
    fn default() -> Self {
        Self { depth: 3, terms: 5 }
    }
}

impl Element {
    /// The sum of all terms, listed or not: the gradient up to rounding.
    #[must_use]
    pub fn sum(&self) -> f64 {
        accurate_sum(self.terms.iter().map(|term| term.product).chain([self.rest.sum]))
    }

    /// The sum of the absolute values of all terms, in which the rounding error of the sum is measured.
    #[must_use]
    pub fn magnitude(&self) -> f64 {
        accurate_sum(self.terms.iter().map(|term| term.product.abs()).chain([self.rest.magnitude]))
    }
}

/// Explains one element of the gradient of a variable as a tree of terms, of the [default extent](Extent).
///
/// ```
/// use chainrule_autograd::Var64;
/// use chainrule_explain::explain_element;
///
/// let w = Var64::parameter("w", [[0.5, -1.0]]);
/// let loss = w.square().sum();
/// let element = explain_element(&loss, &w, &[0, 1]).unwrap();
/// assert_eq!(element.gradient, -2.0);
/// let term = &element.terms[0]; // dy · ∂y/∂x = 1 · 2w
/// assert_eq!((term.dy, term.local, term.product), (1.0, -2.0, -2.0));
/// ```
///
/// # Errors
/// If the loss does not depend on the variable, or the index does not fit its shape.
///
/// # Panics
/// As [`explain`].
#[track_caller]
pub fn explain_element<T: Float>(loss: &VarOf<T>, var: &VarOf<T>, index: &[usize]) -> Result<Element, ExplainError> {
    explain(loss).element(var, index, Extent::default())
}

impl<T: Float> Explanation<T> {
    /// Explains one element of the gradient of a variable as a tree of terms.
    ///
    /// # Errors
    /// If the loss does not depend on the variable, or the index does not fit its shape.
    pub fn element(&self, var: &VarOf<T>, index: &[usize], extent: Extent) -> Result<Element, ExplainError> {
        let not_found = || ExplainError::Unknown { name: var.name(), known: self.known() };
        self.element_at(self.graph.position(var).ok_or_else(not_found)?, index, extent)
    }

    /// As [`element`](Self::element), of the variable at a position in [`variables`](Self::variables).
    ///
    /// # Errors
    /// If the variable has no gradient, or the index does not fit its shape.
    pub fn element_at(&self, variable: usize, index: &[usize], extent: Extent) -> Result<Element, ExplainError> {
        let of = &self.variables()[variable];
        if of.gradient.is_none() {
            return Err(ExplainError::NoGradient { name: of.name.clone(), known: self.known() });
        }
        let Some(flat) = ravel(index, &of.shape) else {
            return Err(ExplainError::Index { name: of.name.clone(), index: index.to_vec(), shape: of.shape.clone() });
        };
        Ok(self.tree(variable, flat, extent))
    }

    /// The variables that have a gradient, for messages.
    pub(crate) fn known(&self) -> Vec<String> {
        let known = self.variables().iter().filter(|variable| variable.gradient.is_some());
        known.map(|variable| format!("{} {}", variable.name, crate::number::shape_text(&variable.shape))).collect()
    }

    fn tree(&self, variable: usize, flat: usize, extent: Extent) -> Element {
        let mut element = self.terms(variable, flat);
        element.keep(extent.terms);
        self.name_factors(&mut element, flat);
        if extent.depth > 1 {
            for term in &mut element.terms {
                let output = self.steps()[term.step].output;
                let j = ravel(&term.output, &self.variables()[output].shape).expect("it is an index of the output");
                term.next = Some(Box::new(self.tree(output, j, Extent { depth: extent.depth - 1, ..extent })));
            }
        }
        element
    }

    /// Finds what the local derivatives of the listed terms are.
    pub(crate) fn name_factors(&self, element: &mut Element, flat: usize) {
        for &(step, input) in &self.graph.uses[element.variable] {
            if !element.terms.iter().any(|term| (term.step, term.input) == (step, input)) {
                continue;
            }
            let op = self.graph.operation(step);
            let found = sources(&op, input, flat, &column(&op, input, flat));
            for term in element.terms.iter_mut().filter(|term| (term.step, term.input) == (step, input)) {
                let shape = &self.variables()[self.steps()[step].output].shape;
                let source = ravel(&term.output, shape).and_then(|j| found[j]);
                term.factor = source.map(|(other, k)| {
                    let variable = self.steps()[step].inputs[other].variable;
                    Factor { variable, index: unravel(k, &self.variables()[variable].shape) }
                });
            }
        }
    }

    /// An element with all its terms, largest first. Terms whose local derivative is 0 are no terms.
    pub(crate) fn terms(&self, variable: usize, flat: usize) -> Element {
        let graph = &self.graph;
        let at = |tensor: &chainrule_tensor::TensorOf<T>| tensor.at(&unravel(flat, &tensor.shape())).to_f64();
        let (mut terms, mut blocked) = (Vec::new(), Vec::new());
        for &(step, input) in &graph.uses[variable] {
            let output = graph.walked[step].output;
            let dy = graph.gradients[output].as_ref().expect("the walk passed a gradient to the rule").to_vec();
            let local = column(&graph.operation(step), input, flat);
            let shape = &self.variables()[output].shape;
            let before = terms.len();
            for (j, (dy, local)) in dy.iter().zip(&local).enumerate().filter(|(_, (_, local))| **local != T::ZERO) {
                let (dy, local) = (dy.to_f64(), local.to_f64());
                let product = dy * local;
                let output = unravel(j, shape);
                terms.push(Term { step, input, output, dy, local, factor: None, product, next: None });
            }
            if terms.len() == before {
                blocked.push(Blocked { step, input });
            }
        }
        // Stable, so that equal terms stay in the order of their indices.
        terms.sort_by(|a, b| b.product.abs().total_cmp(&a.product.abs()));
        Element {
            variable,
            index: unravel(flat, &self.variables()[variable].shape),
            value: at(&graph.variables[variable].value()),
            gradient: graph.gradients[variable].as_ref().map_or(0.0, at),
            terms,
            rest: Rest::default(),
            blocked,
        }
    }
}

impl Element {
    /// Keeps the largest terms and sums the others. A rest of a single term is listed.
    pub(crate) fn keep(&mut self, count: usize) {
        if self.terms.len() <= count + 1 {
            return;
        }
        let rest = self.terms.split_off(count);
        self.rest = Rest {
            count: rest.len(),
            sum: accurate_sum(rest.iter().map(|term| term.product)),
            magnitude: accurate_sum(rest.iter().map(|term| term.product.abs())),
        };
    }
}
