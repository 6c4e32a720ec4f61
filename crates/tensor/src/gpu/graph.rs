//! CUDA graphs: the launches of a step are captured once and then replayed as one launch.
//!
//! A replay uses the same addresses each time. So the buffers of a captured step come from a heap of its own, which no other
//! tensor uses, and what changes from step to step is in the device's step parameters.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chainrule_kernels::Family;
use cudarc::driver::result::DriverError;
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

    /// Captures a step and launches it once. Every replay overwrites the tensors that it returns.
    ///
    /// No other thread uses the device between the capture and that launch: it could take memory that the step has freed,
    /// and write what the step is yet to read. A step that waits for another thread which uses the device, such as a loader
    /// that uploads a batch, therefore deadlocks: wait before the call.
    ///
    /// # Panics
    /// If the step panics, or transfers data between host and device. What it did until then is launched, so that the device
    /// is as an eager step leaves it: a cached copy or a new optimizer state, for instance, has its values.
    pub fn record<R>(&self, step: impl FnOnce() -> R) -> (Graph, R) {
        let gpu = self.0.gpu;
        let _lock = gpu.enter();
        // A first launch before the capture, so that its kernel is loaded.
        gpu.set_step_parameters(StepParameters::OF_THE_CAPTURE);
        // Relaxed mode allows allocations, in case this step needs more memory than the one before.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream belongs to the device, and other threads wait until the capture has ended.
        gpu.check("starting a capture", unsafe { result::stream::begin_capture(gpu.stream, mode) });
        gpu.set_recording(true);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let returned = self.run(step);
            gpu.set_step_parameters(StepParameters::OF_THE_CAPTURE);
            returned
        }));
        // SAFETY: as above; ends the capture even if the step panicked.
        let captured = unsafe { result::stream::end_capture(gpu.stream) };
        gpu.set_recording(false);
        let launched =
            captured.and_then(|graph| self.instantiate(graph)).and_then(|graph| graph.launch().map(|()| graph));
        match outcome {
            Ok(returned) => (gpu.check("capturing a step", launched), returned),
            // The step's own text comes first: a failure of the launch would be a consequence.
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Instantiates a captured graph and destroys it.
    fn instantiate(&self, captured: sys::CUgraph) -> Result<Graph, DriverError> {
        // SAFETY: the graph was just captured; it is not needed after instantiation.
        unsafe {
            let executable = result::graph::instantiate(captured, sys::CUgraphInstantiate_flags(0));
            result::graph::destroy(captured).and(executable)
        }
        .map(|executable| Graph { executable, memory: self.clone() })
    }
}

impl Gpu {
    /// Sets the step parameters for later launches.
    fn set_step_parameters(&self, parameters: StepParameters) {
        let StepParameters { steps, rate } = parameters;
        // SAFETY: the block's step parameters are where the kernel writes.
        unsafe {
            let arguments: [&dyn Argument; 3] = [&self.step_block.parameters(), &steps, &rate];
            self.launch(
                Family::Optimizer,
                ("set", "step_parameters"),
                Grid { blocks: [1; 3], threads: 32, shared: 0 },
                arguments,
            );
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
        gpu.check("launching a graph", self.launch());
    }

    /// Launches the step, with the device's lock held.
    fn launch(&self) -> Result<(), DriverError> {
        let gpu = self.memory.0.gpu;
        gpu.counters.replays.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the captured step is instantiated, and its memory is allocated.
        unsafe { result::graph::launch(self.executable, gpu.stream) }
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let gpu = self.memory.0.gpu;
        let _lock = gpu.enter();
        // SAFETY: it is not used any more; the driver completes a launch in progress.
        gpu.check_in_drop("destroying a captured step", unsafe { result::graph::exec_destroy(self.executable) });
    }
}
