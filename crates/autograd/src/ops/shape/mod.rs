//! Views, broadcasting, padding, concatenation and indexing.

mod arrange;
mod broadcast;
mod concat;
mod embedding;
mod gather;
mod index;
mod pad;
mod parts;
mod pixel_shuffle;
mod view;
