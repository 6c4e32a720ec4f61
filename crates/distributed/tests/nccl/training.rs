//! Data-parallel steps, compared with those of one process on the same GPU.

use std::rc::Rc;

use chainrule_distributed::{Alone, Communicator, DataParallel, Shards};
use chainrule_nn::{Module, Sequential, weights_sha256};
use chainrule_tensor::Float;

use crate::net::trained;
use crate::{Ended, connected, gpu, succeeded};

/// Steps few and small enough for the stand-in.
const SIZES: [usize; 2] = [6, 16];

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
    let [alone, together] = [alone, together].map(|replicas| trained::<f32>(&replicas, true, gpu(), SIZES));
    assert_eq!(weights(&alone), weights(&together));
    println!("\nweights {}", weights_sha256(&together));
}

/// Up to rounding those of one process.
pub fn fast() {
    let nccl = connected();
    let [alone, together] = [Rc::new(Alone) as Rc<dyn Communicator>, nccl]
        .map(|communicator| DataParallel::fast(communicator).bucket_bytes(600))
        .map(|replicas| trained::<f64>(&replicas, false, gpu(), SIZES));
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
