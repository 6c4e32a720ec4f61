//! Several processes, started by `mpirun`.

#[path = "../../tests/net/mod.rs"]
mod net;
mod support;

use std::rc::Rc;
use std::time::{Duration, Instant};

use approx::assert_relative_eq;
use chainrule_autograd::VarOf;
use chainrule_distributed::{Buffer, Communicator, DataParallel, DistributedError, Group, Shards};
use chainrule_mpi::Mpi;
use chainrule_nn::nets::{ReportOptions, report};
use chainrule_nn::{Item, Module, Optimizer, Sgd, Visitor, synchronize_batch_norm, weights_sha256};
use chainrule_tensor::{Device, Rng, Tensor, Tensor64, TensorOf};

use net::trained;
use support::{all_of, launch, say};

fn values(buffer: Result<Buffer, DistributedError>) -> Vec<f64> {
    match buffer.expect("all ranks take part") {
        Buffer::F32(x) => x.to_f64().to_vec(),
        Buffer::F64(x) => x.to_vec(),
    }
}

#[test]
fn operations_of_processes_have_the_values_that_they_say() {
    for ranks in [1, 2, 3, 4] {
        launch("operations_of_processes_have_the_values_that_they_say", ranks, |mpi| {
            let (rank, size) = (mpi.rank(), mpi.size());
            assert_eq!(mpi.local(), (rank, size));
            assert!(mpi.engine().contains("MPI"), "{}", mpi.engine());
            let own = |i: usize| (10 * rank + i) as f64;
            let of_all: Vec<f64> = (0..size).flat_map(|rank| (0..5).map(move |i| (10 * rank + i) as f64)).collect();
            let sums: Vec<f64> = (0..5).map(|i| (0..size).map(|rank| (10 * rank + i) as f64).sum()).collect();
            // Several at a time, completed in another order.
            let sum = mpi.all_reduce(Buffer::F64(Tensor64::from_fn(5, own)));
            let gathered = mpi.all_gather(Buffer::F32(Tensor::from_fn(5, |i| own(i) as f32)));
            let mut other = mpi.all_reduce(Buffer::F32(Tensor::from_fn(5, |i| own(i) as f32)));
            other.progress();
            assert_eq!(values(gathered.wait()), of_all);
            assert_eq!((values(other.wait()), values(sum.wait())), (sums.clone(), sums));
            let bytes = mpi.all_gather_bytes(&vec![7; rank]).expect("all ranks take part");
            assert_eq!(bytes, (0..size).map(|rank| vec![7; rank]).collect::<Vec<_>>());
            assert_eq!(mpi.broadcast(&[rank as u8, 9], size - 1).expect("all ranks"), [size as u8 - 1, 9]);
            mpi.barrier().expect("all ranks take part");
            say("done", rank);
        });
        if let Some(done) = all_of("done") {
            assert_eq!(done.len(), ranks);
        }
    }
}

/// The steps of [`trained`], and the images of a batch.
const SIZES: [usize; 2] = [20, 24];

#[test]
fn the_same_shards_give_the_same_bits_on_1_2_and_4_processes() {
    let mut hashes = Vec::new();
    for ranks in [1, 2, 4] {
        launch("the_same_shards_give_the_same_bits_on_1_2_and_4_processes", ranks, |mpi| {
            let shards = Shards::new(4, &*mpi).expect("4 shards");
            // Small buckets, so that there are several.
            let replicas = DataParallel::new(mpi, shards).bucket_bytes(600);
            let net = trained::<f32>(&replicas, true, Device::Cpu, SIZES);
            say("weights", weights_sha256(&net));
        });
        hashes.extend(all_of("weights").unwrap_or_default());
    }
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
}

