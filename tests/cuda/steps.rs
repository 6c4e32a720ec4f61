//! Training steps on a GPU, eager and replayed, compared with the CPU.

use chainrule::nn::Step;
use chainrule::prelude::*;
use chainrule_tensor::{Layout, cuda};

use crate::GPU;
use crate::nets::{cifar, mnist, wide};

/// A net, the shape of its images, and its optimizer.
#[derive(Clone, Copy)]
struct Work {
    net: fn(&mut Rng) -> Sequential,
    image: [usize; 3],
    optimizer: fn(Vec<Var>) -> Box<dyn Optimizer>,
}

/// The last three optimizers are composed of several kernels.
const WORK: [Work; 5] = [
    Work { net: mnist, image: [1, 12, 12], optimizer: |p| Box::new(Adam::new(p, 3e-3)) },
    Work {
        net: cifar,
        image: [3, 12, 12],
        optimizer: |p| Box::new(Sgd::new(p, 0.05).momentum(0.9).nesterov(true).weight_decay(1e-3)),
    },
    Work {
        net: mnist,
        image: [1, 12, 12],
        optimizer: |p| Box::new(RmsProp::new(p, 0.01).alpha(0.9).eps(0.1).momentum(0.5).centered(true)),
    },
    Work {
        net: mnist,
        image: [1, 12, 12],
        optimizer: |p| Box::new(Adagrad::new(p, 0.01).lr_decay(0.1).initial_accumulator_value(0.01).weight_decay(1e-3)),
    },
    Work {
        net: mnist,
        image: [1, 12, 12],
        optimizer: |p| Box::new(NAdam::new(p, 0.01).eps(1e-3).weight_decay(0.01).decoupled_weight_decay(true)),
    },
];

/// How a step is run.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Eager,
    Replayed,
}

/// The result of a run: each step's loss, all final weights and buffers, and the step counts of the optimizer.
struct Run {
    losses: Vec<f64>,
    weights: Vec<f32>,
    steps: Vec<u64>,
}

/// Twelve steps on three batches, the third smaller, the learning rate falling. `between` is called after each step.
fn train(work: Work, device: Device, way: Way, between: &mut dyn FnMut(usize, &dyn Module)) -> Run {
    let net = (work.net)(&mut Rng::seed(5));
    let net: &dyn Module = &net;
    net.to(device);
    let mut optimizer = (work.optimizer)(net.parameters());
    let mut totals = [TensorOf::full_on(device, (), 0.0)];
    let mut replay = Replay::new(net, device);
    let mut losses = Vec::new();
    let mut before = 0.0;
    for i in 0..12 {
        let n = if i % 3 == 2 { 3 } else { 5 };
        let [c, h, w] = work.image;
        let images = Tensor::random_normal(Key::new(i as u64 % 3, Purpose::USER), [n, c, h, w]).to(device);
        let labels = TensorOf::from_fn(n, |k| ((7 * k + i % 3) % 10) as i32).to(device);
        optimizer.set_lr(0.01 / (1 + i / 4) as f64);
        let body = |step: Step<'_>| {
            let loss = net.forward(&Var::constant(step.inputs)).cross_entropy(step.labels);
            let mut gradients = loss.backward();
            let _ = gradients.clip_norm(1.0);
            step.optimizer.step(&gradients);
            step.totals[0].add_assign(&loss.value().to_f64());
        };
        let (inputs, labels) = (&images, &labels);
        match way {
            Way::Eager => body(Step { inputs, labels, optimizer: &mut *optimizer, totals: &mut totals }),
            Way::Replayed => replay.run(inputs, labels, &mut *optimizer, &mut totals, body),
        }
        let sum = totals[0].item();
        losses.push(sum - before);
        before = sum;
        between(i, net);
    }
    let mut weights: Vec<f32> = net.parameters().iter().flat_map(|p| p.value().to_vec()).collect();
    net.visit(&mut Visitor::new(&mut |_, item| match item {
        Item::Buffer(buffer) => weights.extend(buffer.get().to_vec()),
        Item::Counter(counter) => weights.push(counter.get() as f32),
        _ => {}
    }));
    Run { losses, weights, steps: optimizer.steps() }
}

fn bits(run: &Run) -> Vec<u32> {
    run.weights.iter().map(|w| w.to_bits()).collect()
}

