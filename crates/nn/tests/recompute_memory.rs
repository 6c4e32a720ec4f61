//! The memory of a net in segments. A test of its own: the statistics are those of the whole process.

use chainrule_autograd::Var;
use chainrule_nn::nets::resnet18_cifar;
use chainrule_nn::{Module, Recompute};
use chainrule_tensor::{Rng, Tensor, buffer_pool};

#[test]
fn a_net_in_segments_takes_less_memory() {
    let x = Var::constant(Tensor::ones([16, 3, 16, 16]));
    let between_passes = |net: &dyn Module| {
        // Once before, so that what is made only once is there.
        drop(net.forward(&x).square().mean().backward());
        buffer_pool::trim();
        let before = buffer_pool::stats().in_use;
        let loss = net.forward(&x).square().mean();
        let kept = buffer_pool::stats().in_use - before;
        drop(loss.backward());
        kept
    };
    let kept = between_passes(&resnet18_cifar::<f32>(10, &mut Rng::seed(0)));
    let again = between_passes(&Recompute::in_segments(resnet18_cifar::<f32>(10, &mut Rng::seed(0)), 7));
    assert!(3 * again < kept, "{again} bytes in place of {kept}");
}
