//! Kernels that are split into numbered tasks, of which each thread takes some at a time.

#![expect(clippy::inline_always, reason = "tasks are compiled with the features of the variant they are inlined into")]

use std::ops::Range;

use crate::cpu::simd::{Levels, Registers, Tiled, dispatch_tiled};
use crate::parallel::parallel_for;

/// Work on registers ([`Tiled`]) in numbered tasks, whose results do not depend on which of them run together.
pub(crate) trait Tasks: Sync {
    /// The elements that the work is done on.
    type Element: Levels;
    /// Runs some tasks, whose workspace can be shared; `#[inline(always)]` like [`Tiled::run`].
    fn run<R: Registers>(&self, tasks: Range<usize>);
}

/// Runs the tasks `0..count` in parallel, at least `grain` at a time.
pub(crate) fn parallel_tasks<W: Tasks>(count: usize, grain: usize, work: &W) {
    parallel_for(count, grain, |range| dispatch_tiled(Part { work, range }));
}

struct Part<'a, W> {
    work: &'a W,
    range: Range<usize>,
}

impl<W: Tasks> Tiled for Part<'_, W> {
    type Element = W::Element;
    type Output = ();

    #[inline(always)]
    fn run<R: Registers>(self) {
        self.work.run::<R>(self.range);
    }
}
