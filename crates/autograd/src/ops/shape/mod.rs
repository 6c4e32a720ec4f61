//! Where elements lie: views, broadcasting, padding, concatenation, indexing.

mod broadcast;
mod concat;
mod gather;
mod pad;
mod view;
