//! Maps: a function is applied to one, two or three operands of any strides.
//!
//! The function's loop runs over contiguous memory only. Strided operands are first gathered, and broadcast elements
//! repeated, into blocks that stay in the L1 cache. So only that loop is compiled for each function and each level of CPU
//! features; the strided iteration calls it and is compiled once for each element type.

#![expect(
    clippy::inline_always,
    reason = "loops are vectorized only where they are inlined into a variant of `dispatch`"
)]

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::cpu::plan::Plan;
use crate::cpu::simd::{Vectorized, dispatch};
use crate::element::Element;
use crate::layout::Layout;
use crate::parallel::{Disjoint, parallel_for};
use crate::shape::Shape;
use crate::tensor::TensorOf;

/// The minimum number of elements per task, for a function of a few instructions.
pub(super) const CHEAP: usize = 16 << 10;
/// The same for a function of dozens of instructions, such as an exponential.
pub(super) const DEAR: usize = 2 << 10;
/// The same for a function that no net of images needs, which is not worth compiling for wide registers.
pub(super) const RARE: usize = 1 << 10;
/// The number of elements of an operand that are gathered at a time.
const BLOCK: usize = 256;

/// A function of one element.
pub(super) trait Function1<A, Y>: Copy + Sync {
    /// Whether its loop is compiled for each level of CPU features.
    const WIDE: bool = true;
    fn apply(self, a: A) -> Y;
}

/// A function of two elements.
pub(super) trait Function2<A, B, Y>: Copy + Sync {
    /// Whether its loop is compiled for each level of CPU features.
    const WIDE: bool = true;
    fn apply(self, a: A, b: B) -> Y;
}

/// A function of three elements.
pub(super) trait Function3<A, B, C, Y>: Copy + Sync {
    fn apply(self, a: A, b: B, c: C) -> Y;
}

/// A function's loop over contiguous pieces of y and of its operands.
type Loop1<'f, A, Y> = dyn Fn(&mut [Y], &[A]) + Sync + 'f;
type Loop2<'f, A, B, Y> = dyn Fn(&mut [Y], &[A], &[B]) + Sync + 'f;

/// One operand, and the staging buffer into which its elements are gathered if they are not contiguous.
struct Operand<'a, T> {
    data: &'a [T],
    step: isize,
    /// Uninitialized, and so free of cost, if nothing is gathered.
    staging: [MaybeUninit<T>; BLOCK],
    /// The position of the element that is repeated in `staging`, and the number of repetitions.
    repeated: (isize, usize),
}

impl<'a, T: Element> Operand<'a, T> {
    fn new(data: &'a [T], step: isize) -> Self {
        Self { data, step, staging: [MaybeUninit::uninit(); BLOCK], repeated: (0, 0) }
    }

    /// The `len` elements at `from`, `from + step`, …: a slice of the operand, or gathered.
    fn block(&mut self, from: isize, len: usize) -> &[T] {
        if self.step == 1 {
            return &self.data[from as usize..from as usize + len];
        }
        let staging = &mut self.staging[..len];
        if self.step != 0 {
            for (i, slot) in staging.iter_mut().enumerate() {
                slot.write(self.data[(from + i as isize * self.step) as usize]);
            }
        } else if self.repeated.0 != from || self.repeated.1 < len {
            let value = self.data[from as usize];
            for slot in staging.iter_mut() {
                slot.write(value);
            }
            self.repeated = (from, len);
        }
        // SAFETY: all elements were written, now or when the repeated element was.
        unsafe { &*(std::ptr::from_ref(staging) as *const [T]) }
    }
}

/// The maximum length of a piece of a run: unlimited if nothing is gathered.
fn piece<const N: usize>(steps: [isize; N]) -> usize {
    if steps.iter().all(|&step| step == 1) { usize::MAX } else { BLOCK }
}

/// Calls `body` with the positions and lengths of the pieces of each run.
fn for_pieces<const N: usize>(plan: &Plan<N>, range: Range<usize>, mut body: impl FnMut([isize; N], usize)) {
    let steps = plan.run_strides();
    let longest = piece(steps);
    plan.for_runs(range, |at, len| {
        let mut done = 0;
        while done < len {
            let part = (len - done).min(longest);
            body(std::array::from_fn(|i| at[i] + done as isize * steps[i]), part);
            done += part;
        }
    });
}

