//! The drop of a graph without recursion.

use chainrule_tensor::{Float, Shared};
use smallvec::SmallVec;

use crate::graph::{Node, Recorded};

/// Operations without other handles.
type Doomed<T> = SmallVec<[Shared<Recorded<T>>; 8]>;

impl<T: Float> Drop for Recorded<T> {
    /// Drops long chains in a loop; the default drop would recurse for each node and overflow the stack.
    fn drop(&mut self) {
        let mut doomed = Doomed::new();
        release(self, &mut doomed);
        while let Some(mut node) = doomed.pop() {
            if let Some(node) = node.get_mut() {
                release(node, &mut doomed);
            }
        }
    }
}

/// Drops the edges of a node; operations without other handles are moved to `doomed`.
fn release<T: Float>(node: &mut Recorded<T>, doomed: &mut Doomed<T>) {
    while let Some(edge) = node.edges.pop() {
        if let Node::Computed(parent) = edge.parent.0
            && let Some(parent) = parent.last()
        {
            doomed.push(parent);
        }
    }
}
