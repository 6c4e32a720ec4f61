//! Copies in memory of all that training changes.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, TensorOf};

use crate::module::{Item, Module, Visitor};
use crate::optim::{GroupSettings, Optimizer, StateTensors};

/// A copy of a net's parameters, buffers and counters and of an optimizer's state, on their devices.
///
/// A step that is run again from a snapshot gives the same bits. A snapshot shares no memory with the net, so the next step
/// copies nothing and a GPU can go on replaying steps.
///
/// ```
/// use chainrule_autograd::Var;
/// use chainrule_nn::{Linear, Module, Optimizer, Sgd, Snapshot};
/// use chainrule_tensor::Rng;
///
/// let net: Linear = Linear::new(2, 1, &mut Rng::seed(0));
/// let mut sgd = Sgd::new(net.parameters(), 0.1);
/// let (before, weights) = (Snapshot::take(&net, &sgd), net.weight.value().to_vec());
/// sgd.step(&net.forward(&Var::constant([[1.0, 2.0]])).sum().backward());
/// before.restore(&net, &mut sgd);
/// assert_eq!(net.weight.value().to_vec(), weights);
/// ```
#[derive(Debug)]
pub struct Snapshot<T: Float = f32> {
    parameters: Vec<TensorOf<T>>,
    buffers: Vec<TensorOf<T>>,
    counters: Vec<u64>,
    state: StateTensors<T>,
    steps: Vec<u64>,
    groups: Vec<GroupSettings>,
}

/// A copy that shares no memory.
pub(crate) fn copy<T: Float>(x: &TensorOf<T>) -> TensorOf<T> {
    let mut copy = TensorOf::full_on(x.device(), x.shape(), T::ZERO);
    copy.copy_from(x);
    copy
}

impl<T: Float> Snapshot<T> {
    /// Copies the current state.
    pub fn take(net: &dyn Module<T>, optimizer: &dyn Optimizer<T>) -> Self {
        let (mut buffers, mut counters) = (Vec::new(), Vec::new());
        net.visit(&mut Visitor::new(&mut |_, item| match item {
            Item::Buffer(buffer) => buffers.push(copy(&buffer.get())),
            Item::Counter(counter) => counters.push(counter.get()),
            _ => {}
        }));
        Self {
            parameters: net.parameters().iter().map(|parameter| copy(&parameter.value())).collect(),
            buffers,
            counters,
            state: optimizer.state().into_iter().map(|(i, name, x)| (i, name.to_owned(), copy(&x))).collect(),
            steps: optimizer.steps(),
            groups: optimizer.groups(),
        }
    }

