//! Checks derivations done by hand: grades a student's numbers and formulas, and names the mistakes.
//!
//! A [`Sheet`] is read from a TOML file. Its problem becomes a chain of named quantities, each with an expression in
//! terms of earlier ones. An answer passes if it fits the exact value, or follows from the student's own earlier answers,
//! each taken as an interval of one unit of its last digit. Otherwise the expressions are changed in every way that is
//! a known mistake, and those that give the student's value are listed.
//!
//! ```
//! use chainrule_explain::checker::Sheet;
//! let sheet = Sheet::parse(r#"
//!     [net]
//!     layers = [1, 1]
//!     activations = ["sigmoid"]
//!     biases = "none"
//!     [given]
//!     i = 2
//!     w1 = 0.5
//!     t = 1
//!     [answers]
//!     o_in = "1"
//!     o = "0.7311"
//!     dE_dw1 = "-0.5379"        # −(1 − o)·i: the slope o(1 − o) is forgotten
//! "#).unwrap();
//! let report = sheet.grade();
//! assert_eq!(report.lines[1].verdict.text(), "right");
//! assert!(report.lines[2].verdict.remarks()[0].starts_with("slope of the activation forgotten"));
//! ```

mod answer;
mod chain;
mod class;
mod draw;
mod expression;
mod grade;
mod interval;
mod kind;
mod kinds;
mod matrices;
mod mistakes;
mod read;
mod sheet;
mod symbolic;
mod verdict;
mod worksheet;

/// The notation of formulas in answers.
pub use chainrule_autograd::formula;
pub use class::{Class, Common, Row};
pub use expression::Activation;
pub use kind::Kind as MistakeKind;
pub use kinds::{
    BatchNorm, Biases, Convolution, Loss, LossFunction, Momentum, Net, Optimizer, Pooling, Reduction, Update,
};
pub use matrices::{Form, Matrices};
pub use sheet::{Kind, Name, Problem, Sheet, SheetError};
pub use verdict::{Line, Mistake, Report, Verdict};
pub use worksheet::{Question, Worksheet, WorksheetError};

use interval::Interval;