/// An average of the weights is the CPU's, and neither it nor an evaluation with it changes a step or makes one run eagerly.
pub fn averaged() {
    for &work in &WORK[..2] {
        let run = |device: Device, way: Way, averaged: bool| {
            let (mut ema, mut average) = (None, Vec::new());
            let mut live = 0;
            let run = train(work, device, way, &mut |i, net| {
                if !averaged {
                    return;
                }
                let ema = ema.get_or_insert_with(|| Ema::new(net, 0.7).warm_up());
                ema.update(net);
                let _averaged = ema.averaged(net);
                average = net.parameters().iter().flat_map(|p| p.value().to_vec()).collect();
                if i == 11 {
                    live = chainrule_standin::live_graphs();
                }
            });
            (bits(&run), average, live)
        };
        let (steps, _, _) = run(GPU, Way::Replayed, false);
        let (averaged_steps, average, live) = run(GPU, Way::Replayed, true);
        assert_eq!(averaged_steps, steps);
        assert_eq!(live, 2, "the captured steps of both batch sizes");
        let (_, here, _) = run(Device::Cpu, Way::Eager, true);
        for (there, here) in average.iter().zip(here) {
            assert!((there - here).abs() < 2e-4, "{there}, {here} on the CPU");
        }
    }
}

/// The losses match those on the CPU.
pub fn as_on_the_cpu() {
    for work in WORK {
        let here = train(work, Device::Cpu, Way::Eager, &mut |_, _| ());
        let there = train(work, GPU, Way::Eager, &mut |_, _| ());
        assert!(here.losses[9..].iter().sum::<f64>() < here.losses[..3].iter().sum(), "it learns: {:?}", here.losses);
        // A real GPU sums in a different order than the stand-in and has different elementary functions.
        let tolerance = if crate::on_hardware() { 1e-4 } else { 2e-5 };
        for (a, b) in here.losses.iter().zip(&there.losses) {
            assert!(
                (a - b).abs() < tolerance * a.abs().max(1.0),
                "{:?} on the CPU\n{:?} on the GPU",
                here.losses,
                there.losses
            );
        }
        assert_eq!(here.steps, there.steps);
    }
}

/// With bf16 activations the losses match within a larger tolerance; replayed and eager steps give the same bits.
pub fn in_bf16() {
    let work = Work { net: wide, image: [3, 12, 12], ..WORK[0] };
    let here = train(work, Device::Cpu, Way::Eager, &mut |_, _| ());
    let exact = train(work, GPU, Way::Eager, &mut |_, _| ());
    cuda::set_precision(cuda::Precision::Bf16);
    let there = train(work, GPU, Way::Eager, &mut |_, _| ());
    let replayed = train(work, GPU, Way::Replayed, &mut |_, _| ());
    for (i, (a, exact)) in here.losses.iter().zip(&exact.losses).enumerate() {
        assert!((a - exact).abs() < 1e-4, "step {i}: {a} on the CPU, {exact} on the GPU");
    }
    // The mean over all steps too: single steps vary, with three or five images.
    let apart: Vec<f64> = here.losses.iter().zip(&there.losses).map(|(a, b)| (a - b).abs()).collect();
    let (mean, most) = (apart.iter().sum::<f64>() / apart.len() as f64, apart.iter().fold(0.0, |a: f64, &b| a.max(b)));
    assert!(mean < 0.02 && most < 0.05, "{mean} apart, {most} at most: {:?}, {:?}", here.losses, there.losses);
    assert_ne!(bits(&exact), bits(&there));
    assert_eq!(bits(&there), bits(&replayed));
}

/// Replayed steps give the same bits as eager steps, and do not synchronize.
pub fn replayed() {
    for work in WORK {
        let eager = train(work, GPU, Way::Eager, &mut |_, _| ());
        let before = cuda::stats(0).unwrap();
        let replayed = train(work, GPU, Way::Replayed, &mut |_, _| ());
        let after = cuda::stats(0).unwrap();
        // Beyond the two warm-up steps there are three of the larger batches and the fourth of the smaller ones.
        assert_eq!(after.replays - before.replays, 6 + 2);
        assert_eq!(bits(&eager), bits(&replayed));
        assert_eq!((&eager.losses, &eager.steps), (&replayed.losses, &replayed.steps));
        let again = train(work, GPU, Way::Replayed, &mut |_, _| ());
        assert_eq!(bits(&replayed), bits(&again), "the same bits on every run");
    }
}

