//! MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100, image folders, transforms and a prefetching loader for chainrule.
//!
//! Every source is loaded into one in-memory form, [`Dataset`]: 8-bit [`Images`] with labels. Reading files or the network
//! returns a [`Result`] whose error says where, what was expected and found, and what to do.

#![forbid(unsafe_code)]

mod archive;
mod cifar;
pub mod cifar10;
pub mod cifar100;
mod dataset;
#[cfg(feature = "download")]
mod download;
mod epoch;
mod error;
pub mod fashion_mnist;
mod files;
pub mod idx;
mod idx_dataset;
#[cfg(feature = "images")]
mod image_file;
#[cfg(feature = "images")]
pub mod image_folder;
mod k_means;
mod loader;
mod mixup;
pub mod mnist;
#[cfg(feature = "images")]
mod orientation;
mod palette;
#[cfg(feature = "images")]
mod picture;
mod streams;
mod transform;

pub use dataset::{Dataset, Images};
#[cfg(feature = "download")]
pub use download::{Downloader, Progress, RemoteFile};
pub use epoch::Epoch;
pub use error::{DataError, Result};
pub use k_means::{Clusters, k_means};
pub use loader::{Batch, Features, Loader};
pub use palette::{Palette, mean_gray};
#[cfg(feature = "images")]
pub use picture::{Picture, Prepared};
pub use transform::{
    AlternatingFlip, CenterCrop, ColorJitter, Cutout, Interpolation, Invert, Normalize, Origin, PaddingMode,
    RandomAffine, RandomCrop, RandomHorizontalFlip, RandomRotation, Resize, Sample, Transform,
};