    /// Returns the net and the optimizer, the same as were copied, to this state.
    ///
    /// # Panics
    /// If it is another net or another optimizer; neither is changed then.
    #[track_caller]
    pub fn restore(&self, net: &dyn Module<T>, optimizer: &mut dyn Optimizer<T>) {
        let parameters = net.parameters();
        let (mut buffers, mut counters) = (Vec::new(), 0);
        net.visit(&mut Visitor::new(&mut |_, item| match item {
            Item::Buffer(buffer) => buffers.push(buffer.get().shape()),
            Item::Counter(_) => counters += 1,
            _ => {}
        }));
        assert!(
            parameters.iter().map(VarOf::shape).eq(self.parameters.iter().map(TensorOf::shape))
                && buffers.into_iter().eq(self.buffers.iter().map(TensorOf::shape))
                && counters == self.counters.len(),
            "Snapshot: it is of another net\n  rule: restore the net that it was taken of"
        );
        let state = self.state.iter().map(|(i, name, x)| (*i, name.clone(), copy(x))).collect();
        if let Err(differences) = optimizer.restore(state, &self.steps, &self.groups) {
            panic!("Snapshot: it is of another optimizer\n  {}", differences.join("\n  "));
        }
        for (parameter, saved) in parameters.iter().zip(&self.parameters) {
            parameter.update(|value| value.copy_from(saved));
        }
        let (mut buffers, mut counters) = (self.buffers.iter(), self.counters.iter());
        net.visit(&mut Visitor::new(&mut |_, item| match item {
            Item::Buffer(buffer) => buffer.set(copy(buffers.next().expect("the net is the same"))),
            Item::Counter(counter) => counter.set(*counters.next().expect("the net is the same")),
            _ => {}
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use chainrule_autograd::Var;
    use chainrule_tensor::{Rng, Tensor};

    use super::*;
    use crate::{Adam, BatchNorm1d, BatchNorm2d, Conv2d, Dropout, Flatten, Linear, Sequential, Sgd};

    fn net() -> Sequential {
        let mut rng = Rng::seed(1);
        Sequential::new()
            .add(Conv2d::builder(1, 2, 3).build(&mut rng))
            .add(BatchNorm2d::new(2))
            .add(Dropout::new(0.5, &mut rng))
            .add(Flatten)
            .add(Linear::new(2 * 2 * 2, 3, &mut rng))
    }

    /// The weights after two more steps.
    fn train(net: &dyn Module, optimizer: &mut dyn Optimizer) -> String {
        for i in 0..2 {
            let x = Tensor::from_fn([4, 1, 4, 4], |k| ((k + 7 * i) % 5) as f32);
            optimizer.step(&net.forward(&Var::constant(x)).cross_entropy(&[0, 1, 2, 0].into()).backward());
        }
        crate::weights_sha256(net)
    }

    #[test]
    fn steps_from_a_snapshot_give_the_same_bits() {
        fn check(net: &dyn Module, optimizer: &mut dyn Optimizer) {
            train(net, optimizer);
            let snapshot = Snapshot::take(net, optimizer);
            let first = train(net, optimizer);
            assert_ne!(first, train(net, optimizer));
            // Twice: a restored state is a copy, too.
            for _ in 0..2 {
                snapshot.restore(net, optimizer);
                assert_eq!(train(net, optimizer), first);
            }
        }
        let nets = [net(), net(), net()];
        let [p, q, r] = nets.each_ref().map(Module::<f32>::parameters);
        check(&nets[0], &mut Adam::new(p, 0.1));
        check(&nets[1], &mut Sgd::new(q, 0.1).momentum(0.9));
        check(&nets[2], &mut Sgd::new(r, 0.1));
    }

    /// Asserts that a snapshot is refused, and that the net stays as it was.
    fn refused(snapshot: &Snapshot, net: &Sequential, optimizer: &mut dyn Optimizer, text: &str) {
        let before = crate::weights_sha256(net);
        let panic = catch_unwind(AssertUnwindSafe(|| snapshot.restore(net, optimizer))).unwrap_err();
        let constant = panic.downcast_ref::<&str>().copied();
        assert_eq!(panic.downcast_ref::<String>().map(String::as_str).or(constant), Some(text));
        assert_eq!(crate::weights_sha256(net), before);
    }

    #[test]
    fn another_optimizer_leaves_the_net_as_it_is() {
        let net = net();
        let snapshot = Snapshot::take(&net, &Sgd::new(net.parameters(), 0.1));
        train(&net, &mut Sgd::new(net.parameters(), 0.1));
        let text = "Snapshot: it is of another optimizer\n  momentum of group 0: saved 0, this optimizer has 0.9";
        refused(&snapshot, &net, &mut Sgd::new(net.parameters(), 0.1).momentum(0.9), text);
    }

    #[test]
    fn another_net_is_left_as_it_is() {
        let (net, text) = (net(), "Snapshot: it is of another net\n  rule: restore the net that it was taken of");
        let sgd = |net: &Sequential| Sgd::new(net.parameters(), 0.1);
        let snapshot = Snapshot::take(&net, &sgd(&net));
        let mut rng = Rng::seed(2);
        // With as many parameters of other shapes, and with another buffer.
        let others = [
            Sequential::new()
                .add(Conv2d::builder(1, 2, 3).build(&mut rng))
                .add(BatchNorm2d::new(2))
                .add(Linear::new(3, 3, &mut rng)),
            self::net().add(BatchNorm1d::new(3).without_affine()),
        ];
        for other in &others {
            refused(&snapshot, other, &mut sgd(other), text);
        }
    }
}
