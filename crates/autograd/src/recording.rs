//! Whether operations are recorded on this thread.

use std::cell::Cell;

thread_local! {
    static RECORDING: Cell<bool> = const { Cell::new(true) };
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
