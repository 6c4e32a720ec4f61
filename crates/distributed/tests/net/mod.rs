//! A small net and its training, for the tests of all engines.

use chainrule_autograd::VarOf;
use chainrule_distributed::{DataParallel, Reducible};
use chainrule_nn::{
    Adam, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Module, Optimizer, Relu, Sequential,
};
use chainrule_tensor::{Device, Rng, TensorOf};

/// A small convolutional net after some steps on batches of so many images, of which every fourth has 3, so that shards are empty.
/// With state it has dropout and batch normalization.
pub fn trained<T: Reducible>(
    replicas: &DataParallel,
    with_state: bool,
    device: Device,
    [steps, batch]: [usize; 2],
) -> Sequential<T> {
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
    for step in 0..steps {
        let n = if step % 4 == 3 { 3 } else { batch };
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
