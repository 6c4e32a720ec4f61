//! Layers, initialization, losses, optimizers, schedules and checkpoints for chainrule.
//!
//! Losses are ops: `cross_entropy`, `soft_cross_entropy`, `mse_loss`, `bce_loss` and `bce_with_logits` of
//! [`chainrule_autograd::VarOf`].

pub mod atomic_file;
mod chain;
mod checkpoint;
mod containers;
mod ema;
mod error;
mod hooks;
mod inference;
pub mod init;
pub mod inspect;
mod layers;
mod module;
pub mod nets;
mod one_hot;
mod optim;
mod parameter_table;
mod replay;
mod safetensors_file;
mod schedule;
mod snapshot;
mod state;
mod summary;
mod weights;

pub use chain::{chain, unfused};
pub use checkpoint::{Checkpoint, Progress, weights_sha256};
pub use ema::{Averaged, Ema};
pub use error::NnError;
pub use hooks::{Hooked, Hooks, Paths};
pub use inference::Inference;
pub use layers::*;
pub use module::{BatchNormalization, Item, LayerKind, Module, Visitor};
pub use one_hot::one_hot;
pub use optim::{Adam, AdamW, GroupSettings, Optimizer, Sgd, StateTensors};
pub use replay::{Replay, Step};
pub use schedule::Schedule;
pub use snapshot::Snapshot;
pub use state::{BufferOf, Counter, Mode};
pub use summary::{Summary, SummaryRow};
pub use weights::{
    Dtype, LoadOptions, LoadReport, StoredTensor, StoredTensors, load_weights, read_safetensors, save_weights,
    state_dict, write_safetensors,
};
