//! A tensor, reverse-mode autograd and CNN engine written from scratch
