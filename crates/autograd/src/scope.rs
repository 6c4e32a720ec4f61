//! Scopes: named groups of operations, so that a composed op can be shown as one unit or in detail.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::attribute::Attribute;
use crate::recording::is_recording;

/// A named group of operations, such as a softmax, a loss or a layer. Scopes nest.
///
/// Cloning gives another handle of the same scope.
#[derive(Clone)]
pub struct Scope(Arc<Parts>);

struct Parts {
    id: u64,
    name: Cow<'static, str>,
    parent: Option<Scope>,
    attributes: Vec<Attribute>,
    /// The line that called the composed op; `None` for a scope of a layer or of user code, in which each operation has its own.
    place: Option<&'static Location<'static>>,
}

thread_local! {
    /// The innermost open scope of this thread.
    static OPEN: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// Runs `body` in a new scope: the operations that this thread records in it belong to the scope
/// ([`Operation::scope`](crate::Operation::scope)).
///
/// Composed ops (`softmax`, `mse_loss`, `var`, …) open a scope; layers and user code can do so too. Each call creates a
/// separate scope with its own [`id`](Scope::id). While recording is off, no scope is opened.
///
/// ```
/// use chainrule_autograd::{Var64, scope};
/// let x = Var64::parameter("x", [1.0, 2.0]);
/// let norm = scope("norm", || x.square().sum().sqrt());
/// let root = norm.operation().unwrap();
/// let group = root.scope().unwrap();
/// assert_eq!((group.name(), root.rule().name()), ("norm", "sqrt"));
/// assert!((2.0 * norm).operation().unwrap().scope().is_none());
/// ```
pub fn scope<R>(name: impl Into<Cow<'static, str>>, body: impl FnOnce() -> R) -> R {
    scope_with(name, Vec::new, body)
}

/// As [`scope`], with attributes, such as the reduction of a loss. `attributes` is only called if the scope is opened.
pub fn scope_with<R>(
    name: impl Into<Cow<'static, str>>,
    attributes: impl FnOnce() -> Vec<Attribute>,
    body: impl FnOnce() -> R,
) -> R {
    let _opened = open_at(None, name.into(), attributes);
    body()
}

/// Keeps a scope open until dropped: that of a composed op, whose operations have the place of its caller.
pub(crate) struct Opened {
    /// The enclosing scope, which is restored on drop.
    around: Option<Scope>,
}

#[track_caller]
pub(crate) fn open(name: &'static str) -> Opened {
    open_with(name, Vec::new)
}

#[track_caller]
pub(crate) fn open_with(name: &'static str, attributes: impl FnOnce() -> Vec<Attribute>) -> Opened {
    open_at(Some(Location::caller()), name.into(), attributes)
}

fn open_at(
    place: Option<&'static Location<'static>>,
    name: Cow<'static, str>,
    attributes: impl FnOnce() -> Vec<Attribute>,
) -> Opened {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let around = current();
    if is_recording() {
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let parts = Parts { id, name, parent: around.clone(), attributes: attributes(), place };
        OPEN.replace(Some(Scope(Arc::new(parts))));
    }
    Opened { around }
}

/// Runs `body` in a scope that was opened before, or in none.
pub(crate) fn within<R>(scope: Option<Scope>, body: impl FnOnce() -> R) -> R {
    let _opened = Opened { around: OPEN.replace(scope) };
    body()
}

impl Drop for Opened {
    fn drop(&mut self) {
        OPEN.replace(self.around.take());
    }
}

/// The innermost open scope of this thread.
#[inline]
pub(crate) fn current() -> Option<Scope> {
    OPEN.with_borrow(Clone::clone)
}

impl Scope {
    /// A unique number, larger than those of the enclosing scopes.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The enclosing scope.
    #[must_use]
    pub fn parent(&self) -> Option<&Self> {
        self.0.parent.as_ref()
    }

    /// The settings besides the inputs.
    #[must_use]
    pub fn attributes(&self) -> &[Attribute] {
        &self.0.attributes
    }

    /// The line that called the composed op of this scope, if it is one.
    pub(crate) fn place(&self) -> Option<&'static Location<'static>> {
        self.0.place
    }

    /// The names from the outermost scope to this one: `net/fc1/softmax`.
    #[must_use]
    pub fn path(&self) -> String {
        match self.parent() {
            Some(parent) => parent.path() + "/" + self.name(),
            None => self.name().to_owned(),
        }
    }
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Scope {}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", self.path(), self.id())
    }
}
