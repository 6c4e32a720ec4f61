//! Captured steps: a panic in one leaves the device as a panic in an eager step does, and no other thread's work comes between
//! a capture and its first replay.

use std::sync::mpsc::channel;
use std::thread;

use chainrule::prelude::*;
use chainrule_tensor::cuda::{self, GraphMemory, Precision};
use chainrule_tensor::{Conv2dOptions, Tensor, TensorOf};

use crate::GPU;
use crate::tensors::{panic_of, twice};

const N: usize = 4000;

/// What other threads do to the device.
const ACTIONS: [fn(); 4] = [
    // Takes free memory and writes it by a kernel.
    || drop(Tensor::full_on(GPU, N, 7.0)),
    // The same by an upload.
    || drop(Tensor::full_on(Device::Cpu, N, 8.0).to(GPU)),
    // A download waits for all work.
    || assert_eq!(Tensor::full_on(GPU, N, 9.0).to_vec(), [9.0; N]),
    // Gives free memory back to the driver.
    || cuda::trim(0).expect("it is open"),
];

/// The first run of a captured step reads memory that the step has freed, before another thread can take it.
pub fn other_threads() {
    for action in ACTIONS {
        for _ in 0..20 {
            let x = Tensor::full_on(GPU, N, 3.0);
            let memory = GraphMemory::new(0).expect("it is open");
            let (running, started) = channel();
            let other = thread::spawn(move || {
                started.recv().expect("the step sends");
                action();
            });
            let (_graph, y) = memory.record(|| {
                running.send(()).expect("the other thread waits");
                let y = twice(&x);
                drop(x);
                y
            });
            other.join().expect("it succeeds");
            assert_eq!(y.to_vec(), [6.0; N]);
        }
    }
}

/// What a step did before it panicked is done, if it was captured as well: an `f32` copy of bf16 elements is filled.
pub fn panic_keeps_copies() {
    cuda::set_precision(Precision::Bf16);
    let x = Tensor::full_on(GPU, [2, 8, 4, 4], 1.0);
    let w = Tensor::full_on(GPU, [8, 8, 1, 1], 1.0);
    let y = x.conv2d(&w, None, Conv2dOptions::default());
    let first = TensorOf::<i32>::zeros([2, 1, 4, 4]).to(GPU);
    let memory = GraphMemory::new(0).expect("it is open");
    let text = panic_of(|| {
        memory.record(|| {
            // Reads the elements of y as f32.
            drop(y.gather(1, &first));
            panic!("stop here");
        });
    });
    assert_eq!(text, "stop here");
    assert_eq!(y.gather(1, &first).to_vec(), [8.0; 2 * 16]);
}

/// The same of the state of an optimizer, which the step allocates and fills with zeros, and of the weights.
pub fn panic_keeps_optimizer_state() {
    let run = |captured: bool| {
        let w = Var::parameter("w", Tensor::full_on(GPU, 100, 1.0));
        let mut optimizer = Sgd::new(vec![w.clone()], 0.1).momentum(0.9);
        let memory = GraphMemory::new(0).expect("it is open");
        let mut step = || {
            let gradients = w.square().sum().backward();
            optimizer.step(&gradients);
            drop(gradients);
            panic!("after the optimizer");
        };
        let text = panic_of(|| if captured { drop(memory.record(&mut step)) } else { step() });
        assert_eq!(text, "after the optimizer");
        assert_eq!(panic_of(step), "after the optimizer");
        w.value().to_vec()
    };
    let (captured, eager) = (run(true), run(false));
    assert!((eager[0] - 0.46).abs() < 1e-6, "1 − 0.1·2, then − 0.1·(0.9·2 + 1.6): {}", eager[0]);
    assert_eq!(captured, eager);
}

/// A panic in a captured step frees the graph, whoever panics.
pub fn panic_frees_graphs() {
    let memory = GraphMemory::new(0).expect("it is open");
    let x = Tensor::full_on(GPU, 10, 1.0);
    let live = chainrule_standin::live_graphs;
    assert_eq!(live(), 0);
    let text = panic_of(|| {
        memory.record(|| {
            drop(twice(&x));
            panic!("a panic of the step's own");
        });
    });
    assert_eq!((text.as_str(), live()), ("a panic of the step's own", 0));
    let text = panic_of(|| drop(memory.record(|| (twice(&x)).to_vec())));
    let rule = "cuda:0: a step that is captured cannot download data\n  rule: read it after the step";
    assert_eq!((text.as_str(), live()), (rule, 0));
    let text = panic_of(|| drop(memory.record(|| Tensor::ones([20]).to(GPU))));
    let rule = "cuda:0: a step that is captured cannot upload data\n  rule: move it to the device before the step";
    assert_eq!((text.as_str(), live()), (rule, 0));
    // The device is usable, and a graph that was captured is destroyed with its handle.
    let (graph, y) = memory.record(|| twice(&x));
    assert_eq!((y.to_vec(), live()), (vec![2.0; 10], 1));
    drop(graph);
    assert_eq!(live(), 0);
}
