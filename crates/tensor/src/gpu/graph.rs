//! Recorded steps: what a step launches is recorded once and then started as one.
//!
//! A replay does the very same with the very same addresses. So a step's buffers come from memory of its own, which
//! no other tensor uses, and what changes from step to step is in the device's step parameters.

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

/// The memory of a recorded step.
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
    /// Memory of its own on a device.
    ///
    /// # Errors
    /// If the device cannot be used.
    pub fn new(ordinal: usize) -> Result<Self, TensorError> {
        Ok(Self(Arc::new(Owned { gpu: context::open(ordinal)?, heap: Arc::default() })))
    }

    /// Runs a step as any other, but in this memory: afterwards it has all the blocks that such a step needs.
    pub fn run<R>(&self, step: impl FnOnce() -> R) -> R {
        with_heap(Some((self.0.gpu.ordinal(), &self.0.heap)), step)
    }

    /// Records a step without running it. What it returns are tensors whose numbers each replay writes anew.
    ///
    /// # Panics
    /// If the step panics, reads a number from the device or sends one there.
    pub fn record<R>(&self, step: impl FnOnce() -> R) -> (Graph, R) {
        let gpu = self.0.gpu;
        let _lock = gpu.enter();
        // Whatever a first launch of it needs, such as loading the kernel, is done before.
        gpu.set_step_parameters(StepParameters { steps: 0, rate: 1.0 });
        gpu.set_recording(true);
        // Relaxed: memory may be asked for, which happens if this step needs more than the one before.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream is the device's own, and other threads wait until the recording is over.
        let begun = unsafe { result::stream::begin_capture(gpu.stream, mode) };
        let outcome = begun.map(|()| {
            catch_unwind(AssertUnwindSafe(|| {
                let returned = self.run(step);
                gpu.set_step_parameters(StepParameters { steps: 0, rate: 1.0 });
                returned
            }))
        });
        // SAFETY: as above; ends the recording whatever became of it.
        let recorded = unsafe { result::stream::end_capture(gpu.stream) };
        gpu.set_recording(false);
        let returned = gpu.check("recording a step", outcome).unwrap_or_else(|panic| resume_unwind(panic));
        let graph = gpu.check("recording a step", recorded);
        // SAFETY: the graph was just recorded; it is not needed once it is made ready to run.
        let executable = unsafe {
            let executable = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            gpu.check("discarding a recording", result::graph::destroy(graph));
            gpu.check("making a recorded step ready", executable)
        };
        (Graph { executable, memory: self.clone() }, returned)
    }
}

impl Gpu {
    /// Sets the step parameters for what is launched from now on.
    fn set_step_parameters(&self, parameters: StepParameters) {
        let StepParameters { steps, rate } = parameters;
        // SAFETY: the block's step parameters are where the kernel writes.
        unsafe {
            let arguments: [&dyn Argument; 3] = [&self.step_block.parameters(), &steps, &rate];
            self.launch(Family::Optimizer, ("set", "step_parameters"), Grid { blocks: [1; 3], threads: 32 }, arguments);
        }
    }
}

/// A recorded step.
pub struct Graph {
    executable: sys::CUgraphExec,
    memory: GraphMemory,
}

impl Graph {
    /// Runs the step once more: `steps` after the recorded one, with the learning rate a multiple `rate` of its.
    pub fn replay(&self, steps: u64, rate: f64) {
        let gpu = self.memory.0.gpu;
        let _lock = gpu.enter();
        gpu.set_step_parameters(StepParameters { steps, rate });
        gpu.counters.replays.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the recorded step is ready, and its memory is there.
        gpu.check("replaying a step", unsafe { result::graph::launch(self.executable, gpu.stream) });
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let _lock = self.memory.0.gpu.enter();
        // SAFETY: it is not used any more; the driver completes a launch in progress.
        let outcome = unsafe { result::graph::exec_destroy(self.executable) };
        if !std::thread::panicking() {
            self.memory.0.gpu.check("discarding a recorded step", outcome);
        }
    }
}
