//! The rule of an elementwise function f: `y = f(x)`, `dx = dy · f′`.
//!
//! An entry of [`function!`] defines value, slope f′ and curvature f″ of a function, each with its formula:
//!
//! ```text
//! function! {
//!     /// No overflow at any x.
//!     pub fn sigmoid() = "1/(1 + e^(−x))", Unary::Sigmoid;
//!     slope(y) = "y(1 − y)", Binary::SigmoidBackward;
//!     curvature = "(1 − 2y)", 1.0 - 2.0 * y;
//! }
//! ```
//!
//! The slope is a function of x or of the value y, whichever is shorter. There are two cases. With a kernel, `dx = dy ·
//! f′` is a separate op in one pass, and its rule uses the curvature, the derivative of f′ with respect to that x or y.
//! Without one, the gradient is an expression on variables, `|dy| dy / x`, which can be differentiated directly. In
//! both cases the result consists of variables, so derivatives of any order exist.
//!
//! The tangent is f′ times that of x, by the function that computes `dy · f′`. If the first line ends in
//! `tangent (|x, t| …)`, it is that expression of x and its tangent t, and forward mode is independent of the slope.

use chainrule_tensor::{Binary, Float};

use crate::attribute::Attribute;
use crate::graph::{Operation, Rule, Tangent, VarOf};

/// A function, as defined by its entry. The fields are its numeric arguments.
pub(super) trait Function<T: Float>: Copy + Send + Sync + 'static {
    const NAME: &'static str;
    const FORMULA: &'static str;
    const DERIVATIVE: &'static str;
    const SAVED: &'static str;

    fn attributes(self) -> Vec<Attribute>;

    /// `dx = dy · f′` for the operation `y = f(x)`.
    fn gradient(self, op: &Operation<T>, dy: &VarOf<T>) -> VarOf<T>;

    /// The tangent of y for the tangent t of x.
    fn tangent(self, op: &Operation<T>, t: &VarOf<T>) -> Tangent<T> {
        Tangent::slope(self.gradient(op, t))
    }
}

/// The rule of `y = f(x)`.
pub(super) struct Forward<F>(pub(super) F);

impl<T: Float, F: Function<T>> Rule<T> for Forward<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }
    fn formula(&self) -> &'static str {
        F::FORMULA
    }
    fn derivative(&self) -> &'static str {
        F::DERIVATIVE
    }
    fn attributes(&self) -> Vec<Attribute> {
        self.0.attributes()
    }
    fn saved(&self) -> &'static str {
        F::SAVED
    }
    fn backward(&self, op: &Operation<T>, dy: &VarOf<T>, _needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        vec![Some(self.0.gradient(op, dy))]
    }
    fn tangent(&self, op: &Operation<T>, dx: &[Option<VarOf<T>>]) -> Option<Tangent<T>> {
        dx[0].as_ref().map(|dx| self.0.tangent(op, dx))
    }
}

/// A function with a kernel for its slope.
pub(super) trait Slope<T: Float>: Function<T> {
    const NAME: &'static str;
    const DERIVATIVE: &'static str;
    const SAVED: &'static str;
    /// Whether the curvature is not 0, that is, the slope is not piecewise constant.
    const CURVED: bool;

    /// The kernel of `dy · f′`, as a function of dy and of the x or y that f′ depends on.
    fn kernel(self) -> Binary;

    /// The derivative of f′ with respect to that x or y; `None` if it is 0.
    fn curvature(self, at: &VarOf<T>) -> Option<VarOf<T>>;
}

/// `dx = dy · f′` in one pass, where f′ is a function of `at`: x or y.
pub(super) fn gradient<T: Float, F: Slope<T>>(f: F, dy: &VarOf<T>, at: &VarOf<T>) -> VarOf<T> {
    let dx = dy.value().binary(f.kernel(), &at.value());
    if F::CURVED {
        VarOf::record(dx, [dy, at], Gradient(f))
    } else {
        VarOf::record(dx, [dy, &at.detach()], Gradient(f))
    }
}

/// The rule of the gradient of f as an op, which is linear in dy, for higher derivatives.
struct Gradient<F>(F);

impl<T: Float, F: Slope<T>> Rule<T> for Gradient<F> {
    fn name(&self) -> &'static str {
        <F as Slope<T>>::NAME
    }
    fn formula(&self) -> &'static str {
        <F as Function<T>>::DERIVATIVE
    }
    fn derivative(&self) -> &'static str {
        <F as Slope<T>>::DERIVATIVE
    }
    fn attributes(&self) -> Vec<Attribute> {
        self.0.attributes()
    }
    fn saved(&self) -> &'static str {
        <F as Slope<T>>::SAVED
    }
    fn backward(&self, op: &Operation<T>, dz: &VarOf<T>, needs: &[bool]) -> Vec<Option<VarOf<T>>> {
        let (dy, at) = (op.parent(0), op.parent(1));
        let bend = || self.0.curvature(at).map(|curvature| dz * dy * curvature);
        vec![needs[0].then(|| gradient(self.0, dz, at)), needs[1].then(bend).flatten()]
    }
}