/// A live alias keeps its value, and the steps continue as if there were none.
pub fn live_aliases() {
    let mut copies = Vec::new();
    let mut seen = Vec::new();
    let work = WORK[1];
    let held = train(work, GPU, Way::Replayed, &mut |i, net| {
        if i == 7 {
            copies = net.parameters().iter().map(|p| p.value().clone()).collect();
            seen = copies.iter().map(Tensor::to_vec).collect();
        }
    });
    assert!(!copies.is_empty() && copies.iter().map(Tensor::to_vec).eq(seen), "clones are unchanged");
    assert_eq!(bits(&held), bits(&train(work, GPU, Way::Eager, &mut |_, _| ())));
}

/// Freezing and evaluation between steps are respected: replayed and eager steps give the same bits.
pub fn freezing() {
    for work in WORK {
        let run = |way| {
            train(work, GPU, way, &mut |i, net| {
                let parameter = &net.parameters()[0];
                match i {
                    5 => parameter.set_frozen(true),
                    8 => parameter.set_frozen(false),
                    9 => net.eval(),
                    10 => net.train(),
                    _ => {}
                }
            })
        };
        let (eager, replayed) = (run(Way::Eager), run(Way::Replayed));
        assert_eq!(bits(&eager), bits(&replayed));
        assert_eq!((eager.losses, eager.steps), (replayed.losses, replayed.steps));
    }
}

/// Results that a step leaves behind are unchanged by later steps and do not prevent replay.
pub fn kept_results() {
    let work = WORK[0];
    let run = |keep: bool| {
        let net = (work.net)(&mut Rng::seed(5));
        Module::<f32>::to(&net, GPU);
        let mut optimizer = Adam::new(net.parameters(), 1e-2);
        let (mut replay, mut kept, mut weights) = (Replay::new(&net, GPU), Vec::new(), Vec::new());
        for i in 0..8u64 {
            let images = Tensor::random_normal_on(GPU, Key::new(i, Purpose::USER), [4, 1, 12, 12]);
            let labels = TensorOf::from_fn(4, |k| (k as i32 + i as i32) % 10).to(GPU);
            replay.run(&images, &labels, &mut optimizer, &mut [], |step| {
                let loss = net.forward(&Var::constant(step.inputs)).cross_entropy(step.labels);
                step.optimizer.step(&loss.backward());
                if keep {
                    kept.push(step.inputs.clone());
                }
            });
        }
        weights.extend(net.parameters().iter().flat_map(|p| p.value().to_vec()).map(f32::to_bits));
        weights
    };
    assert_eq!(run(true), run(false));
}

/// The optimizer tells of a step that is not finite, also of a replayed one.
pub fn not_finite() {
    for work in WORK {
        let net = (work.net)(&mut Rng::seed(5));
        Module::<f32>::to(&net, GPU);
        let mut optimizer = (work.optimizer)(net.parameters());
        let mut replay = Replay::new(&net, GPU);
        let [c, h, w] = work.image;
        for (i, pixel) in [0.5, 0.5, 0.5, 0.5, f32::NAN, 0.5].into_iter().enumerate() {
            let images = Tensor::full_on(GPU, [2, c, h, w], pixel);
            let labels = TensorOf::from([1, 2]).to(GPU);
            let before = cuda::stats(0).unwrap().replays;
            replay.run(&images, &labels, &mut *optimizer, &mut [], |step| {
                let loss = net.forward(&Var::constant(step.inputs)).cross_entropy(step.labels);
                step.optimizer.step(&loss.backward());
            });
            assert_eq!(cuda::stats(0).unwrap().replays - before, u64::from(i > 1), "step {i}");
            assert_eq!(optimizer.is_finite(), i < 4, "step {i}");
        }
    }
}

