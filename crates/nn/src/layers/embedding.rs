//! A table of vectors, one for each word.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Compare, Float, Rng, Shape, ShapeError, TensorOf};

use crate::init;
use crate::module::{Item, Module, Visitor};

/// A table whose rows are looked up by index: indices (…) → (…, D).
///
/// As a module in a sequence it takes the indices as floats, which are exact up to 2²⁴ in `f32`;
/// [`lookup`](Self::lookup) takes integers.
///
/// ```
/// use chainrule_nn::Embedding;
/// use chainrule_tensor::{Rng, TensorOf};
/// let words: Embedding = Embedding::new(1000, 16, &mut Rng::seed(0));
/// assert_eq!(words.lookup(&TensorOf::from([[3, 1, 4], [1, 5, 9]])).shape(), [2, 3, 16]);
/// ```
pub struct Embedding<T: Float = f32> {
    /// (rows, D).
    pub weight: VarOf<T>,
    padding: Option<usize>,
}

impl<T: Float> Embedding<T> {
    /// A table of so many rows of D numbers, drawn from the standard normal distribution, as in `PyTorch`.
    pub fn new(rows: usize, width: usize, rng: &mut Rng) -> Self {
        let weight = VarOf::parameter("weight", TensorOf::zeros([rows, width]));
        init::normal(&weight, 0.0, 1.0, rng);
        Self { weight, padding: None }
    }

    /// Sets a row to 0, which then gets no gradient: that of padding (`padding_idx` in `PyTorch`).
    ///
    /// # Panics
    /// If there is no such row.
    #[track_caller]
    #[must_use]
    pub fn padding(self, row: usize) -> Self {
        let [rows, width] = [self.weight.shape()[0], self.weight.shape()[1]];
        assert!(row < rows, "Embedding: the padding is row {row}\n  rule: one of {rows} rows");
        self.weight.update(|weight| weight.assign_slice(0, row, 1, &TensorOf::zeros([1, width])));
        Self { padding: Some(row), ..self }
    }

    /// The rows with these indices: (…) → (…, D).
    ///
    /// # Panics
    /// If an index is out of range.
    #[track_caller]
    pub fn lookup(&self, indices: &TensorOf<i32>) -> VarOf<T> {
        let y = self.weight.embedding(indices);
        let Some(padding) = self.padding else { return y };
        let other = indices.compare(Compare::NotEqual, &TensorOf::scalar(padding as i32));
        y.select(&other.unsqueeze(-1), &y.detach())
    }
}

impl<T: Float> Module<T> for Embedding<T> {
    #[track_caller]
    fn forward(&self, x: &VarOf<T>) -> VarOf<T> {
        self.lookup(&x.value().to_i32())
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        visitor.item("weight", Item::Parameter(&self.weight));
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        Ok(Shape::new(&[&x[..], &[self.weight.shape()[1]]].concat()))
    }
}
