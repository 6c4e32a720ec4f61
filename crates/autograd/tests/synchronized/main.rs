//! Batch normalization over several processes against that of the whole batch in one.

mod processes;

use std::ops::Range;

use chainrule_autograd::{BatchStatistics, Var64, VarOf, recompute};
use chainrule_tensor::{Epilogue, Key, Purpose, Tensor, Tensor64};
use processes::{Rank, run};

const EPS: f64 = 1e-3;

/// Splits of a batch of 7 among processes, also with none.
fn splits() -> Vec<Vec<usize>> {
    vec![vec![4, 3], vec![1, 6], vec![2, 4, 1], vec![3, 0, 4], vec![2, 1, 3, 1]]
}

/// The samples of a rank.
fn part(split: &[usize], rank: usize) -> Range<usize> {
    let start = split[..rank].iter().sum();
    start..start + split[rank]
}

fn random(salt: u64, shape: &[usize]) -> Tensor64 {
    Tensor64::random_normal(Key::new(salt, Purpose::USER), shape)
}

/// The shapes of the batch: images and features.
const SHAPES: [&[usize]; 2] = [&[7, 3, 2, 3], &[7, 4]];

/// x, γ, β, r, and the weights of the outputs in the loss. The samples have very different means, so that each process has too.
struct Data {
    x: Tensor64,
    gamma: Tensor64,
    beta: Tensor64,
    r: Tensor64,
    c: Tensor64,
}

impl Data {
    fn new(shape: &[usize]) -> Self {
        let row = &shape[1..2];
        let (mut x, offsets) = (random(0, shape), random(5, shape).to_vec());
        for n in 0..shape[0] {
            let sample = x.narrow(0, n..n + 1);
            let moved = sample.unary(chainrule_tensor::Unary::Add(4.0 * offsets[n]));
            x.assign(0, n..n + 1, &moved);
        }
        Self { x, gamma: random(1, row), beta: random(2, row), r: random(3, shape), c: random(4, shape) }
    }

    /// The data of some samples.
    fn part(&self, samples: Range<usize>) -> Self {
        let of = |x: &Tensor64| x.narrow(0, samples.clone());
        Self { x: of(&self.x), gamma: self.gamma.clone(), beta: self.beta.clone(), r: of(&self.r), c: of(&self.c) }
    }

    fn parameters(&self) -> [Var64; 4] {
        [("x", &self.x), ("gamma", &self.gamma), ("beta", &self.beta), ("r", &self.r)]
            .map(|(name, value)| Var64::parameter(name, value))
    }
}

/// The epilogues: with relu, with a residual.
const EPILOGUES: [[bool; 2]; 4] = [[false, false], [true, false], [false, true], [true, true]];

fn epilogue(r: &Var64, [relu, residual]: [bool; 2]) -> Epilogue<'_, Var64> {
    Epilogue { relu, residual: residual.then_some(r), channel_stats: false }
}

/// `batch_norm` of the whole batch, or over the processes.
fn norm([x, gamma, beta, r]: [&Var64; 4], with: [bool; 2], rank: Option<&Rank<f64>>) -> (Var64, BatchStatistics<f64>) {
    match rank {
        None => x.batch_norm_with(gamma, beta, EPS, epilogue(r, with)),
        Some(rank) => x.batch_norm_synchronized(gamma, beta, EPS, epilogue(r, with), &rank.group),
    }
}

