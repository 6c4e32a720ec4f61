//! The result of [`VarOf::value`](crate::VarOf::value), which avoids copies.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use chainrule_tensor::{Float, TensorOf};

/// The value of a variable; dereferences to the tensor. It borrows the tensor, or for a parameter holds another handle
/// of it, so that the lock of the parameter is not held while a kernel runs.
///
/// `value.clone()` is the tensor itself.
pub struct Value<'a, T: Float>(pub(crate) Cow<'a, TensorOf<T>>);

impl<T: Float> Deref for Value<'_, T> {
    type Target = TensorOf<T>;
    #[inline]
    fn deref(&self) -> &TensorOf<T> {
        &self.0
    }
}

impl<T: Float> fmt::Debug for Value<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: Float> fmt::Display for Value<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl<T: Float> PartialEq for Value<'_, T>
where
    TensorOf<T>: PartialEq,
{
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Float> From<Value<'_, T>> for TensorOf<T> {
    fn from(value: Value<'_, T>) -> Self {
        value.0.into_owned()
    }
}