/// An optimizer goes on where its net goes: from the CPU to the GPU and back, with its state and its flag.
pub fn across_devices() {
    type New = fn(Vec<Var>) -> Box<dyn Optimizer>;
    let optimizers: [New; 6] = [
        |p| Box::new(Sgd::new(p, 0.1)),
        |p| Box::new(Sgd::new(p, 0.1).momentum(0.9)),
        |p| Box::new(Adam::new(p, 0.1)),
        |p| Box::new(RmsProp::new(p, 0.1).momentum(0.5).centered(true)),
        |p| Box::new(Adagrad::new(p, 0.1).lr_decay(0.1)),
        |p| Box::new(NAdam::new(p, 0.1)),
    ];
    for new in optimizers {
        let run = |devices: [Device; 3]| {
            let mut rng = Rng::seed(1);
            let nets: Vec<Linear> = vec![Linear::new(3, 2, &mut rng), Linear::new(3, 2, &mut rng)];
            let mut optimizer = new(nets.parameters());
            let loss = |i: usize, device: Device| {
                nets[i].forward(&Var::constant(Tensor::from([[1.0, -0.5, 0.25]]).to(device))).square().sum()
            };
            for device in devices {
                nets.to(device);
                for _ in 0..2 {
                    optimizer.step(&(loss(0, device) + loss(1, device)).backward());
                }
                assert!(optimizer.is_finite());
                assert!(optimizer.state().iter().all(|(_, _, state)| state.device() == device));
            }
            let weights = nets[1].weight.value().to_vec();
            // A step that is not finite is remembered on the other device, where the next step is finite.
            optimizer.step(&(loss(0, devices[2]) * f64::NAN + loss(1, devices[2])).backward());
            nets.to(devices[1]);
            nets[0].parameters().iter().for_each(|p| p.set_frozen(true));
            optimizer.step(&loss(1, devices[1]).backward());
            assert!(!optimizer.is_finite());
            weights
        };
        let (moved, stayed) = (run([Device::Cpu, GPU, Device::Cpu]), run([Device::Cpu; 3]));
        for (moved, stayed) in moved.iter().zip(&stayed) {
            assert!((moved - stayed).abs() <= 1e-5, "{moved} after moves, {stayed} on the CPU");
        }
    }
}

/// Filters are in the memory format of the device's convolutions, also after a step and after loading from a file.
pub fn filter_formats() {
    let net: Conv2d = Conv2d::builder(8, 16, 3).bias(false).build(&mut Rng::seed(1));
    net.to(GPU);
    let mut optimizer = Adam::new(net.parameters(), 1e-3);
    let x = Var::constant(Tensor::ones([2, 8, 5, 5]).to(GPU).channels_last());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    for i in 0..3 {
        let before = cuda::stats(0).unwrap().launches;
        let y = net.forward(&x);
        assert_eq!(cuda::stats(0).unwrap().launches - before, 1, "no format conversion first");
        optimizer.step(&y.square().sum().backward());
        if i == 1 {
            let seen = net.weight.value().to_vec();
            Checkpoint::capture(&net, &optimizer, &Progress::default()).save(&path).unwrap();
            Checkpoint::load(&path).unwrap().restore(&net, &mut optimizer).unwrap();
            assert_eq!(net.weight.value().to_vec(), seen);
        }
    }
    net.to(Device::Cpu);
    assert_eq!(*net.weight.value().layout(), Layout::contiguous(net.weight.shape()));
}

/// A replay allocates nothing and launches one kernel for its step parameters and two for the batch. Also pins the number of
/// kernels of a step.
pub fn launches() {
    let net = mnist(&mut Rng::seed(1));
    Module::<f32>::to(&net, GPU);
    let mut optimizer = Adam::new(net.parameters(), 1e-3);
    let mut replay = Replay::new(&net, GPU);
    let (images, labels) = (Tensor::ones([4, 1, 12, 12]).to(GPU), TensorOf::<i32>::zeros(4).to(GPU));
    let mut run = || {
        replay.run(&images, &labels, &mut optimizer, &mut [], |step| {
            let loss = net.forward(&Var::constant(step.inputs)).cross_entropy(step.labels);
            step.optimizer.step(&loss.backward());
        });
        cuda::stats(0).unwrap()
    };
    let first = run();
    // In a net this small every kernel costs time, so the launches are counted.
    let kernels = run().launches - first.launches;
    assert!(kernels <= 32, "a step is {kernels} kernels");
    let recorded = run();
    let replayed = run();
    assert_eq!(replayed.launches - recorded.launches, 3);
    assert_eq!(replayed.replays - recorded.replays, 1);
    assert_eq!((replayed.allocated, replayed.synchronizations), (recorded.allocated, recorded.synchronizations));
}
