//! Nets with batch normalization over several processes against the same nets on the whole batch.

#[path = "../../autograd/tests/synchronized/processes.rs"]
mod processes;

use std::ops::Range;

use chainrule_autograd::{GradientsOf, Var64};
use chainrule_nn::nets::{ReportOptions, report, resnet20};
use chainrule_nn::{
    Activation, BatchNorm1d, BatchNorm2d, Item, Linear, Module, Optimizer, Recompute, Sequential, Sgd, Visitor,
    state_dict, synchronize_batch_norm, unfused,
};
use chainrule_tensor::{Key, Purpose, Rng, Shape, Tensor64, TensorOf};
use processes::{Rank, run};

type Net = Box<dyn Module<f64>>;

const BATCH: usize = 6;
const STEPS: usize = 3;

fn images(hw: usize) -> Tensor64 {
    Tensor64::random_normal(Key::new(1, Purpose::USER), [BATCH, 3, hw, hw])
}

fn labels(samples: Range<usize>) -> TensorOf<i32> {
    TensorOf::from_fn(samples.len(), |i| ((samples.start + i) * 7 % 4) as i32)
}

/// The gradients of all processes, added.
fn reduced(mut gradients: GradientsOf<f64>, rank: &Rank<f64>) -> GradientsOf<f64> {
    let sum = rank.group.all_reduce(&gradients.to_flat());
    gradients.set_flat(&sum);
    gradients
}

/// Trains for some steps on the samples of each step, with the loss of the whole batch. Returns parameters and running
/// statistics, and the outputs at inference.
fn trained(net: &dyn Module<f64>, x: &Tensor64, samples: Range<usize>, rank: Option<&Rank<f64>>) -> Vec<Tensor64> {
    let mut optimizer = Sgd::new(net.parameters(), 0.05).momentum(0.9);
    for _ in 0..STEPS {
        let y = net.forward(&Var64::constant(x.narrow(0, samples.clone())));
        let share = samples.len() as f64 / BATCH as f64;
        let gradients = (share * y.cross_entropy(&labels(samples.clone()))).backward();
        optimizer.step(&rank.map_or_else(|| gradients.clone(), |rank| reduced(gradients.clone(), rank)));
    }
    let mut found: Vec<Tensor64> = net.parameters().iter().map(|parameter| parameter.value().clone()).collect();
    net.visit(&mut Visitor::new(&mut |path, item| match item {
        Item::Buffer(buffer) => found.push(buffer.get()),
        Item::Counter(counter) if path.ends_with("num_batches_tracked") => assert_eq!(counter.get(), STEPS as u64),
        _ => {}
    }));
    net.eval();
    found.push(net.forward(&Var64::constant(x)).value().clone());
    found
}

/// Checks that the net trains over processes as on the whole batch, and the number of its batch normalizations.
fn check(what: &str, layers: usize, x: &Tensor64, make: impl Fn() -> Net + Sync) {
    let whole = trained(&*make(), x, 0..BATCH, None);
    for split in [vec![4, 2], vec![1, 3, 2]] {
        let parts = run(split.len(), |rank| {
            let net = make();
            assert_eq!(synchronize_batch_norm(&*net, &rank.group), layers);
            let start: usize = split[..rank.rank].iter().sum();
            trained(&*net, x, start..start + split[rank.rank], Some(rank))
        });
        assert!(parts.iter().all(|part| *part == parts[0]), "{what}: the same bits on all {split:?}");
        for (i, (found, expected)) in parts[0].iter().zip(&whole).enumerate() {
            let scale = expected.to_vec().iter().fold(1.0f64, |m, v| m.max(v.abs()));
            for (a, b) in found.to_vec().into_iter().zip(expected.to_vec()) {
                assert!((a - b).abs() <= 1e-12 * scale, "{what} in {split:?}: tensor {i} has {a}, not {b}");
            }
        }
    }
}

fn residual() -> Net {
    Box::new(resnet20::<f64>(4, &mut Rng::seed(0)))
}

#[test]
fn a_residual_net_trains_as_on_the_whole_batch() {
    // Convolutions, normalizations, residuals and relu are fused.
    check("resnet20", 19, &images(8), residual);
}

