//! Recomputation (activation checkpointing): a part of a graph that keeps its inputs only, and is computed again in the
//! backward pass.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chainrule_tensor::Float;

use crate::forward::tangents;
use crate::graph::{Operation, Rule, Tangent, VarOf};
use crate::observer::Nobody;
use crate::recording::{is_recording, with_recording};
use crate::scope::within;
use crate::var::next_id;
use crate::walk::walk;

/// The output of `f`, without what it computed on the way: the backward pass runs `f` again. This takes the memory of the
/// inputs in place of that of all intermediate values, and the time of one more forward pass. Value and gradients have the
/// same bits as those of `f(inputs)`. Gradients of gradients agree up to rounding: their sums are in another order.
///
/// `f` may capture other variables, such as parameters; they get their gradients. It must compute the same each time. What
/// happens once a step, such as a draw of random numbers, goes through [`computed_once`], as in the layers of this project.
/// Hooks ([`map_records`](crate::map_records)) see the operations of the first run, and those of the backward pass only if that
/// runs in them too.
///
/// It is `torch.utils.checkpoint.checkpoint`; see Chen, Xu, Zhang, Guestrin: "Training deep nets with sublinear memory cost",
/// 2016.
///
/// ```
/// use chainrule_autograd::{Var64, recompute};
/// let (x, w) = (Var64::parameter("x", [1.0, 2.0]), Var64::parameter("w", [0.5, 0.25]));
/// let captured = w.clone();
/// let y = recompute(move |x| (&x[0] * &captured).exp().sin(), &[x.clone()]);
/// let gradients = y.sum().backward();
/// let kept = (&x * &w).exp().sin().sum().backward();
/// assert_eq!((&gradients[&x], &gradients[&w]), (&kept[&x], &kept[&w]));
/// ```
///
/// # Panics
/// In the backward pass, if `f` returns another shape when it is run again, or uses a variable that it did not use before.
#[track_caller]
pub fn recompute<T: Float>(
    f: impl Fn(&[VarOf<T>]) -> VarOf<T> + Send + Sync + 'static,
    inputs: &[VarOf<T>],
) -> VarOf<T> {
    if !is_recording() {
        return f(inputs);
    }
    let before = next_id();
    let (y, kept) = first_run(|| f(inputs));
    if y.operation().is_none() || y.id() < before {
        return y;
    }
    // Each variable is one parent, whatever the number of its uses.
    let (mut parents, mut places): (Vec<VarOf<T>>, Vec<usize>) = (Vec::new(), Vec::new());
    for input in inputs {
        let known = parents.iter().position(|parent| parent.id() == input.id());
        places.push(known.unwrap_or(parents.len()));
        if known.is_none() {
            parents.push(input.clone());
        }
    }
    parents.extend(captured(&y, before, inputs).into_values());
    VarOf::record(y.value().clone(), &parents, Recompute { f, inputs: places, kept })
}

/// The variables from before `before` that `y` was computed from, without the inputs, by id: also frozen parameters, which must
/// not change until the function is run again.
fn captured<T: Float>(y: &VarOf<T>, before: u64, inputs: &[VarOf<T>]) -> BTreeMap<u64, VarOf<T>> {
    let inputs: BTreeSet<u64> = inputs.iter().map(VarOf::id).collect();
    let (mut captured, mut seen, mut stack) = (BTreeMap::new(), BTreeSet::new(), vec![y.clone()]);
    while let Some(var) = stack.pop() {
        if var.id() < before {
            if (var.requires_grad() || var.is_parameter()) && !inputs.contains(&var.id()) {
                captured.insert(var.id(), var);
            }
        } else if let Some(op) = var.operation()
            && seen.insert(var.id())
        {
            stack.extend((0..op.parents()).map(|i| op.parent(i).clone()));
        }
    }
    captured
}

struct Recompute<F> {
    f: F,
    /// The parent that each input is. The other parents are captured.
    inputs: Vec<usize>,
    kept: Vec<Kept>,
}