/// The output's layout: the order of axes in memory is that of the first dense operand of its shape, otherwise of the
/// first operand of its shape.
pub(super) fn output(shape: Shape, operands: &[&Layout]) -> Layout {
    let whole = || operands.iter().filter(|layout| layout.shape() == shape);
    whole()
        .find(|layout| layout.is_dense())
        .or_else(|| whole().next())
        .map_or_else(|| Layout::contiguous(shape), |layout| layout.dense_like())
}

/// An operand's layout, broadcast to the output's shape.
pub(super) fn spread(layout: &Layout, shape: Shape) -> Layout {
    layout.broadcast_to(shape).expect("the caller checked that the operands broadcast")
}

/// A run of the output, which is contiguous: outputs are dense and are the first operand of their plans.
fn out_block<'a, Y>(y: &Disjoint<'a, Y>, at: isize, len: usize) -> &'a mut [Y] {
    // SAFETY: runs of the output do not overlap, and every element belongs to the range of one task.
    unsafe { y.slice(at as usize..at as usize + len) }
}

/// The elements if they are contiguous and the work of one task: a plan would take longer than a cheap function of few.
fn few<T: Element>(x: &TensorOf<T>, grain: usize) -> Option<&[T]> {
    x.as_slice().filter(|elements| elements.len() <= grain)
}

/// `y = f(a)`.
pub(super) fn map1<A: Element, Y: Element, F: Function1<A, Y>>(a: &TensorOf<A>, grain: usize, f: F) -> TensorOf<Y> {
    struct Work<'a, A, Y, F>(&'a mut [Y], &'a [A], F);
    impl<A: Element, Y: Element, F: Function1<A, Y>> Vectorized for Work<'_, A, Y, F> {
        type Element = A;
        type Output = ();
        #[inline(always)]
        fn run(self) {
            let Self(y, a, f) = self;
            for (y, &a) in y.iter_mut().zip(a) {
                *y = f.apply(a);
            }
        }
    }
    walk1(a, grain, &|y, a| if const { F::WIDE } { dispatch(Work(y, a, f)) } else { Work(y, a, f).run() })
}

/// Calls `f` with the pieces of y and a.
fn walk1<A: Element, Y: Element>(a: &TensorOf<A>, grain: usize, f: &Loop1<'_, A, Y>) -> TensorOf<Y> {
    if let Some(elements) = few(a, grain) {
        return TensorOf::filled_by(a.shape(), |y| f(y, elements));
    }
    let mut out = TensorOf::uninitialized(a.layout().dense_like());
    let (buffer, layout) = out.buffer_mut();
    let plan = Plan::new(layout.shape(), [&layout, a.layout()]);
    let [_, a_step] = plan.run_strides();
    let y = Disjoint::new(buffer);
    parallel_for(plan.numel(), grain, |range| {
        let mut a = Operand::new(a.buffer(), a_step);
        for_pieces(&plan, range, |[y_at, a_at], len| f(out_block(&y, y_at, len), a.block(a_at, len)));
    });
    out
}

/// `y = f(a, b)`, with broadcasting.
pub(super) fn map2<A: Element, B: Element, Y: Element, F: Function2<A, B, Y>>(
    a: &TensorOf<A>,
    b: &TensorOf<B>,
    grain: usize,
    f: F,
) -> TensorOf<Y> {
    struct Work<'a, A, B, Y, F>(&'a mut [Y], &'a [A], &'a [B], F);
    impl<A: Element, B: Element, Y: Element, F: Function2<A, B, Y>> Vectorized for Work<'_, A, B, Y, F> {
        type Element = A;
        type Output = ();
        #[inline(always)]
        fn run(self) {
            let Self(y, a, b, f) = self;
            for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                *y = f.apply(a, b);
            }
        }
    }
    walk2(a, b, grain, &|y, a, b| if const { F::WIDE } { dispatch(Work(y, a, b, f)) } else { Work(y, a, b, f).run() })
}

/// Calls `f` with the pieces of y, a and b.
fn walk2<A: Element, B: Element, Y: Element>(
    a: &TensorOf<A>,
    b: &TensorOf<B>,
    grain: usize,
    f: &Loop2<'_, A, B, Y>,
) -> TensorOf<Y> {
    if a.layout().shape_ref() == b.layout().shape_ref()
        && let (Some(of_a), Some(of_b)) = (few(a, grain), few(b, grain))
    {
        return TensorOf::filled_by(a.shape(), |y| f(y, of_a, of_b));
    }
    let shape = broadcast(a.shape(), b.shape());
    let mut out = TensorOf::uninitialized(output(shape, &[a.layout(), b.layout()]));
    let (buffer, layout) = out.buffer_mut();
    let plan = if a.layout().shape_ref() == b.layout().shape_ref() {
        Plan::new(shape, [&layout, a.layout(), b.layout()])
    } else {
        Plan::new(shape, [&layout, &spread(a.layout(), shape), &spread(b.layout(), shape)])
    };
    let [_, a_step, b_step] = plan.run_strides();
    let y = Disjoint::new(buffer);
    parallel_for(plan.numel(), grain, |range| {
        let mut a = Operand::new(a.buffer(), a_step);
        let mut b = Operand::new(b.buffer(), b_step);
        for_pieces(&plan, range, |[y_at, a_at, b_at], len| {
            f(out_block(&y, y_at, len), a.block(a_at, len), b.block(b_at, len));
        });
    });
    out
}

