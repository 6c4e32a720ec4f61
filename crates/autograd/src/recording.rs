//! Whether operations are recorded on this thread.

use std::cell::{Cell, RefCell};

type Watcher = Box<dyn FnMut(u64)>;

thread_local! {
    static RECORDING: Cell<bool> = const { Cell::new(true) };
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static WATCHER: RefCell<Option<Watcher>> = const { RefCell::new(None) };
}

/// Runs `body` and calls `watcher` with the id of each operation right after this thread records it, so the time
/// between two calls is the time of the later operation. Watchers do not nest: only the innermost one is called.
pub fn watch_records<R>(watcher: impl FnMut(u64) + 'static, body: impl FnOnce() -> R) -> R {
    struct Restore(Option<Watcher>);
    impl Drop for Restore {
        fn drop(&mut self) {
            WATCHED.set(self.0.is_some());
            WATCHER.replace(self.0.take());
        }
    }
    let _restore = Restore(WATCHER.replace(Some(Box::new(watcher))));
    WATCHED.set(true);
    body()
}

/// Calls the watcher, if there is one, with a new node.
#[inline]
pub(crate) fn recorded(id: u64) {
    if WATCHED.get() {
        // Removed during the call, so that operations recorded by the watcher itself are not watched.
        let watcher = WATCHER.take();
        if let Some(mut watcher) = watcher {
            watcher(id);
            WATCHER.replace(Some(watcher));
        }
    }
}

/// Whether operations on this thread are recorded.
pub fn is_recording() -> bool {
    RECORDING.get()
}

/// Runs `body` without recording; its results are constants.
///
/// ```
/// use chainrule_autograd::{Var64, no_grad};
/// let x = Var64::parameter("x", 2.0);
/// assert!(!no_grad(|| &x * &x).requires_grad());
/// ```
pub fn no_grad<R>(body: impl FnOnce() -> R) -> R {
    with_recording(false, body)
}

/// Runs `body` with recording switched on or off, and restores the previous state, also after a panic.
pub(crate) fn with_recording<R>(on: bool, body: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            RECORDING.set(self.0);
        }
    }
    let _restore = Restore(RECORDING.replace(on));
    body()
}
