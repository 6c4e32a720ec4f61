//! A backward walk written to be read, in which one law of backpropagation can be broken.
//!
//! It does what `chainrule_autograd`'s walk does, without its optimizations and its checks: with `None` in place of a broken
//! law the gradients are the same to the last bit. Each place where a law holds is marked with its name.

use std::collections::BTreeMap;

use chainrule_autograd::{Operation, Var64, VarOf, no_grad};
use chainrule_tensor::Tensor64;

use super::Law;

/// Nodes by id with their gradients. Ids increase from the inputs to the loss.
pub type Gradients = BTreeMap<u64, (Var64, Tensor64)>;

/// The gradients of `loss` with respect to all nodes.
///
/// `previous` are the gradients of the step before, and `lr` is the learning rate; only a broken law reads them.
///
/// # Errors
/// If a broken rule gives a gradient of the wrong shape, which every walk should check; the text names the op.
pub fn backward(loss: &Var64, broken: Option<Law>, previous: &Gradients, lr: f64) -> Result<Gradients, String> {
    no_grad(|| {
        let mut done = Gradients::new();
        // The nodes that have a gradient and were not visited yet, and the order in which they got their first one.
        let mut waiting = Gradients::from([(loss.id(), (loss.clone(), Tensor64::ones(loss.shape())))]);
        let mut arrivals = vec![loss.id()];
        // Law topological-order: the newest first, so that all users of a node were visited before it. Else whoever came first.
        while let Some((id, (var, dy))) = match broken {
            Some(Law::TopologicalOrder) => {
                (!arrivals.is_empty()).then(|| arrivals.remove(0)).and_then(|id| waiting.remove_entry(&id))
            }
            _ => waiting.pop_last(),
        } {
            if let Some(op) = var.operation() {
                for (parent, gradient) in rule(&op, &dy, broken, lr)? {
                    if done.contains_key(&parent.id()) {
                        // The parent was visited too early: a gradient that arrives now is lost.
                        continue;
                    }
                    match waiting.get_mut(&parent.id()) {
                        None => {
                            arrivals.push(parent.id());
                            waiting.insert(parent.id(), (parent, gradient));
                        }
                        // Law accumulate: the gradients of all users of a node are added.
                        Some((_, sum)) if broken == Some(Law::Accumulate) => *sum = gradient,
                        Some((_, sum)) => sum.add_assign(&gradient),
                    }
                }
            }
            done.insert(id, (var, dy));
        }
        // Law stale-gradients: each step starts from zero.
        if broken == Some(Law::StaleGradients) {
            for (id, (var, gradient)) in &mut done {
                if let Some((_, before)) = previous.get(id).filter(|_| var.is_parameter()) {
                    gradient.add_assign(before);
                }
            }
        }
        Ok(done)
    })
}

/// The parents that need a gradient, with their gradients by the rule of the op.
fn rule(op: &Operation<f64>, dy: &Tensor64, broken: Option<Law>, lr: f64) -> Result<Vec<(Var64, Tensor64)>, String> {
    let parents: Vec<&Var64> = (0..op.parents()).map(|i| op.parent(i)).collect();
    let needs: Vec<bool> = parents.iter().map(|parent| parent.requires_grad()).collect();
    let dy = VarOf::constant(dy);
    let mut gradients = op.rule().backward(op, &dy, &needs);
    if let Some(law) = broken {
        break_rule(law, op, &parents, &dy, lr, &mut gradients)?;
    }
    let found = parents.into_iter().zip(gradients).zip(needs).filter(|(_, needed)| *needed);
    Ok(found.filter_map(|((parent, gradient), _)| Some((parent.clone(), gradient?.value().clone()))).collect())
}

/// Replaces the gradients that the broken law concerns.
fn break_rule(
    law: Law,
    op: &Operation<f64>,
    parents: &[&Var64],
    dy: &Var64,
    lr: f64,
    gradients: &mut [Option<Var64>],
) -> Result<(), String> {
    match (law, op.rule().name()) {
        // Law sigmoid-derivative: σ′ = σ(x)(1 − σ(x)) is taken at the input. Here at the output: σ(y)(1 − σ(y)).
        (Law::SigmoidDerivative, "sigmoid") => {
            let s = op.output().sigmoid();
            gradients[0] = Some(dy * (&s * (1.0 - &s)));
        }
        // Law unbroadcast: a value that was repeated gets the sum over its copies. Here only that of the first copy.
        (Law::Unbroadcast, "add") => {
            for (parent, gradient) in parents.iter().zip(gradients) {
                if parent.shape() != op.output().shape() {
                    *gradient = Some(first_copy(dy, parent));
                }
            }
        }
        // Law transpose: y = a·b has da = dy·bᵀ and db = aᵀ·dy. Here without the transposes.
        (Law::Transpose, "matmul") => {
            let (a, b) = (parents[0], parents[1]);
            for (i, (x, y)) in [(dy, b), (a, dy)].into_iter().enumerate() {
                let [(m, k), (k2, n)] = [x, y].map(|v| (v.shape()[0], v.shape()[1]));
                let (name, wanted) = (parents[i].name(), parents[i].shape());
                if k != k2 || wanted != [m, n] {
                    return Err(format!(
                        "the shapes catch it: without the transpose the gradient of {name} {wanted} would be the product {} · {}",
                        x.shape(),
                        y.shape()
                    ));
                }
                gradients[i] = Some(x.matmul(y));
            }
        }
        // Law update-too-early: the rules of one walk see the weights of the forward pass. Here the second gradient of an
        // op is computed after the step of its weight.
        (Law::UpdateTooEarly, "mul" | "matmul") => {
            let Some(i) = parents.iter().position(|parent| parent.is_parameter()) else { return Ok(()) };
            let Some(gradient) = &gradients[i] else { return Ok(()) };
            let stepped = parents[i] - lr * gradient;
            let other = 1 - i;
            if gradients[other].is_some() {
                gradients[other] = Some(match (op.rule().name(), other) {
                    ("mul", _) => (dy * stepped).sum_to(parents[other].shape()),
                    (_, 0) => dy.matmul(&stepped.transpose(0, 1)),
                    (_, _) => stepped.transpose(0, 1).matmul(dy),
                });
            }
        }
        _ => {}
    }
    Ok(())
}

/// The part of dy that belongs to the first copy of a parent that was broadcast.
fn first_copy(dy: &Var64, parent: &Var64) -> Var64 {
    let (shape, small) = (dy.shape(), parent.shape());
    let front = shape.rank() - small.rank();
    let first = (0..shape.rank()).fold(dy.clone(), |part, axis| {
        let repeated = axis < front || small[axis - front] == 1;
        if repeated { part.narrow(axis as isize, 0..1) } else { part }
    });
    first.reshape(small)
}
