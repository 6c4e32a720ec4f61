//! The processes as layers see them, which compute by the data of all.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use chainrule_autograd::ReplicaGroup;
use chainrule_tensor::TensorOf;

use crate::buffer::Reducible;
use crate::communicator::{Communicator, Pending};

thread_local! {
    /// The communicator of this thread, which may be used by no other: layers are shared among threads and cannot hold it.
    static JOINED: RefCell<Option<Rc<dyn Communicator>>> = const { RefCell::new(None) };
}

/// The group of all processes, for [`synchronize_batch_norm`](chainrule_nn::synchronize_batch_norm). The forward and backward
/// passes of its layers run on the thread that made it.
///
/// If another process does not take part in an operation in time, the operation panics with the text of the error.
#[derive(Debug)]
pub struct Group(());

impl Group {
    /// The group of a communicator's processes, in place of that which this thread had.
    #[expect(clippy::new_ret_no_self, reason = "layers take the group in this form")]
    pub fn new<T: Reducible>(communicator: Rc<dyn Communicator>) -> Arc<dyn ReplicaGroup<T>> {
        JOINED.set(Some(communicator));
        Arc::new(Self(()))
    }

    /// Leaves the processes to their own data again.
    pub fn leave() {
        JOINED.set(None);
    }

    /// Runs `body` by the data of this process alone: the others do not run it.
    pub fn alone<R>(body: impl FnOnce() -> R) -> R {
        struct Join(Option<Rc<dyn Communicator>>);
        impl Drop for Join {
            fn drop(&mut self) {
                JOINED.set(self.0.take());
            }
        }
        let _join = Join(JOINED.take());
        body()
    }
}

/// The result of an operation of all processes; `x` itself if this one is alone.
fn result<T: Reducible>(
    x: &TensorOf<T>,
    start: impl for<'c> FnOnce(&'c dyn Communicator) -> Box<dyn Pending + 'c>,
) -> TensorOf<T> {
    let Some(communicator) = JOINED.with_borrow(Clone::clone) else { return x.clone() };
    match start(&*communicator).wait() {
        Ok(found) => T::from_buffer(found),
        Err(error) => panic!("{error}"),
    }
}

impl<T: Reducible> ReplicaGroup<T> for Group {
    fn size(&self) -> usize {
        JOINED.with_borrow(|joined| joined.as_ref().map_or(1, |communicator| communicator.size()))
    }

    fn all_reduce(&self, x: &TensorOf<T>) -> TensorOf<T> {
        result(x, |communicator| communicator.all_reduce(T::into_buffer(x))).reshape(x.shape())
    }

    fn all_gather(&self, x: &TensorOf<T>) -> TensorOf<T> {
        let processes = ReplicaGroup::<T>::size(self);
        let shape: Vec<usize> = std::iter::once(processes).chain(x.shape().to_vec()).collect();
        result(x, |communicator| communicator.all_gather(T::into_buffer(x))).reshape(shape.as_slice())
    }
}
