//! A reference-counted pointer that needs no atomic read-modify-write while it has one owner.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

/// A shared value: `std::sync::Arc` without weak pointers.
///
/// Small graphs spend much of their time creating and dropping values that never get a second owner. There an `Arc` costs
/// two atomic operations, which this pointer avoids.
pub struct Shared<T> {
    counted: NonNull<Counted<T>>,
    owns: PhantomData<Counted<T>>,
}

struct Counted<T> {
    owners: AtomicUsize,
    value: T,
}

// SAFETY: as for `Arc`: owners share the value, and the last one, on whatever thread, drops it.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above; a shared pointer can be cloned.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}
impl<T> std::panic::UnwindSafe for Shared<T> where T: std::panic::RefUnwindSafe {}

impl<T> Shared<T> {
    /// A value with one owner.
    #[inline]
    pub fn new(value: T) -> Self {
        // Allocate first and then write the value, so that it is not moved.
        let counted = Box::write(Box::new_uninit(), Counted { owners: AtomicUsize::new(1), value });
        Self { counted: NonNull::from(Box::leak(counted)), owns: PhantomData }
    }

    #[inline]
    fn counted(&self) -> &Counted<T> {
        // SAFETY: the allocation lives as long as any owner.
        unsafe { self.counted.as_ref() }
    }

    /// Whether this is the only owner.
    #[inline]
    fn is_exclusive(&self) -> bool {
        // Acquire: accesses by former owners happen before those of this one. No other owner can appear, since that takes an
        // owner to clone.
        self.counted().owners.load(Ordering::Acquire) == 1
    }

    /// The value, mutably, if this is its only owner.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        if !self.is_exclusive() {
            return None;
        }
        // SAFETY: there is no other owner, and `&mut self` prevents cloning this one.
        Some(unsafe { &mut self.counted.as_mut().value })
    }

    /// Releases this ownership; true for exactly one owner, the last.
    #[inline]
    fn release(&self) -> bool {
        if self.is_exclusive() {
            return true;
        }
        if self.counted().owners.fetch_sub(1, Ordering::Release) != 1 {
            return false;
        }
        fence(Ordering::Acquire);
        true
    }

    /// Returns the pointer as the only owner, for exactly one of all owners: the last to call this.
    #[inline]
    pub fn last(self) -> Option<Self> {
        let this = ManuallyDrop::new(self);
        if !this.release() {
            return None;
        }
        this.counted().owners.store(1, Ordering::Relaxed);
        Some(ManuallyDrop::into_inner(this))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.counted().value
    }
}

impl<T> Clone for Shared<T> {
    /// Another owner of the same value.
    #[inline]
    fn clone(&self) -> Self {
        let owners = self.counted().owners.fetch_add(1, Ordering::Relaxed);
        if owners > isize::MAX as usize {
            // Reachable only by leaking owners (`mem::forget`); an overflow would free the value too early.
            std::process::abort();
        }
        Self { counted: self.counted, owns: PhantomData }
    }
}

impl<T> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        if self.release() {
            // SAFETY: the last owner frees the allocation, which `new` took from a box.
            drop(unsafe { Box::from_raw(self.counted.as_ptr()) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    /// Records its drop, and panics the second time.
    struct Noted<'a>(&'a AtomicBool);
    impl Drop for Noted<'_> {
        fn drop(&mut self) {
            assert!(!self.0.swap(true, Ordering::Relaxed), "dropped twice");
        }
    }

    #[test]
    fn the_last_owner_drops_the_value() {
        let dropped = AtomicBool::new(false);
        let mut a = Shared::new(Noted(&dropped));
        assert!(a.get_mut().is_some());
        let b = a.clone();
        assert!(a.get_mut().is_none());
        drop(b);
        assert!(a.get_mut().is_some() && !dropped.load(Ordering::Relaxed));
        drop(a);
        assert!(dropped.load(Ordering::Relaxed));
    }

    #[test]
    fn the_last_to_ask_is_the_only_owner() {
        let a = Shared::new(String::from("text"));
        let b = a.clone();
        assert!(a.last().is_none());
        let mut b = b.last().expect("there is no other");
        assert_eq!(b.get_mut().map(|text| text.as_str()), Some("text"));
    }

    #[test]
    fn exactly_one_of_many_threads_is_the_last() {
        for _ in 0..200 {
            let dropped = AtomicBool::new(false);
            let shared = Shared::new(Noted(&dropped));
            let taken: usize = std::thread::scope(|scope| {
                let owners: Vec<_> = (0..3).map(|_| shared.clone()).collect();
                drop(shared);
                let threads: Vec<_> =
                    owners.into_iter().map(|owner| scope.spawn(|| usize::from(owner.last().is_some()))).collect();
                threads.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
            });
            assert_eq!(taken, 1);
            assert!(dropped.load(Ordering::Relaxed));
        }
    }
}
