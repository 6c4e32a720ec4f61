//! Data-parallel steps, compared with those of one process on the same GPU.

use std::rc::Rc;

use chainrule_autograd::VarOf;
use chainrule_distributed::{Alone, Communicator, DataParallel, Reducible, Shards};
use chainrule_nn::{
    Adam, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Module, Optimizer, Relu, Sequential, weights_sha256,
};
use chainrule_tensor::{Device, Float, Rng, TensorOf};

use crate::{Ended, connected, gpu, succeeded};

/// A small convolutional net, with dropout and batch normalization if it has state, and steps small enough for the stand-in.
fn trained<T: Float + Reducible>(replicas: &DataParallel, with_state: bool, device: Device) -> Sequential<T> {
    let rng = &mut Rng::seed(3);
    let mut net = Sequential::new().add(Conv2d::new(1, 4, 3, rng));
    if with_state {
        net = net.add(BatchNorm2d::new(4));
    }
    net = net.add(Relu).add(MaxPool2d::new(2)).add(Flatten);
    if with_state {
        net = net.add(Dropout::new(0.3, rng));
    }
    let net = net.add(Linear::new(4 * 9, 10, rng));
    net.to(device);
    let mut optimizer = Adam::new(net.parameters(), 1e-3);
    let mut rng = Rng::seed(5);
    for step in 0..6 {
        // The fourth batch leaves shards empty.
        let n = if step == 3 { 3 } else { 16 };
        let images = TensorOf::<T>::from_fn([n, 1, 8, 8], |_| T::from_f64(rng.uniform())).to(device);
        let labels: Vec<i32> = (0..n).map(|i| ((7 * i + step) % 10) as i32).collect();
        let gradients = replicas.gradients(&net, n, |_, samples| {
            let labels = TensorOf::from_slice(&labels[samples.clone()], samples.len()).to(device);
            net.forward(&VarOf::constant(images.narrow(0, samples))).cross_entropy(&labels)
        });
        optimizer.step(&gradients.expect("all ranks take part"));
    }
    net
}

fn weights<T: Float>(net: &Sequential<T>) -> Vec<f64> {
    net.parameters().iter().flat_map(|p| p.value().to_f64().to_vec()).collect()
}

/// The same bits as one process.
pub fn in_order() {
    let nccl = connected();
    let count = nccl.size().max(4);
    let shards = |communicator: &dyn Communicator| Shards::new(count, communicator).expect("a power of two");
    // Small buckets, so that there are several.
    let alone = DataParallel::new(Rc::new(Alone), shards(&Alone)).bucket_bytes(600);
    let together = DataParallel::new(nccl.clone(), shards(&*nccl)).bucket_bytes(600);
    let [alone, together] = [alone, together].map(|replicas| trained::<f32>(&replicas, true, gpu()));
    assert_eq!(weights(&alone), weights(&together));
    println!("\nweights {}", weights_sha256(&together));
}

/// Up to rounding those of one process.
pub fn fast() {
    let nccl = connected();
    let [alone, together] = [Rc::new(Alone) as Rc<dyn Communicator>, nccl]
        .map(|communicator| DataParallel::fast(communicator).bucket_bytes(600))
        .map(|replicas| trained::<f64>(&replicas, false, gpu()));
    for (a, b) in weights(&alone).iter().zip(weights(&together)) {
        assert!((a - b).abs() <= 1e-9 * (1.0 + a.abs()), "{a} by one process, {b} by all");
    }
    println!("\nweights {}", weights_sha256(&together));
}

/// On all ranks, and in all runs.
pub fn same_weights(all: &[Ended]) {
    succeeded(all);
    let of = |ended: &Ended| ended.text.lines().find(|line| line.starts_with("weights ")).map(str::to_owned);
    let first = of(&all[0]);
    assert!(
        first.is_some() && all.iter().all(|ended| of(ended) == first),
        "{:?}",
        all.iter().map(of).collect::<Vec<_>>()
    );
}
