//! Printing as NumPy does.

use std::fmt;

use crate::element::Element;
use crate::tensor::TensorOf;

impl<T: Element> fmt::Display for TensorOf<T> {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unimplemented!()
    }
}

impl<T: Element> fmt::Debug for TensorOf<T> {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unimplemented!()
    }
}
