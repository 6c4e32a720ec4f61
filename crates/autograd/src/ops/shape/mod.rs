//! Views, broadcasting, padding, concatenation and indexing.

mod arrange;
mod broadcast;
mod concat;
mod gather;
mod index;
mod pad;
mod parts;
mod view;
