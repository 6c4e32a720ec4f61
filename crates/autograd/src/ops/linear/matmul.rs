//! The matrix product.

use chainrule_tensor::Float;

use crate::graph::{Operation, Rule, Tangent, VarOf};

impl<T: Float> VarOf<T> {
    /// The matrix product over the last two axes; leading axes are broadcast: (…,M,K) · (…,K,N) → (…,M,N).
    ///
    /// `y = a·b`, `da = dy·bᵀ`, `db = aᵀ·dy`.
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    #[must_use]
    pub fn matmul(&self, b: &Self) -> Self {
        Self::record(self.value().matmul(&b.value()), [self, b], Matmul)
    }
}

struct Matmul;

impl<T: Float> Rule<T> for Matmul {
    describe! {
        name: "matmul",
        formula: "y = a · b",
        derivative: "da = dy · bᵀ, db = aᵀ · dy",
        saved: "a, b",
    }
    fn multiply_adds(&self, op: &Operation<T>) -> usize {
        let a = op.parent(0).shape();
        op.output().shape().numel() * a[a.rank() - 1]
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (a, b) = (op.parent(0), op.parent(1));
        vec![
            // (M, K) = (M, N) · (N, K)
            needs[0].then(|| dy.matmul(&b.transpose(-1, -2)).sum_to(a.shape())),
            // (K, N) = (K, M) · (M, N)
            needs[1].then(|| a.transpose(-1, -2).matmul(dy).sum_to(b.shape())),
        ]
    }
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        Some(Tangent::sum(op.output().shape(), Tangent::product(op, dx, VarOf::matmul)))
    }
}

#[cfg(test)]
mod tests {
    use crate::Var64;

    #[test]
    fn by_hand() {
        let a = Var64::parameter("a", [[1.0, 2.0], [3.0, 4.0]]);
        let b = Var64::parameter("b", [[5.0], [6.0]]);
        let y = a.matmul(&b);
        assert_eq!(y.value().to_vec(), [17.0, 39.0]);
        let g = (y * Var64::constant([[1.0], [10.0]])).sum().backward();
        assert_eq!(g[&a].to_vec(), [5.0, 6.0, 50.0, 60.0]);
        assert_eq!(g[&b].to_vec(), [31.0, 42.0]);
    }
}