/// `y = f(a, b, c)`, with broadcasting.
pub(super) fn map3<A: Element, B: Element, C: Element, Y: Element>(
    a: &TensorOf<A>,
    b: &TensorOf<B>,
    c: &TensorOf<C>,
    grain: usize,
    f: impl Function3<A, B, C, Y>,
) -> TensorOf<Y> {
    struct Work<'a, A, B, C, Y, F>(&'a mut [Y], &'a [A], &'a [B], &'a [C], F);
    impl<A, B, C, Y, F> Vectorized for Work<'_, A, B, C, Y, F>
    where
        A: Element,
        B: Element,
        C: Element,
        Y: Element,
        F: Function3<A, B, C, Y>,
    {
        type Element = Y;
        type Output = ();
        #[inline(always)]
        fn run(self) {
            let Self(y, a, b, c, f) = self;
            for (((y, &a), &b), &c) in y.iter_mut().zip(a).zip(b).zip(c) {
                *y = f.apply(a, b, c);
            }
        }
    }

    let shape = broadcast(a.shape(), broadcast(b.shape(), c.shape()));
    let mut out = TensorOf::uninitialized(output(shape, &[b.layout(), c.layout(), a.layout()]));
    let (buffer, layout) = out.buffer_mut();
    let spread = [spread(a.layout(), shape), spread(b.layout(), shape), spread(c.layout(), shape)];
    let plan = Plan::new(shape, [&layout, &spread[0], &spread[1], &spread[2]]);
    let [_, a_step, b_step, c_step] = plan.run_strides();
    let y = Disjoint::new(buffer);
    parallel_for(plan.numel(), grain, |range| {
        let mut a = Operand::new(a.buffer(), a_step);
        let mut b = Operand::new(b.buffer(), b_step);
        let mut c = Operand::new(c.buffer(), c_step);
        for_pieces(&plan, range, |[y_at, a_at, b_at, c_at], len| {
            let (a, b, c) = (a.block(a_at, len), b.block(b_at, len), c.block(c_at, len));
            dispatch(Work(out_block(&y, y_at, len), a, b, c, f));
        });
    });
    out
}

/// `f(&mut y, x)` for each pair, in place; `x` has y's shape.
pub(super) fn update<T: Element>(y: &mut TensorOf<T>, x: &TensorOf<T>, grain: usize, f: impl Function2<T, T, T>) {
    struct Work<'a, T, F>(&'a mut [T], &'a [T], F);
    impl<T: Element, F: Function2<T, T, T>> Vectorized for Work<'_, T, F> {
        type Element = T;
        type Output = ();
        #[inline(always)]
        fn run(self) {
            let Self(y, x, f) = self;
            for (y, &x) in y.iter_mut().zip(x) {
                *y = f.apply(*y, x);
            }
        }
    }

    let shape = y.shape();
    let (buffer, layout) = y.buffer_mut();
    let plan = Plan::new(shape, [&layout, x.layout()]);
    let [y_step, x_step] = plan.run_strides();
    let y = Disjoint::new(buffer);
    parallel_for(plan.numel(), grain, |range| {
        let mut x = Operand::new(x.buffer(), x_step);
        for_pieces(&plan, range, |[y_at, x_at], len| {
            let x = x.block(x_at, len);
            if y_step == 1 {
                return dispatch(Work(out_block(&y, y_at, len), x, f));
            }
            for (i, &x) in x.iter().enumerate() {
                let place = y.ptr((y_at + i as isize * y_step) as usize);
                // SAFETY: in bounds of the layout; each element belongs to one task.
                unsafe { *place = f.apply(*place, x) };
            }
        });
    });
}

/// The broadcast shape of two operands; the callers have checked that they broadcast.
fn broadcast(a: Shape, b: Shape) -> Shape {
    if a == b {
        return a;
    }
    crate::shape_rules::broadcast("elementwise", a, b).expect("the caller checked that the operands broadcast")
}
