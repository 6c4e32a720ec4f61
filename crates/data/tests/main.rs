//! The data sources and the loader, in one program: it links once.

mod bounds;
mod cifar100;
mod download;
mod idx_variants;
mod image_folder;
mod image_folder_divided;
mod image_folder_found;
mod image_kinds;
mod loader;
mod mutations;
mod mutator;
mod peak;
mod picture;
mod sources;
mod transforms;
