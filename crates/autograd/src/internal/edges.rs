//! The edges of the graph, in effect a vector of parents, and the drop of a graph without recursion.

use std::ops::Deref;

use chainrule_tensor::{Float, Shared};
use smallvec::SmallVec;

use crate::operation::Recorded;
use crate::var::{Node, VarOf};

/// An edge from an operation to one of its inputs.
pub(crate) struct Edge<T: Float> {
    pub(crate) parent: VarOf<T>,
    /// The parameter's version when the operation was recorded.
    version: u64,
}

impl<T: Float> Edge<T> {
    /// Whether the input still has the value that the operation used.
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        self.parent.version() == self.version
    }
}

/// The edges of an operation. Up to three are stored in the node itself.
pub(crate) struct Edges<T: Float>(SmallVec<[Edge<T>; 3]>);

impl<T: Float> Edges<T> {
    pub(crate) fn to<'a>(parents: impl IntoIterator<Item = &'a VarOf<T>>) -> Self {
        let mut edges = SmallVec::new();
        for parent in parents {
            edges.push(Edge { parent: parent.clone(), version: parent.version() });
        }
        Self(edges)
    }
}

impl<T: Float> Deref for Edges<T> {
    type Target = [Edge<T>];
    #[inline]
    fn deref(&self) -> &[Edge<T>] {
        &self.0
    }
}

impl<T: Float> Drop for Recorded<T> {
    /// Drops long chains in a loop; the default drop would recurse for each node and overflow the stack.
    fn drop(&mut self) {
        let mut doomed = SmallVec::<[Shared<Self>; 8]>::new();
        self.edges.release(&mut doomed);
        while let Some(mut node) = doomed.pop() {
            if let Some(node) = node.get_mut() {
                node.edges.release(&mut doomed);
            }
        }
    }
}

impl<T: Float> Edges<T> {
    /// Drops all edges; operations without other handles are moved to `doomed`.
    fn release(&mut self, doomed: &mut SmallVec<[Shared<Recorded<T>>; 8]>) {
        while let Some(edge) = self.0.pop() {
            if let Node::Computed(recorded) = edge.parent.0
                && let Some(recorded) = recorded.last()
            {
                doomed.push(recorded);
            }
        }
    }
}
