//! Reverse-mode automatic differentiation for chainrule.
//!
//! A [`VarOf`] is a node of a graph: a value, the variables it was computed from, and the rule that computes their
//! gradients. [`VarOf::backward`] walks the graph once, from the newest node to the oldest, and depends on no
//! particular op; each op is in one file of `ops`. Rules compute with variables, so a gradient is itself a graph and
//! can be differentiated.
//!
//! Read `graph.rs`, `var.rs` and `walk.rs`, in this order, then a few files of `ops`; `docs/backprop.md` is a guided
//! tour. `internal` contains only optimizations.
//!
//! ```
//! use chainrule_autograd::Var64;
//! let x = Var64::parameter("x", 2.0);
//! let y = (&x * &x).exp();
//! let dy = y.gradient(&x); // 2x·exp(x²), itself a graph
//! assert!((dy.value().item() - 4.0 * 4f64.exp()).abs() < 1e-12);
//! ```

#![forbid(unsafe_code)]

mod attribute;
mod backward;
mod check;
pub mod formula;
mod forward;
mod functional;
mod gradients;
mod graph;
mod hooks;
mod internal;
pub mod non_finite;
mod observer;
mod operators;
mod ops;
mod parameter;
mod paths;
mod recompute;
mod recording;
mod replica_group;
mod scope;
mod tangent;
mod var;
mod walk;

pub use attribute::{Attribute, Setting};
pub use check::{CheckError, CheckOptions, gradcheck, gradcheck_with, gradgradcheck, gradgradcheck_with};
pub use functional::{hessian, hvp, jacobian, jvp, vjp};
pub use gradients::GradientsOf;
pub use graph::{Operation, Rule, Tangent, TangentSource, Var, Var64, VarOf};
pub use hooks::{map_records, watch_records};
pub use internal::value::Value;
pub use observer::Observer;
pub use ops::{BatchStatistics, CrossEntropy, NllLoss, Reduction};
pub use recompute::{computed_once, recompute};
pub use recording::{is_recording, no_grad};
pub use replica_group::ReplicaGroup;
pub use scope::{Scope, scope, scope_with};

/// The gradients of an `f32` graph.
pub type Gradients = GradientsOf<f32>;
