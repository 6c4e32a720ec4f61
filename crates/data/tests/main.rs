//! The data sources and the loader, in one program: it links once.

mod download;
mod image_folder;
mod image_kinds;
mod loader;
mod sources;
