//! Views, broadcasting, padding, concatenation and indexing.

mod broadcast;
mod concat;
mod gather;
mod pad;
mod view;
