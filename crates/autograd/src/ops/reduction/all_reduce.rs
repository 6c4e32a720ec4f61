//! The sum over processes.

use std::sync::Arc;

use chainrule_tensor::{Float, Shape, TensorOf};

use crate::attribute::Attribute;
use crate::graph::VarOf;
use crate::ops::linear_map::{LinearMap, Text, linear};
use crate::replica_group::ReplicaGroup;

impl<T: Float> VarOf<T> {
    /// The sum of x over all processes of a group (`torch.distributed.nn.functional.all_reduce`).
    ///
    /// `y = Σ x[q]` over the processes q, on each of them. The loss is the sum of the losses of all processes, so its gradient is
    /// `dx = Σ dy[q]`.
    ///
    /// # Panics
    /// If the group fails, or returns another shape.
    #[track_caller]
    #[must_use]
    pub fn all_reduce(&self, group: &Arc<dyn ReplicaGroup<T>>) -> Self {
        let map = AllReduce { group: group.clone() };
        linear(self, map.sum(&self.value()), map)
    }
}

/// The map from x to its sum over the processes, which is its own adjoint.
struct AllReduce<T: Float> {
    group: Arc<dyn ReplicaGroup<T>>,
}

impl<T: Float> Clone for AllReduce<T> {
    fn clone(&self) -> Self {
        Self { group: self.group.clone() }
    }
}

impl<T: Float> AllReduce<T> {
    #[track_caller]
    fn sum(&self, x: &TensorOf<T>) -> TensorOf<T> {
        let y = self.group.all_reduce(&x.contiguous());
        assert!(
            y.shape() == x.shape(),
            "all_reduce: the group returned another shape\n  x = {}\n  y = {}\n  rule: every process passes the same shape",
            x.shape(),
            y.shape()
        );
        y
    }
}

impl<T: Float> LinearMap<T> for AllReduce<T> {
    const TEXTS: [Text; 2] = texts! {
        "all_reduce": "y = Σ_{q} x[q]" => "dx = Σ_{q} dy[q]", saves "nothing";
        "all_reduce backward": "dx = Σ_{q} dy[q]" => "d(dy) = Σ_{q} dz[q]", saves "nothing";
    };
    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::new("processes", self.group.size())]
    }
    fn apply(&self, x: &TensorOf<T>, _y: Shape) -> TensorOf<T> {
        self.sum(x)
    }
    fn adjoint(&self, dy: &TensorOf<T>, _x: Shape) -> TensorOf<T> {
        self.sum(dy)
    }
}
