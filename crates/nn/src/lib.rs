//! Layers, initialization, losses, optimizers, schedules and checkpoints for chainrule.
//!
//! Losses are ops of [`chainrule_autograd::VarOf`]: `cross_entropy`, `soft_cross_entropy`, `nll_loss`, `bce_loss`,
//! `bce_with_logits`, `mse_loss`, `l1_loss`, `huber_loss`, `smooth_l1_loss`, `kl_div`, `hinge_embedding_loss`,
//! `margin_ranking_loss` and `cosine_embedding_loss`.

pub mod atomic_file;
mod chain;
mod checkpoint;
mod containers;
mod ema;
mod error;
mod gradient_report;
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
mod path_patterns;
mod plateau;
mod replay;
mod safetensors_file;
mod schedule;
mod snapshot;
mod state;
mod summary;
mod synchronization;
mod weights;

pub use chain::{chain, unfused};
pub use checkpoint::{Checkpoint, Progress, weights_sha256};
pub use ema::{Averaged, Ema};
pub use error::NnError;
pub use gradient_report::{GradientReport, GradientRow, Reach};
pub use hooks::{Hooked, Hooks, Paths};
pub use inference::Inference;
pub use layers::*;
pub use module::{BatchNormalization, Item, LayerKind, Module, Visitor};
pub use one_hot::one_hot;
pub use optim::{Adagrad, Adam, AdamW, GroupSettings, NAdam, Optimizer, RmsProp, Sgd, StateTensors};
pub use plateau::{PlateauMode, ReduceLrOnPlateau};
pub use replay::{Replay, Step};
pub use schedule::Schedule;
pub use snapshot::Snapshot;
pub use state::{BufferOf, Counter, Mode};
pub use summary::{Summary, SummaryRow};
pub use synchronization::{Synchronization, synchronize_batch_norm};
pub use weights::{
    Dtype, LoadOptions, LoadReport, StoredTensor, StoredTensors, load_weights, read_safetensors, save_weights,
    state_dict, write_safetensors,
};