/// Tensors by name: those of the samples, whose parts are concatenated, those that are added over the processes, and those that
/// are the same on all.
#[derive(Default)]
struct Results {
    of_samples: Vec<(&'static str, Tensor64)>,
    sums: Vec<(&'static str, Tensor64)>,
    same: Vec<(&'static str, Tensor64)>,
}

/// Checks that the results of processes are together those of one.
fn compare(what: &str, whole: &Results, parts: &[Results]) {
    let near = |name: &str, found: &Tensor64, expected: &Tensor64| {
        assert_eq!(found.shape(), expected.shape(), "{what}: {name}");
        let scale = expected.to_vec().iter().fold(1.0f64, |m, v| m.max(v.abs()));
        for (i, (a, b)) in found.to_vec().into_iter().zip(expected.to_vec()).enumerate() {
            assert!((a - b).abs() <= 1e-12 * scale, "{what}: {name}: element {i} is {a}, not {b}");
        }
    };
    for (i, (name, expected)) in whole.of_samples.iter().enumerate() {
        let parts: Vec<&Tensor64> = parts.iter().map(|part| &part.of_samples[i].1).collect();
        near(name, &Tensor64::concat(&parts, 0), expected);
    }
    for (i, (name, expected)) in whole.sums.iter().enumerate() {
        let parts: Vec<&Tensor64> = parts.iter().map(|part| &part.sums[i].1).collect();
        near(name, &Tensor64::stack(&parts, 0).sum(&[0], false), expected);
    }
    for (i, (name, expected)) in whole.same.iter().enumerate() {
        near(name, &parts[0].same[i].1, expected);
        assert!(parts.iter().all(|part| part.same[i].1 == parts[0].same[i].1), "{what}: {name} is the same on all");
    }
}

/// Compares `body` on the whole batch with `body` over processes, for all shapes, splits and epilogues.
fn check(body: impl Fn(&Data, [bool; 2], Option<&Rank<f64>>) -> Results + Sync) {
    for shape in SHAPES {
        let data = Data::new(shape);
        for with in EPILOGUES {
            let whole = body(&data, with, None);
            for split in splits() {
                let parts = run(split.len(), |rank| body(&data.part(part(&split, rank.rank)), with, Some(rank)));
                compare(&format!("{shape:?} in {split:?}, epilogue {with:?}"), &whole, &parts);
            }
        }
    }
}

#[test]
fn outputs_gradients_and_statistics_are_those_of_the_whole_batch() {
    check(|data, with, rank| {
        let parameters = data.parameters();
        let [x, gamma, beta, r] = parameters.each_ref();
        let (y, statistics) = norm([x, gamma, beta, r], with, rank);
        let gradients = (y.square() * Var64::constant(&data.c)).sum().backward();
        assert_eq!(statistics.count, 7 * data.x.shape()[2..].iter().product::<usize>());
        let mut of_samples = vec![("y", y.value().clone()), ("dx", gradients[x].clone())];
        if with[1] {
            of_samples.push(("dr", gradients[r].clone()));
        }
        Results {
            of_samples,
            sums: vec![("dγ", gradients[gamma].clone()), ("dβ", gradients[beta].clone())],
            same: vec![("mean", statistics.mean), ("variance", statistics.variance)],
        }
    });
}

#[test]
fn second_gradients_are_those_of_the_whole_batch() {
    check(|data, with, rank| {
        let parameters = data.parameters();
        let [x, gamma, beta, r] = parameters.each_ref();
        let c = Var64::constant(&data.c);
        let y = norm([x, gamma, beta, r], with, rank).0;
        let [dx, dgamma, dbeta] =
            <[Var64; 3]>::try_from((y.square() * &c).sum().gradients(&[x, gamma, beta])).expect("three");
        // A penalty on the gradients of the parameters needs their sums, and counts once: here on the first process.
        let total = |g: Var64| rank.map_or_else(|| g.clone(), |rank| g.all_reduce(&rank.group));
        let share = if rank.is_none_or(|rank| rank.rank == 0) { 1.0 } else { 0.0 };
        let penalty = total(dgamma).sin().sum() + total(dbeta).square().sum();
        let second = ((dx * &c).sin().sum() + share * penalty).backward();
        Results {
            of_samples: vec![("d(x)", second[x].clone())],
            sums: vec![("d(γ)", second[gamma].clone()), ("d(β)", second[beta].clone())],
            same: Vec::new(),
        }
    });
}

#[test]
fn tangents_are_those_of_the_whole_batch() {
    check(|data, with, rank| {
        let parameters = data.parameters();
        let y = norm(parameters.each_ref(), with, rank).0;
        let v = [&data.c, &data.beta, &data.gamma, &data.x].map(Var64::constant);
        let seeds: Vec<(&Var64, &Var64)> = parameters.iter().zip(&v).collect();
        let tangent = y.tangent(&seeds);
        let dx = (y.square() * &v[0]).sum().gradient(&parameters[0]);
        let of_gradient = dx.tangent(&seeds).value;
        let of_samples = vec![("dy", tangent.value.value().clone()), ("d(dx)", of_gradient.value().clone())];
        Results { of_samples, ..Results::default() }
    });
}

#[test]
fn a_sum_over_processes_and_its_gradients() {
    // y = Σ x[q], L = Σ c[q]·y², so dx = Σ c[q] · 2y on all processes, and the gradient of Σ c[q]·dx is 2·(Σ c[q])².
    let found = run::<f64, _>(3, |rank| {
        let (x, c) = (Var64::parameter("x", [rank.rank as f64, 1.0]), [1.0, 10.0, 100.0][rank.rank]);
        let y = x.all_reduce(&rank.group);
        let dx = (c * y.square()).sum().gradient(&x);
        let again = (c * &dx).sum().gradient(&x);
        (y.value().to_vec(), dx.value().to_vec(), again.value().to_vec())
    });
    for found in found {
        assert_eq!(found, (vec![3.0, 3.0], vec![666.0, 666.0], vec![24642.0, 24642.0]));
    }
}

#[test]
fn one_process_has_the_bits_of_batch_norm() {
    for (shape, with) in SHAPES.into_iter().zip([EPILOGUES[3], EPILOGUES[0]]) {
        let data = Data::new(shape);
        let results = |rank: Option<&Rank<f64>>| {
            let parameters = data.parameters();
            let of = parameters.each_ref();
            let (y, statistics) = norm(of, with, rank);
            let loss = (y.square() * Var64::constant(&data.c)).sum();
            let dx = loss.gradient(of[0]);
            let gradients = loss.backward();
            let second = dx.sin().sum().backward();
            assert_eq!(rank.map_or(0, Rank::calls), 0, "nothing is exchanged");
            let tensors = [
                y.value().clone(),
                dx.value().clone(),
                gradients[of[1]].clone(),
                gradients[of[2]].clone(),
                second[of[0]].clone(),
                statistics.mean,
                statistics.variance,
            ];
            tensors.map(|x| x.to_vec().into_iter().map(f64::to_bits).collect::<Vec<_>>())
        };
        assert_eq!(run(1, |rank| results(Some(rank))).remove(0), results(None));
    }
}

#[test]
fn one_gather_forward_and_one_reduction_backward_also_when_recomputed() {
    let data = Data::new(SHAPES[0]);
    let split = [3, 4];
    let found = run(2, |rank| {
        let data = data.part(part(&split, rank.rank));
        let once = |again: bool| {
            let [x, gamma, beta, _] = data.parameters();
            let (captured, group) = ([gamma.clone(), beta.clone()], rank.group.clone());
            let f = move |x: &[Var64]| {
                let [gamma, beta] = &captured;
                x[0].batch_norm_synchronized(gamma, beta, EPS, Epilogue::RELU, &group).0.sin()
            };
            let y = if again { recompute(f, std::slice::from_ref(&x)) } else { f(std::slice::from_ref(&x)) };
            assert_eq!(rank.calls(), 1, "the statistics");
            let gradients = (y * Var64::constant(&data.c)).sum().backward();
            assert_eq!(rank.calls(), 1, "the two sums");
            [&x, &gamma, &beta].map(|var| gradients[var].to_vec())
        };
        let (kept, again) = (once(false), once(true));
        // The gradient of a constant input is not computed, so its sums are not reduced.
        let [x, gamma, beta, _] = data.parameters();
        let (y, _) = x.detach().batch_norm_synchronized(&gamma, &beta, EPS, Epilogue::NONE, &rank.group);
        let _ = rank.calls();
        let gradients = y.square().sum().backward();
        assert_eq!((rank.calls(), gradients.len()), (0, 2));
        (kept, again)
    });
    for (kept, again) in found {
        assert_eq!(kept, again);
    }
}

#[test]
fn variances_of_large_f32_numbers_keep_their_digits() {
    // 1000 and 3000 numbers around 1e4 and 1e4 + 1, each 1 from its mean: the variance is 1 + 3/16.
    let found = run::<f32, _>(2, |rank| {
        let (n, mean) = [(1000, 1e4), (3000, 1e4 + 1.0)][rank.rank];
        let x = Tensor::from_fn([n, 1], |i| mean + if i % 2 == 0 { 1.0 } else { -1.0 });
        let row = |value: f32| VarOf::constant(Tensor::from([value]));
        let (_, of) =
            VarOf::constant(x).batch_norm_synchronized(&row(1.0), &row(0.0), EPS, Epilogue::NONE, &rank.group);
        (of.mean.item(), of.variance.item(), of.count)
    });
    assert_eq!(found, [(1e4 + 0.75, 1.1875, 4000); 2]);
}

#[test]
fn counts_beyond_the_digits_of_f32_are_exact() {
    // 2²⁴ + 1 is no f32.
    let sizes = [1 << 24, 1];
    let found = run::<f32, _>(2, |rank| {
        let x = VarOf::constant(Tensor::zeros([1, 1, sizes[rank.rank]]));
        let row = VarOf::constant(Tensor::from([1.0]));
        x.batch_norm_synchronized(&row, &row, EPS, Epilogue::NONE, &rank.group).1.count
    });
    assert_eq!(found, [(1 << 24) + 1; 2]);
}

#[test]
#[should_panic(expected = "batch_norm_synchronized: no process has elements\n  input (N,C,…) = (0, 2)")]
fn a_batch_without_samples_is_refused() {
    run::<f64, _>(2, |rank| {
        let (x, row) = (VarOf::constant(Tensor64::zeros([0, 2])), VarOf::constant(Tensor64::ones(2)));
        x.batch_norm_synchronized(&row, &row, EPS, Epilogue::NONE, &rank.group).0.shape()
    });
}

#[test]
#[should_panic(expected = "batch_norm_synchronized: gamma has shape (2,), the input (N,C,…) (4, 3)")]
fn parameters_of_other_channels_are_refused() {
    run::<f64, _>(2, |rank| {
        let (x, row) = (VarOf::constant(random(0, &[4, 3])), VarOf::constant(Tensor64::ones(2)));
        x.batch_norm_synchronized(&row, &row, EPS, Epilogue::NONE, &rank.group).0.shape()
    });
}
