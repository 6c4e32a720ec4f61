//! The matrix product.

use chainrule_tensor::shape_rules::{self, arrange};
use chainrule_tensor::{Float, OrPanic};

use crate::graph::{Operation, Rule, Tangent, VarOf};
use crate::scope::open;

impl<T: Float> VarOf<T> {
    /// The matrix product over the last two axes; leading axes are broadcast: (…,M,K) · (…,K,N) → (…,M,N). A vector on either
    /// side is a row or a column without its axis: (K) · (K) → (), (K) · (…,K,N) → (…,N), (…,M,K) · (K) → (…,M).
    ///
    /// `y = a·b`, `da = dy·bᵀ`, `db = aᵀ·dy`.
    ///
    /// # Panics
    /// If the shapes do not match.
    #[track_caller]
    #[must_use]
    pub fn matmul(&self, b: &Self) -> Self {
        let vectors = [self.shape().rank() == 1, b.shape().rank() == 1];
        if vectors != [false, false] {
            let shape = shape_rules::matmul(self.shape(), b.shape()).or_panic();
            let row = if vectors[0] { self.unsqueeze(0) } else { self.clone() };
            let column = if vectors[1] { b.unsqueeze(1) } else { b.clone() };
            return row.matmul(&column).reshape(shape);
        }
        Self::record(self.value().matmul(&b.value()), [self, b], Matmul)
    }

    /// `y = Σ_i a[i] · b[i]`: (n) · (n) → (); `da = dy · b`, `db = dy · a`.
    ///
    /// # Panics
    /// If the operands are not two vectors of equal length.
    #[track_caller]
    #[must_use]
    pub fn dot(&self, b: &Self) -> Self {
        arrange::vectors("dot", self.shape(), b.shape()).or_panic();
        let _scope = open("dot");
        self.matmul(b)
    }

    /// `y[i,j] = a[i] · b[j]`: (n), (m) → (n, m); `da = dy · b`, `db = dyᵀ · a`.
    ///
    /// # Panics
    /// If an operand has not one axis.
    #[track_caller]
    #[must_use]
    pub fn outer(&self, b: &Self) -> Self {
        arrange::vectors("outer", self.shape(), b.shape()).or_panic();
        let _scope = open("outer");
        self.unsqueeze(1) * b
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

    #[test]
    fn vectors_on_either_side() {
        let (a, b) = (Var64::parameter("a", [1.0, 2.0]), Var64::parameter("b", [3.0, 4.0]));
        let m = Var64::constant([[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!((a.matmul(&m).value().to_vec(), m.matmul(&a).value().to_vec()), (vec![7.0, 10.0], vec![5.0, 11.0]));
        let y = a.dot(&b);
        assert_eq!((y.shape().rank(), y.item(), y.backward()[&a].to_vec()), (0, 11.0, vec![3.0, 4.0]));
        assert_eq!(a.outer(&b).value().to_vec(), [3.0, 4.0, 6.0, 8.0]);
    }

    #[test]
    #[should_panic(
        expected = "matmul: inner dimensions differ, a has K = 2, b has K = 3\n  a (…,M,K) = (2,)\n  b (…,K,N) = (3, 1)\n  rule: a.K == b.K; a vector is (K)"
    )]
    fn a_vector_of_another_length() {
        let _ = Var64::constant([1.0, 2.0]).matmul(&Var64::constant([[1.0], [2.0], [3.0]]));
    }

    #[test]
    #[should_panic(expected = "dot: both operands have one axis\n  a (n) = (2,)\n  b (m) = (1, 1)\n  rule: vectors")]
    fn a_dot_product_is_of_vectors() {
        let _ = Var64::constant([1.0, 2.0]).dot(&Var64::constant([[1.0]]));
    }
}
