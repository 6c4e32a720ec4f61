//! Explanations of gradients: every number of a backward pass with its formula, and derivations checked.
#![forbid(unsafe_code)]
