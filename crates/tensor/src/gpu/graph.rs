//! CUDA graphs: the launches of a step are captured once and then replayed as one launch.
//!
//! A replay uses the same addresses each time. So the buffers of a captured step come from a heap of its own, which no other
//! tensor uses, and what changes from step to step is in the device's step parameters.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chainrule_kernels::Family;
use cudarc::driver::{result, sys};

use super::context::{self, Gpu};
use super::heap::{Heap, with_heap};
use super::launch::{Argument, Grid};
use super::step_parameters::StepParameters;
use crate::error::TensorError;

/// The memory of a captured step.
#[derive(Clone)]
pub struct GraphMemory(Arc<Owned>);

struct Owned {
    gpu: &'static Gpu,
    heap: Arc<Heap>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.gpu.close(&self.heap);
    }
}

impl GraphMemory {
    /// A separate heap on a device.
    ///
    /// # Errors
    /// If the device cannot be used.
    pub fn new(ordinal: usize) -> Result<Self, TensorError> {
        Ok(Self(Arc::new(Owned { gpu: context::open(ordinal)?, heap: Arc::default() })))
    }

    /// Runs a step eagerly with this memory, which afterwards has all the blocks that such a step needs.
    pub fn run<R>(&self, step: impl FnOnce() -> R) -> R {
        with_heap(Some((self.0.gpu.ordinal(), &self.0.heap)), step)
    }

    /// Captures a step without executing it. Every replay overwrites the tensors that it returns.
    ///
    /// # Panics
    /// If the step panics, or transfers data between host and device.
    pub fn record<R>(&self, step: impl FnOnce() -> R) -> (Graph, R) {
        let gpu = self.0.gpu;
        let _lock = gpu.enter();
        // A first launch before the capture, so that its kernel is loaded.
        gpu.set_step_parameters(StepParameters { steps: 0, rate: 1.0 });
        gpu.set_recording(true);
        // Relaxed mode allows allocations, in case this step needs more memory than the one before.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream belongs to the device, and other threads wait until the capture has ended.
        let begun = unsafe { result::stream::begin_capture(gpu.stream, mode) };
        let outcome = begun.map(|()| {
            catch_unwind(AssertUnwindSafe(|| {
                let returned = self.run(step);
                gpu.set_step_parameters(StepParameters { steps: 0, rate: 1.0 });
                returned
            }))
        });
        // SAFETY: as above; ends the capture even if it failed.
        let recorded = unsafe { result::stream::end_capture(gpu.stream) };
        gpu.set_recording(false);
        let returned = gpu.check("capturing a step", outcome).unwrap_or_else(|panic| resume_unwind(panic));
        let graph = gpu.check("capturing a step", recorded);
        // SAFETY: the graph was just captured; it is not needed after instantiation.
        let executable = unsafe {
            let executable = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            gpu.check("destroying a graph", result::graph::destroy(graph));
            gpu.check("instantiating a graph", executable)
        };
        (Graph { executable, memory: self.clone() }, returned)
    }
}

impl Gpu {
    /// Sets the step parameters for later launches.
    fn set_step_parameters(&self, parameters: StepParameters) {
        let StepParameters { steps, rate } = parameters;
        // SAFETY: the block's step parameters are where the kernel writes.
        unsafe {
            let arguments: [&dyn Argument; 3] = [&self.step_block.parameters(), &steps, &rate];
            self.launch(Family::Optimizer, ("set", "step_parameters"), Grid { blocks: [1; 3], threads: 32 }, arguments);
        }
    }
}

/// A captured step.
pub struct Graph {
    executable: sys::CUgraphExec,
    memory: GraphMemory,
}

impl Graph {
    /// Replays the step: `steps` steps after the captured one, with `rate` times its learning rate.
    pub fn replay(&self, steps: u64, rate: f64) {
        let gpu = self.memory.0.gpu;
        let _lock = gpu.enter();
        gpu.set_step_parameters(StepParameters { steps, rate });
        gpu.counters.replays.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the captured step is instantiated, and its memory is allocated.
        gpu.check("launching a graph", unsafe { result::graph::launch(self.executable, gpu.stream) });
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let _lock = self.memory.0.gpu.enter();
        // SAFETY: it is not used any more; the driver completes a launch in progress.
        let outcome = unsafe { result::graph::exec_destroy(self.executable) };
        if !std::thread::panicking() {
            self.memory.0.gpu.check("destroying a captured step", outcome);
        }
    }
}