#[test]
fn so_it_does_recomputed_and_unfused() {
    let x = images(4);
    check("recomputed", 19, &x, || Box::new(Recompute::in_segments(resnet20::<f64>(4, &mut Rng::seed(0)), 4)));
    let unfused_net = || -> Net {
        struct Unfused(Net);
        impl Module<f64> for Unfused {
            fn forward(&self, x: &Var64) -> Var64 {
                unfused(|| self.0.forward(x))
            }
            fn visit(&self, visitor: &mut Visitor<'_, f64>) {
                self.0.visit(visitor);
            }
        }
        Box::new(Unfused(residual()))
    };
    check("unfused", 19, &x, unfused_net);
}

#[test]
fn the_net_of_the_report_trains_as_on_the_whole_batch() {
    // The masks of dropout depend on the place of a sample in its batch.
    let options = ReportOptions { dropout: 0.0, ..ReportOptions::default() };
    check("report", 3, &images(8), || Box::new(report::<f64>([3, 8, 8], 4, options, &mut Rng::seed(0)).expect("fits")));
}

#[test]
fn recomputed_has_the_bits_of_kept() {
    let x = images(4);
    let all = |make: &(dyn Fn() -> Net + Sync)| {
        run(2, |rank| {
            let net = make();
            synchronize_batch_norm(&*net, &rank.group);
            let found = trained(&*net, &x, rank.rank * 2..2 + rank.rank * 4, Some(rank));
            found.iter().map(|x| x.to_vec().into_iter().map(f64::to_bits).collect()).collect::<Vec<Vec<u64>>>()
        })
    };
    assert_eq!(all(&|| Box::new(Recompute::new(resnet20::<f64>(4, &mut Rng::seed(0))))), all(&residual));
}

#[test]
fn switching_changes_nothing_that_is_saved_or_one_process() {
    let x = Tensor64::random_normal(Key::new(2, Purpose::USER), [5, 3]);
    let net =
        || Sequential::new().add(Linear::new(3, 4, &mut Rng::seed(1))).add(BatchNorm1d::new(4)).add(Activation::Relu);
    let bits = |net: &Sequential<f64>| {
        let y = net.forward(&Var64::constant(&x));
        let gradients = y.square().sum().backward();
        let saved = state_dict(net);
        let names: Vec<String> = saved.keys().cloned().collect();
        (y.value().to_vec(), gradients.to_flat().to_vec(), names, chainrule_nn::weights_sha256(net))
    };
    let expected = bits(&net());
    let found = run(1, |rank| {
        let net = net();
        assert_eq!(synchronize_batch_norm(&net, &rank.group), 1);
        let found = bits(&net);
        assert_eq!(rank.calls(), 0);
        found
    });
    assert_eq!(found[0], expected);
    assert_eq!(
        synchronize_batch_norm(&Linear::<f64>::new(1, 1, &mut Rng::seed(0)), &run(1, |r| r.group.clone())[0]),
        0
    );
}

#[test]
fn one_element_of_a_channel_is_enough_if_other_processes_have_more() {
    let found = run(2, |rank| {
        let net = BatchNorm1d::<f64>::new(1);
        synchronize_batch_norm(&net, &rank.group);
        let x = Tensor64::from_slice(&[[1.0, 5.0][rank.rank]], [1, 1]);
        assert_eq!(net.output_shape(x.shape()), Ok(Shape::from([1, 1])));
        let y = net.forward(&Var64::constant(&x));
        // Mean 3, and the unbiased variance 8 in place of 4.
        assert_eq!(net.running_mean().item(), 0.1 * 3.0);
        assert_eq!(net.running_var().item(), 0.9 + 0.1 * 8.0);
        y.item()
    });
    assert!((found[0] + 2.0 / (4.0f64 + 1e-5).sqrt()).abs() < 1e-15 && found[1] == -found[0], "{found:?}");
}

#[test]
#[should_panic(expected = "BatchNorm2d: training needs more than one element of each channel\n  input = ")]
fn one_element_on_all_processes_is_refused() {
    run(2, |rank| {
        let net = BatchNorm2d::<f64>::new(1);
        synchronize_batch_norm(&net, &rank.group);
        let x = Tensor64::zeros([rank.rank, 1, 1, 1]);
        net.forward(&Var64::constant(x)).shape()
    });
}
