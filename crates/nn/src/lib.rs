//! Layers, initialisation, losses, optimizers, schedules and checkpoints for chainrule.

mod module;

pub use module::{BufferOf, Counter, Item, Mode, Module, Visitor};
