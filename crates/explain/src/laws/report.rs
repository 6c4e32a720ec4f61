//! Experiments with broken laws as text.

use super::{Experiment, Law, Row};
use crate::number::{index_text, number};
use crate::text::{Document, Table, Tone};

impl Law {
    /// All laws.
    pub const ALL: [Self; 7] = [
        Self::SigmoidDerivative,
        Self::Accumulate,
        Self::TopologicalOrder,
        Self::StaleGradients,
        Self::Unbroadcast,
        Self::Transpose,
        Self::UpdateTooEarly,
    ];

    /// The name, such as `sigmoid-derivative`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SigmoidDerivative => "sigmoid-derivative",
            Self::Accumulate => "accumulate",
            Self::TopologicalOrder => "topological-order",
            Self::StaleGradients => "stale-gradients",
            Self::Unbroadcast => "unbroadcast",
            Self::Transpose => "transpose",
            Self::UpdateTooEarly => "update-too-early",
        }
    }

    /// The law, and what the broken walk does instead.
    #[must_use]
    pub fn statement(self) -> [&'static str; 2] {
        match self {
            Self::SigmoidDerivative => [
                "The slope of a sigmoid is σ(x)(1 − σ(x)) = y(1 − y), where x is its input and y its output.",
                "σ is applied to the output once more: the slope is σ(y)(1 − σ(y)).",
            ],
            Self::Accumulate => [
                "A value that is used more than once gets the sum of the gradients of all its uses.",
                "The gradient that arrives last replaces the others.",
            ],
            Self::TopologicalOrder => [
                "A value is visited when all its users were visited, so that its gradient is complete.",
                "Values are visited in the order in which they got their first gradient; what arrives later is lost.",
            ],
            Self::StaleGradients => {
                ["The gradients of a step start from zero.", "They are added to those of the step before."]
            }
            Self::Unbroadcast => [
                "A value that was repeated to fit a larger shape gets the sum of the gradients of its copies.",
                "It gets the gradient of its first copy.",
            ],
            Self::Transpose => [
                "A product y = a·b has the gradients da = dy·bᵀ and db = aᵀ·dy.",
                "The transposes are left out: da = dy·b and db = a·dy.",
            ],
            Self::UpdateTooEarly => [
                "All rules of one backward pass use the weights of the forward pass.",
                "A weight takes its step as soon as its gradient is known, and the gradient of the other input is computed with the new weight.",
            ],
        }
    }

    /// Why the law makes no difference in a net where it makes none.
    fn unneeded(self) -> &'static str {
        match self {
            Self::SigmoidDerivative => "the net has no sigmoid",
            Self::Accumulate => "no value of this net is used twice, so there is nothing to add",
            Self::TopologicalOrder => "no value of this net is used twice, so none can be visited too early",
            Self::StaleGradients => "there is no second step",
            Self::Unbroadcast => "nothing is broadcast in this net",
            Self::Transpose => "the net has no matrix product",
            Self::UpdateTooEarly => "no weight is multiplied by a value that needs a gradient",
        }
    }

    /// Why the loss behaves as it does.
    fn behavior(self) -> &'static str {
        match self {
            Self::SigmoidDerivative => {
                "The wrong slope is positive as the right one is, so each gradient keeps its sign as long as there is one sigmoid on its way, and the loss still falls: a wrong rule that trains. σ(y)(1 − σ(y)) lies between 0.19 and 0.25 for any y, so a saturated unit does not slow down, and the steps are too large where they should be small."
            }
            Self::Accumulate => {
                "The part of the gradient that comes by the other path is missing. What is left still points downhill in part, so the loss falls, but not along the steepest way; the parameters before the fan-out are the wrong ones."
            }
            Self::TopologicalOrder => {
                "The value with two users was visited when only one of its gradients had arrived. All that lies behind it, toward the inputs, misses the longer path; what lies between it and the loss is right."
            }
            Self::StaleGradients => {
                "The first step is right, which hides the mistake from a check of one step. From then on each step repeats all earlier ones, as momentum without friction: for a while the loss may even fall faster, then it overshoots and rises."
            }
            Self::Unbroadcast => {
                "Only the bias is wrong: of the sum over batch and pixels one term is left. The other parameters learn as before, so the loss falls almost as it should."
            }
            Self::Transpose => {
                "With different numbers of rows and columns the shapes do not fit, and the program stops. Here batch, width and classes are equal, so nothing stops: the gradient is another matrix of the same shape. The bias after the product still learns; what lies before it moves in a direction that has little to do with the loss."
            }
            Self::UpdateTooEarly => {
                "The error is that of one step of one weight: in the fourth digit where steps are small, and large where they are large. Either way the loss falls nearly as it should, so a training curve does not show it."
            }
        }
    }
}

impl Experiment {
    /// The report of the experiment.
    #[must_use]
    pub fn report(&self) -> Document {
        let mut document = Document::default();
        document.heading(format!("{} in {}", self.law.name(), self.title));
        let Some(first) = self.first else {
            document.paragraph(format!("Nothing changes: {}.", self.law.unneeded()));
            return document;
        };
        if let Some(text) = &self.caught {
            document.paragraph(format!("Stopped at step {first}: {text}."));
            return document;
        }
        document.paragraph(format!(
            "Step {first}, from the loss back to the parameters; each row is the element with the largest error:"
        ));
        let mut table =
            Table::new(&["gradient of", "right", "broken", "broken/right", "finite difference"], &[1, 2, 3, 4]);
        for row in &self.rows {
            let ratio = if row.right == 0.0 { String::new() } else { number(row.broken / row.right) };
            table.push(
                if row.is_wrong() { Tone::Warning } else { Tone::Normal },
                [
                    row.name.clone() + &index_text(&row.index),
                    number(row.right),
                    number(row.broken),
                    ratio,
                    number(row.difference),
                ],
            );
        }
        document.table(table);
        document.paragraph(self.located());
        let mut table = Table::new(&["loss before step", "right", "broken"], &[0, 1, 2]);
        for step in steps_to_show(self.losses.len()) {
            let [right, broken] = self.losses[step];
            table.push(Tone::Normal, [(step + 1).to_string(), number(right), number(broken)]);
        }
        document.table(table);
        document.paragraph(self.law.behavior());
        document
    }

    /// How finite differences lead to the broken place.
    fn located(&self) -> String {
        let wrong = self.rows.iter().find(|row| row.is_wrong()).expect("a reported step has a wrong gradient");
        let place = match &wrong.users[..] {
            [] => "in what is done with the gradient after the walk".to_owned(),
            [op] => format!("in the rule of {op}, or in what is done with its result"),
            ops => format!("in a rule of {}, or where their gradients are added", ops.join(", ")),
        };
        let found = if self.law == Law::StaleGradients {
            " (every rule is right, and so was step 1: what differs is what the gradients started from)"
        } else {
            ""
        };
        format!(
            "The first wrong gradient is that of {}. All gradients nearer to the loss are right, so the mistake is {place}{found}.",
            wrong.name
        )
    }

    /// The wrong gradients.
    pub fn wrong(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.is_wrong())
    }
}

/// The first steps and then ever fewer, with the last.
fn steps_to_show(steps: usize) -> Vec<usize> {
    let mut shown: Vec<usize> =
        [1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500].into_iter().filter(|&s| s < steps).map(|s| s - 1).collect();
    shown.extend(steps.checked_sub(1));
    shown
}
