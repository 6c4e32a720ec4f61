//! The MNIST digits, embedded, as published
