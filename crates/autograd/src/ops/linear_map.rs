//! Linear ops of one input, `y = A·x`: the derivative is the adjoint, `dx = Aᵀ·dy`, whose derivative is A again.
//! The tangent is the op itself.

use chainrule_tensor::{Float, Shape, TensorOf};

use crate::attribute::Attribute;
use crate::graph::{Operation, Rule, Tangent, VarOf};
pub(super) use crate::ops::Text;

/// A linear map A and its adjoint Aᵀ, which satisfy `⟨dy, A·x⟩ = ⟨Aᵀ·dy, x⟩`.
pub(super) trait LinearMap<T: Float>: Clone + Send + Sync + 'static {
    /// The texts of A and of Aᵀ. The first has input x and output y, the second, unless it is an op that users call,
    /// input dy and output dx.
    const TEXTS: [Text; 2];

    /// The settings of A, which Aᵀ has too.
    fn attributes(&self) -> Vec<Attribute> {
        Vec::new()
    }

    /// `A·x`, of shape `y`.
    fn apply(&self, x: &TensorOf<T>, y: Shape) -> TensorOf<T>;

    /// `Aᵀ·dy`, of shape `x`.
    fn adjoint(&self, dy: &TensorOf<T>, x: Shape) -> TensorOf<T>;
}

/// The rule of A or, if `ADJOINT`, of Aᵀ.
pub(super) struct Linear<M, const ADJOINT: bool>(M);

/// Records `y = A·x`.
#[track_caller]
pub(super) fn linear<T: Float, M: LinearMap<T>>(x: &VarOf<T>, y: TensorOf<T>, map: M) -> VarOf<T> {
    VarOf::record(y, [x], Linear::<M, false>(map))
}

/// Records `dx = Aᵀ·dy`.
#[track_caller]
pub(super) fn adjoint<T: Float, M: LinearMap<T>>(dy: &VarOf<T>, dx: TensorOf<T>, map: M) -> VarOf<T> {
    VarOf::record(dx, [dy], Linear::<M, true>(map))
}

impl<M, const ADJOINT: bool> Linear<M, ADJOINT> {
    /// `A·x` of a shape, as an op.
    fn apply<T: Float>(&self, x: &VarOf<T>, shape: Shape) -> VarOf<T>
    where
        M: LinearMap<T>,
    {
        linear(x, self.0.apply(&x.value(), shape), self.0.clone())
    }

    /// `Aᵀ·x` of a shape, as an op.
    fn adjoint<T: Float>(&self, x: &VarOf<T>, shape: Shape) -> VarOf<T>
    where
        M: LinearMap<T>,
    {
        adjoint(x, self.0.adjoint(&x.value(), shape), self.0.clone())
    }

    fn text<T: Float>() -> &'static Text
    where
        M: LinearMap<T>,
    {
        const { &M::TEXTS[ADJOINT as usize] }
    }
}

impl<T: Float, M: LinearMap<T>, const ADJOINT: bool> Rule<T> for Linear<M, ADJOINT> {
    fn name(&self) -> &'static str {
        Self::text().name
    }
    fn formula(&self) -> &'static str {
        Self::text().formula
    }
    fn derivative(&self) -> &'static str {
        Self::text().derivative
    }
    fn attributes(&self) -> Vec<Attribute> {
        self.0.attributes()
    }
    fn saved(&self) -> &'static str {
        Self::text().saved
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let x = op.parent(0).shape();
        vec![Some(if ADJOINT { self.apply(dy, x) } else { self.adjoint(dy, x) })]
    }
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        let y = op.output().shape();
        let dx = dx[0].as_ref()?;
        Some(Tangent::forward(if ADJOINT { self.adjoint(dx, y) } else { self.apply(dx, y) }))
    }
}
