//! Looking up rows of a table, composed of a gather.

use chainrule_tensor::{Float, Shape, TensorOf, positions};

use crate::graph::VarOf;
use crate::scope::open;

impl<T: Float> VarOf<T> {
    /// The rows of this table (rows, D) with these indices, of any shape (…) → (…, D). The gradient of a row is the sum of dy
    /// over all its uses, in their order (`torch.nn.functional.embedding`).
    ///
    /// # Panics
    /// If the table has not two axes or an index is out of range.
    #[track_caller]
    #[must_use]
    pub fn embedding(&self, indices: &TensorOf<i32>) -> Self {
        let (table, shape) = (self.shape(), indices.shape());
        assert!(table.rank() == 2, "embedding: the table has shape {table}\n  rule: table (rows, D)");
        let _scope = open("embedding");
        let rows = self.gather(0, &positions::along(table, 0, &indices.reshape(indices.numel())));
        rows.reshape(Shape::new(&[&shape[..], &[table[1]]].concat()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Var64;

    #[test]
    fn a_row_used_twice_gets_both_gradients() {
        let table = Var64::parameter("table", [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
        let y = table.embedding(&TensorOf::from([[2, 0], [2, 2]]));
        assert_eq!((y.shape(), y.value().to_vec()), ([2, 2, 2].into(), vec![5.0, 6.0, 1.0, 2.0, 5.0, 6.0, 5.0, 6.0]));
        assert_eq!(y.sum().backward()[&table].to_vec(), [1.0, 1.0, 0.0, 0.0, 3.0, 3.0]);
        assert_eq!(table.embedding(&TensorOf::scalar(1)).value().to_vec(), [3.0, 4.0]);
    }

    #[test]
    #[should_panic(expected = "index 3 is out of range")]
    fn an_index_out_of_range_is_named() {
        let _ = Var64::constant([[1.0, 2.0]; 3]).embedding(&[3].into());
    }
}