#[test]
fn sums_in_the_order_of_the_engine_agree_with_one_process() {
    let name = "sums_in_the_order_of_the_engine_agree_with_one_process";
    let mut weights: Vec<Vec<f64>> = Vec::new();
    for ranks in [1, 2, 3, 4] {
        launch(name, ranks, |mpi| {
            let replicas = DataParallel::fast(mpi).bucket_bytes(600);
            let net = trained::<f64>(&replicas, false, Device::Cpu, SIZES);
            let all: Vec<f64> = net.parameters().iter().flat_map(|p| p.value().to_vec()).collect();
            let bytes: Vec<u8> = all.iter().flat_map(|x| x.to_bits().to_le_bytes()).collect();
            let of_all = replicas.communicator().all_gather_bytes(&bytes).expect("all ranks take part");
            assert!(of_all.iter().all(|other| *other == bytes), "all processes have the same weights");
            if replicas.communicator().rank() == 0 {
                say("weights", all.iter().map(|x| x.to_bits().to_string()).collect::<Vec<_>>().join(" "));
            }
        });
        let of_ranks = all_of("weights").unwrap_or_default();
        let parse = |bits: &str| f64::from_bits(bits.parse().expect("the bits of a number"));
        weights.extend(of_ranks.first().map(|all| all.split(' ').map(parse).collect::<Vec<_>>()));
    }
    for other in weights.iter().skip(1) {
        for (a, b) in other.iter().zip(&weights[0]) {
            assert_relative_eq!(a, b, epsilon = 1e-9, max_relative = 1e-9);
        }
    }
}

#[test]
fn a_process_that_does_not_answer_is_named() {
    let begun = Instant::now();
    let text = support::launch_failing("a_process_that_does_not_answer_is_named", 3, |mpi: Rc<Mpi>| {
        if mpi.rank() == 1 {
            std::thread::sleep(Duration::from_secs(600));
        }
        let error = mpi.barrier().expect_err("rank 1 does not come");
        if mpi.rank() != 0 {
            // Whoever ends the processes first may end rank 0 before it has written.
            std::thread::sleep(Duration::from_secs(600));
        }
        eprintln!("error: {error}");
        mpi.abort(9)
    });
    if let Some((code, text)) = text {
        assert!(text.contains("rank 1 has not answered for"), "{text}");
        assert_ne!(code, Some(0));
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    }
}

/// The report's net for CIFAR-10, all of its batch normalizations over all processes; dropout would be another one in each part.
#[test]
fn synchronized_batch_norm_of_processes_agrees_with_one_process() {
    let mut results: Vec<Vec<f64>> = Vec::new();
    for ranks in [1, 2, 4] {
        launch("synchronized_batch_norm_of_processes_agrees_with_one_process", ranks, |mpi| {
            let options = ReportOptions { dropout: 0.0, ..ReportOptions::default() };
            let net = report::<f64>([3, 32, 32], 10, options, &mut Rng::seed(3)).expect("images of this size");
            if mpi.size() > 1 {
                assert_eq!(synchronize_batch_norm(&net, &Group::new(mpi.clone())), 3);
            }
            let mut optimizer = Sgd::new(net.parameters(), 0.05).momentum(0.9);
            let mut rng = Rng::seed(5);
            let replicas = DataParallel::fast(mpi);
            for step in 0..20 {
                // Parts of 1 and 2 images: shares of a batch that are not equal.
                let images = Tensor64::from_fn([6, 3, 32, 32], |_| rng.uniform());
                let labels: Vec<i32> = (0..6).map(|i| (7 * i + step) % 10).collect();
                let gradients = replicas.gradients(&net, 6, |_, samples| {
                    let labels = TensorOf::from_slice(&labels[samples.clone()], samples.len());
                    net.forward(&VarOf::constant(images.narrow(0, samples))).cross_entropy(&labels)
                });
                optimizer.step(&gradients.expect("all ranks take part"));
            }
            if replicas.communicator().rank() == 0 {
                // Some of each parameter, and all running statistics: the net has six million numbers.
                let mut all = Vec::new();
                net.visit(&mut Visitor::new(&mut |_, item| match item {
                    Item::Parameter(parameter) => all.extend(parameter.value().to_vec().into_iter().step_by(997)),
                    Item::Buffer(buffer) => all.extend(buffer.get().to_vec()),
                    _ => {}
                }));
                say("state", all.iter().map(|x| x.to_bits().to_string()).collect::<Vec<_>>().join(" "));
            }
            Group::leave();
        });
        let parse = |bits: &str| f64::from_bits(bits.parse().expect("the bits of a number"));
        let of_first = all_of("state").unwrap_or_default();
        results.extend(of_first.first().map(|all| all.split(' ').map(parse).collect::<Vec<_>>()));
    }
    for other in results.iter().skip(1) {
        assert!(other.len() > 1000);
        for (a, b) in other.iter().zip(&results[0]) {
            assert_relative_eq!(a, b, epsilon = 1e-9, max_relative = 1e-9);
        }
    }
}
