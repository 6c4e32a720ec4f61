//! An operation on tensors of one type.

use std::fmt;
use std::mem::{forget, take};

use chainrule_tensor::cuda::Mark;
use chainrule_tensor::{Device, Element, TensorOf};

use super::communicator::Nccl;
use super::library::{Call, DataType, IN_PROGRESS, Kind, SUCCESS};
use crate::buffer::Buffer;
use crate::communicator::Pending;
use crate::error::DistributedError;

type Result<T, E = DistributedError> = std::result::Result<T, E>;

/// An element type of which NCCL carries tensors.
pub(super) trait Wire: Element {
    const DATA_TYPE: DataType;
}

impl Wire for u8 {
    const DATA_TYPE: DataType = DataType::U8;
}
impl Wire for f32 {
    const DATA_TYPE: DataType = DataType::F32;
}
impl Wire for f64 {
    const DATA_TYPE: DataType = DataType::F64;
}

/// An operation in messages.
#[derive(Clone, Copy)]
struct Name {
    kind: Kind,
    number: u64,
    count: usize,
    element: &'static str,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, number, count, element } = *self;
        let kind = match kind {
            Kind::AllReduce => "all-reduce",
            Kind::AllGather => "all-gather",
        };
        write!(f, "operation {number}, {kind} of {count} {element}")
    }
}

/// An operation that a GPU has in its queue.
pub(super) struct Operation<'a, T: Wire> {
    nccl: &'a Nccl,
    name: Name,
    tensors: Option<[TensorOf<T>; 2]>,
    done: Mark,
}

impl<'a, T: Wire> Operation<'a, T> {
    /// Queues an operation on a tensor (n).
    pub(super) fn start(nccl: &'a Nccl, kind: Kind, x: &TensorOf<T>) -> Result<Self> {
        let number = nccl.begin()?;
        let send = x.to(Device::Cuda(nccl.ordinal)).contiguous();
        let count = send.numel();
        let name = Name { kind, number, count, element: T::NAME };
        let receive = nccl.stream.tensor::<T>(if kind == Kind::AllGather { nccl.place.size * count } else { count });
        let address = |x: &TensorOf<T>| x.gpu_address().expect("it is on the GPU");
        let (from, to) = (address(&send), address(&receive));
        let status = nccl.stream.queue(|stream| {
            let call = Call { send: from, receive: to, count, data_type: T::DATA_TYPE, stream };
            // SAFETY: both tensors have so many elements, and are kept until the stream has run the operation.
            unsafe { nccl.library.queue(nccl.comm, kind, call) }
        });
        // NCCL queues it in a thread, after it has connected to the processes with which it shares no operation yet.
        let queued = match status {
            SUCCESS => Ok(()),
            IN_PROGRESS => nccl.poll(&name, |state| Ok(state == SUCCESS)),
            status => Err(nccl.fail(&name, status)),
        };
        if let Err(error) = queued {
            forget([send, receive]);
            return Err(error);
        }
        Ok(Self { nccl, name, tensors: Some([send, receive]), done: nccl.stream.mark() })
    }

    /// Waits for the result.
    pub(super) fn complete(mut self) -> Result<TensorOf<T>> {
        self.nccl.poll(&self.name, |_| self.done.is_reached())?;
        let [_, receive] = take(&mut self.tensors).expect("it is completed once");
        Ok(receive)
    }
}

impl<T: Wire> Drop for Operation<'_, T> {
    fn drop(&mut self) {
        // The GPU can still be reading and writing them, or never end if another process does not take part.
        if self.tensors.is_some() && self.done.is_reached() != Ok(true) {
            forget(take(&mut self.tensors));
        }
    }
}

/// An operation whose result is a buffer on the device from which it came, or the error of its start.
pub(super) struct Started<'a, T: Wire> {
    pub(super) operation: Result<Operation<'a, T>>,
    pub(super) device: Device,
    pub(super) wrap: fn(TensorOf<T>) -> Buffer,
}

impl<T: Wire> Pending for Started<'_, T> {
    /// Nothing: NCCL and the GPU work by themselves.
    fn progress(&mut self) {}

    fn wait(self: Box<Self>) -> Result<Buffer> {
        let Self { operation, device, wrap } = *self;
        operation?.complete().map(|x| wrap(x).to(device))
    }
}