impl<T: Float, F: Fn(&[VarOf<T>]) -> VarOf<T> + Send + Sync + 'static> Rule<T> for Recompute<F> {
    fn name(&self) -> &'static str {
        "recompute"
    }
    fn formula(&self) -> &'static str {
        "y = f(x)"
    }
    fn derivative(&self) -> &'static str {
        "dx = dy · d f(x)/d x"
    }
    fn saved(&self) -> &'static str {
        "x"
    }
    fn recompute(&self, op: &Operation<T>) -> Option<VarOf<T>> {
        let inputs: Vec<VarOf<T>> = self.inputs.iter().map(|&i| op.parent(i).clone()).collect();
        let y = run_again(&self.kept, || within(op.scope().cloned(), || with_recording(true, || (self.f)(&inputs))));
        let (shape, before) = (y.shape(), op.output().shape());
        assert!(
            shape == before,
            "backward: the function of 'recompute' returned shape {before}, and {shape} when it was run again\n  rule: it must compute the same each time"
        );
        Some(y)
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let again = self.recompute(op).expect("it is always computed again");
        let wanted: BTreeSet<u64> = (0..op.parents()).filter(|&i| needs[i]).map(|i| op.parent(i).id()).collect();
        let newer_or_wanted = |var: &VarOf<T>| var.id() > op.output().id() || wanted.contains(&var.id());
        let found = walk(&again, dy.clone(), &wanted, newer_or_wanted, &mut Nobody);
        (0..op.parents())
            .map(|i| found.iter().find(|(var, _)| needs[i] && var.id() == op.parent(i).id()).map(|(_, dx)| dx.clone()))
            .collect()
    }
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        let again = self.recompute(op)?;
        let seeds: Vec<(&VarOf<T>, &VarOf<T>)> =
            dx.iter().enumerate().filter_map(|(i, dx)| Some((op.parent(i), dx.as_ref()?))).collect();
        Some(tangents(&[&again], &seeds).remove(0))
    }
}

/// The value of `body`, which runs once: when a function of [`recompute`] is run again in the backward pass, this returns the
/// value of the first run. Elsewhere it just runs `body`.
///
/// For what changes from call to call, or changes something: a draw of random numbers, an update of running statistics.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// use chainrule_autograd::{Var64, computed_once, recompute};
/// static CALLS: AtomicU64 = AtomicU64::new(0);
/// let x = Var64::parameter("x", 3.0);
/// let factor = || computed_once(|| CALLS.fetch_add(1, Relaxed) + 5);
/// let y = recompute(move |x| x[0].square() * factor() as f64, &[x.clone()]);
/// assert_eq!((y.item(), y.backward()[&x].item()), (45.0, 30.0));
/// assert_eq!(CALLS.load(Relaxed), 1);
/// ```
///
/// # Panics
/// If a function of [`recompute`] asks for other values when it is run again.
#[track_caller]
pub fn computed_once<V: Clone + Send + Sync + 'static>(body: impl FnOnce() -> V) -> V {
    const RULE: &str = "rule: it must compute the same each time";
    if TAPE.with_borrow(Option::is_none) {
        return body();
    }
    let replayed = TAPE.with_borrow_mut(|tape| tape.as_mut()?.replay.as_mut().map(VecDeque::pop_front));
    let kept = match replayed {
        None => Arc::new(body()),
        Some(None) => panic!("recompute: the function asked for more values when it was run again\n  {RULE}"),
        Some(Some(kept)) => kept.downcast::<V>().unwrap_or_else(|_| {
            panic!("recompute: the function asked for a value of another type when it was run again\n  {RULE}")
        }),
    };
    let value = V::clone(&kept);
    TAPE.with_borrow_mut(|tape| {
        if let Some(tape) = tape {
            tape.kept.push(kept);
        }
    });
    value
}

/// A value of [`computed_once`].
type Kept = Arc<dyn Any + Send + Sync>;

/// The values of [`computed_once`] in a function of [`recompute`].
struct Tape {
    /// What is left of the values of the first run, when the function is run again.
    replay: Option<VecDeque<Kept>>,
    /// The values of this run so far.
    kept: Vec<Kept>,
}

thread_local! {
    /// The tape of the innermost function of `recompute` that runs on this thread.
    static TAPE: RefCell<Option<Tape>> = const { RefCell::new(None) };
}

/// Runs a function for the first time. If this is part of another one, their values are on the tapes of both.
fn first_run<R>(f: impl FnOnce() -> R) -> (R, Vec<Kept>) {
    let replay = TAPE.with_borrow_mut(|around| around.as_mut()?.replay.take());
    let (value, Tape { replay, kept }) = with_tape(Tape { replay, kept: Vec::new() }, f);
    TAPE.with_borrow_mut(|around| {
        if let Some(around) = around {
            around.replay = replay;
            around.kept.extend_from_slice(&kept);
        }
    });
    (value, kept)
}

/// Runs a function again, with the values of its first run.
fn run_again<R>(kept: &[Kept], f: impl FnOnce() -> R) -> R {
    with_tape(Tape { replay: Some(kept.iter().cloned().collect()), kept: Vec::new() }, f).0
}

/// Runs a function with a tape, and restores the one around, also after a panic.
fn with_tape<R>(tape: Tape, f: impl FnOnce() -> R) -> (R, Tape) {
    struct Restore(Option<Tape>);
    impl Drop for Restore {
        fn drop(&mut self) {
            TAPE.set(self.0.take());
        }
    }
    let restore = Restore(TAPE.replace(Some(tape)));
    let value = f();
    let tape = TAPE.take().expect("each tape is taken by the one who set it");
    drop(restore);
    (value, tape)
}
