//! Layers, initialisation, losses, optimizers, schedules and checkpoints for chainrule.
//!
//! Losses are ops: `cross_entropy`, `mse_loss`, `bce_loss` and `bce_with_logits` of [`chainrule_autograd::VarOf`].

pub mod init;
mod layers;
mod module;

pub use layers::*;
pub use module::{BufferOf, Counter, Item, Mode, Module, Visitor};
