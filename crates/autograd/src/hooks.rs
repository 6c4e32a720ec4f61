//! Functions that are called with each operation that is recorded.

use std::any::Any;
use std::cell::{Cell, RefCell};

use chainrule_tensor::Float;

use crate::graph::VarOf;

type Watcher = Box<dyn FnMut(u64)>;
type Hook<T> = Box<dyn FnMut(VarOf<T>) -> VarOf<T>>;

thread_local! {
    /// Whether there is a watcher or a hook, so that recording costs one test if there is none.
    static OBSERVED: Cell<bool> = const { Cell::new(false) };
    static WATCHER: RefCell<Option<Watcher>> = const { RefCell::new(None) };
    /// Each is a `Hook<T>` for some T; the innermost is the last.
    static HOOKS: RefCell<Vec<Box<dyn Any>>> = const { RefCell::new(Vec::new()) };
}

/// Runs `body` and calls `watcher` with the id of each operation right after this thread records it, so the time
/// between two calls is the time of the later operation. Watchers do not nest: only the innermost one is called.
pub fn watch_records<R>(watcher: impl FnMut(u64) + 'static, body: impl FnOnce() -> R) -> R {
    struct Restore(Option<Watcher>);
    impl Drop for Restore {
        fn drop(&mut self) {
            WATCHER.replace(self.0.take());
            set_observed();
        }
    }
    let _restore = Restore(WATCHER.replace(Some(Box::new(watcher))));
    set_observed();
    body()
}

/// Runs `body` and passes each operation that this thread records in it to `hook`. What the hook returns takes the place
/// of the operation in the rest of `body`: the operation itself, its sum with a small number, or its value with another
/// rule.
///
/// Operations that the hook itself records are not passed to a hook, nor are those on another element type. Hooks nest:
/// an outer one gets what the inner one returned.
///
/// ```
/// use chainrule_autograd::{Var64, map_records};
/// let x = Var64::parameter("x", 2.0);
/// let mut k = 0;
/// let nudge_the_second = move |var: Var64| {
///     k += 1;
///     if k == 2 { var + 0.5 } else { var }
/// };
/// assert_eq!(map_records(nudge_the_second, || 10.0 * (&x * &x + 1.0)).item(), 55.0);
/// ```
pub fn map_records<T: Float, R>(hook: impl FnMut(VarOf<T>) -> VarOf<T> + 'static, body: impl FnOnce() -> R) -> R {
    struct Pop;
    impl Drop for Pop {
        fn drop(&mut self) {
            HOOKS.with_borrow_mut(Vec::pop);
            set_observed();
        }
    }
    let hook: Hook<T> = Box::new(hook);
    HOOKS.with_borrow_mut(|hooks| hooks.push(Box::new(hook)));
    let _pop = Pop;
    set_observed();
    body()
}

fn set_observed() {
    OBSERVED.set(WATCHER.with_borrow(Option::is_some) || HOOKS.with_borrow(|hooks| !hooks.is_empty()));
}

/// Passes a new operation to the watcher and to the hooks.
#[inline]
pub(crate) fn recorded<T: Float>(var: VarOf<T>) -> VarOf<T> {
    if OBSERVED.get() { observed(var) } else { var }
}

#[cold]
fn observed<T: Float>(mut var: VarOf<T>) -> VarOf<T> {
    /// Puts the hooks back, also after a panic.
    struct Taken(Vec<Box<dyn Any>>);
    impl Drop for Taken {
        fn drop(&mut self) {
            HOOKS.replace(std::mem::take(&mut self.0));
        }
    }
    // Watcher and hooks are removed while they run, so that operations recorded by them are not observed.
    if let Some(mut watcher) = WATCHER.take() {
        watcher(var.id());
        WATCHER.replace(Some(watcher));
    }
    let mut hooks = Taken(HOOKS.take());
    for hook in hooks.0.iter_mut().rev() {
        if let Some(hook) = hook.downcast_mut::<Hook<T>>() {
            var = hook(var);
        }
    }
    var
}
