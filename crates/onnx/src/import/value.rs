//! The values of a pass.

use chainrule_autograd::Var;
use chainrule_tensor::{Shape, Tensor};

/// A tensor of a model.
#[derive(Clone)]
pub(super) enum Value {
    Float(Float),
    Integers(Integers),
}

/// A tensor of floats. Where only shapes are computed, most have no elements.
#[derive(Clone)]
pub(super) struct Float {
    pub(super) shape: Shape,
    var: Option<Var>,
}

/// A tensor of integers or truth values: shapes, axes, indices, masks. Always with elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Integers {
    pub(super) dims: Vec<usize>,
    pub(super) values: Vec<i64>,
}

impl Float {
    pub(super) fn new(var: Var) -> Self {
        Self { shape: var.shape(), var: Some(var) }
    }

    /// A tensor of which only the shape is known.
    pub(super) fn unknown(shape: Shape) -> Self {
        Self { shape, var: None }
    }

    pub(super) fn constant(value: Tensor) -> Self {
        Self::new(Var::constant(value))
    }

    /// Whether its elements are known.
    pub(super) fn is_known(&self) -> bool {
        self.var.is_some()
    }

    /// Its elements, which must be known.
    pub(super) fn var(&self) -> &Var {
        self.var.as_ref().expect("the elements of all operands are known where something is computed")
    }

    pub(super) fn rank(&self) -> usize {
        self.shape.rank()
    }

    /// The number, if this is a single one that is not learned and does not depend on what is.
    pub(super) fn number(&self) -> Option<f64> {
        let var =
            self.var.as_ref().filter(|var| self.shape.numel() == 1 && !var.is_parameter() && !var.requires_grad())?;
        Some(var.item().into())
    }

    /// The elements of a setting, such as the factors of a resize.
    ///
    /// # Errors
    /// If they depend on data that is not known while shapes are computed.
    pub(super) fn setting(&self, what: &str) -> Result<Vec<f32>, String> {
        let var = self.var.as_ref().ok_or_else(|| format!("{what} depends on the data\n  rule: it is a constant"))?;
        Ok(var.value().to_vec())
    }
}

impl Integers {
    pub(super) fn list(values: Vec<i64>) -> Self {
        Self { dims: vec![values.len()], values }
    }
}

impl From<Float> for Value {
    fn from(x: Float) -> Self {
        Self::Float(x)
    }
}

impl From<Integers> for Value {
    fn from(x: Integers) -> Self {
        Self::Integers(x)
    }
}

/// The inputs of a node; `None` is an optional one that is not given.
pub(super) struct Operands<'a>(pub(super) Vec<Option<&'a Value>>);

impl Operands<'_> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn optional(&self, i: usize) -> Option<&Value> {
        self.0.get(i).copied().flatten()
    }

    pub(super) fn get(&self, i: usize) -> Result<&Value, String> {
        self.optional(i).ok_or_else(|| format!("input {i} is missing"))
    }

    pub(super) fn float(&self, i: usize) -> Result<&Float, String> {
        match self.get(i)? {
            Value::Float(x) => Ok(x),
            Value::Integers(_) => Err(format!("input {i} has integers\n  rule: this operator is supported for floats")),
        }
    }

    pub(super) fn optional_float(&self, i: usize) -> Result<Option<&Float>, String> {
        self.optional(i).map(|_| self.float(i)).transpose()
    }

    pub(super) fn integers(&self, i: usize) -> Result<&Integers, String> {
        match self.get(i)? {
            Value::Integers(x) => Ok(x),
            Value::Float(_) => Err(format!("input {i} has floats\n  rule: it is a tensor of integers")),
        }
    }

    pub(super) fn optional_integers(&self, i: usize) -> Result<Option<&Integers>, String> {
        self.optional(i).map(|_| self.integers(i)).transpose()
    }
}
