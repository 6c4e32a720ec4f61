//! Reverse-mode automatic differentiation for chainrule, with gradients of gradients and a finite-difference checker