/// Defines a method of [`VarOf`] and its rule from an entry; see the top of this file.
macro_rules! function {
    (
        $(#[$doc:meta])*
        $vis:vis fn $name:ident($($number:ident $symbol:literal $(in $range:ident)?),*) $(as $label:literal)? = $formula:literal, $value:expr
            $(, tangent $tangent:tt)?;
        slope($($at:ident)?) = $slope:literal, $($gradient:tt)*
    ) => {
        impl<T: Float> VarOf<T> {
            #[doc = concat!("`y = ", $formula, "`; `dx = dy · ", $slope, "`.")]
            $(#[$doc])*
            #[track_caller]
            #[must_use]
            $vis fn $name(&self $(, $number: f64)*) -> Self {
                #[derive(Clone, Copy)]
                struct Entry { $($number: f64),* }

                impl<T: Float> Function<T> for Entry {
                    const NAME: &'static str = function!(@name $name $($label)?);
                    const FORMULA: &'static str = concat!("y = ", $formula);
                    const DERIVATIVE: &'static str = concat!("dx = dy · ", $slope);
                    const SAVED: &'static str = function!(@saved $($at)?);
                    fn attributes(self) -> Vec<Attribute> {
                        vec![$(Attribute::new(stringify!($number), self.$number).symbol($symbol)),*]
                    }
                    function!(@gradient [$($at)?] [$($number)*] $($gradient)*);
                    function!(@tangent [$($number)*] $($tangent)?);
                }

                function!(@slope [$name $($label)?] [$($at)?] [$($number)*] $slope, $($gradient)*);

                $($(ranges::check(stringify!($name), stringify!($number), $number, ranges::$range);)?)*
                Self::record(self.value().unary($value), [self], Forward(Entry { $($number),* }))
            }
        }
    };

    (@tangent $numbers:tt) => {};
    (@tangent [$($number:ident)*] (|$x:ident, $t:ident| $tangent:expr)) => {
        fn tangent(self, op: &Operation<T>, $t: &VarOf<T>) -> Tangent<T> {
            $(let $number = self.$number;)*
            let $x = op.parent(0);
            let _ = ($x, $($number),*);
            Tangent::forward($tangent)
        }
    };

    // The gradient is an expression of dy, and of x or y.
    (@gradient [$($at:ident)?] [$($number:ident)*] |$dy:ident| $expression:expr;) => {
        fn gradient(self, op: &Operation<T>, $dy: &VarOf<T>) -> VarOf<T> {
            $(let $number = self.$number;)*
            $(let $at = function!(@at op $at);)?
            let _ = (op, $($number),*);
            $expression
        }
    };
    (@slope $name:tt $at:tt $numbers:tt $slope:literal, |$dy:ident| $expression:expr;) => {};

    // The slope has a kernel.
    (@gradient [$at:ident] $numbers:tt $kernel:expr; curvature = $($curvature:tt)*) => {
        fn gradient(self, op: &Operation<T>, dy: &VarOf<T>) -> VarOf<T> {
            gradient(self, dy, function!(@at op $at))
        }
    };
    (@slope [$($name:tt)+] [$at:ident] [$($number:ident)*] $slope:literal, $kernel:expr; curvature = 0;) => {
        impl<T: Float> Slope<T> for Entry {
            const NAME: &'static str = concat!(function!(@name $($name)+), " backward");
            const DERIVATIVE: &'static str = concat!("d(dy) = dz · ", $slope, "; d(", stringify!($at), ") = 0");
            const SAVED: &'static str = stringify!($at);
            const CURVED: bool = false;
            fn kernel(self) -> Binary {
                $(let $number = self.$number;)*
                $kernel
            }
            fn curvature(self, _at: &VarOf<T>) -> Option<VarOf<T>> {
                None
            }
        }
    };
    (
        @slope [$($name:tt)+] [$at:ident] [$($number:ident)*] $slope:literal, $kernel:expr;
        curvature = $formula:literal, $curvature:expr;
    ) => {
        impl<T: Float> Slope<T> for Entry {
            const NAME: &'static str = concat!(function!(@name $($name)+), " backward");
            const DERIVATIVE: &'static str =
                concat!("d(dy) = dz · ", $slope, "; d(", stringify!($at), ") = dz · dy · ", $formula);
            const SAVED: &'static str = concat!("dy, ", stringify!($at));
            const CURVED: bool = true;
            fn kernel(self) -> Binary {
                $(let $number = self.$number;)*
                $kernel
            }
            fn curvature(self, $at: &VarOf<T>) -> Option<VarOf<T>> {
                $(let $number = self.$number;)*
                Some($curvature)
            }
        }
    };

    (@at $op:ident x) => { $op.parent(0) };
    (@at $op:ident y) => { $op.output() };
    (@name $name:ident) => { stringify!($name) };
    (@name $name:ident $label:literal) => { $label };
    (@saved) => { "nothing" };
    (@saved $at:ident) => { stringify!($at) };
}

pub(super) use function;
