//! Expressions over the quantities of a derivation: evaluated over intervals, rewritten by mistakes, printed as formulas.

use std::fmt::Write as _;

use super::interval::Interval;

/// The number of a quantity in its [`Chain`](super::chain::Chain).
pub(super) type Id = usize;

/// A formula for one quantity, in terms of others.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    Number(f64),
    Of(Id),
    Sum(Vec<Expr>),
    /// The sum over all paths on which a value reaches the loss: the terms that are easily forgotten.
    Paths(Vec<Expr>),
    Product(Vec<Expr>),
    Quotient(Box<Expr>, Box<Expr>),
    Negative(Box<Expr>),
    Square(Box<Expr>),
    Call(Function, Box<Expr>),
    /// The derivative of an activation, given its input and its output.
    Slope(Activation, Box<[Expr; 2]>),
    Largest(Vec<Expr>),
    /// 1 if the element with this index is the first of the largest, otherwise 0.
    IsLargest(usize, Vec<Expr>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Function {
    Exp,
    Ln,
    Sqrt,
    Of(Activation),
}

/// An activation function. All rise everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `y = x`.
    Linear,
    /// `y = σ(x) = 1/(1 + e⁻ˣ)`.
    Sigmoid,
    /// `y = tanh x`.
    Tanh,
    /// `y = max(x, 0)`, with slope 0 at 0.
    Relu,
    /// `y = x` if x > 0, otherwise `0.01x`.
    LeakyRelu,
    /// Of a whole layer, `yᵢ = e^xᵢ / Σⱼ e^xⱼ`: only for the output, with cross-entropy.
    Softmax,
}

const LEAK: f64 = 0.01;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Activation {
    /// The value at x; a softmax is not a function of one number and has its own expression.
    fn value(self, x: Interval) -> Interval {
        match self {
            Self::Linear | Self::Softmax => x,
            Self::Sigmoid => x.monotone(sigmoid),
            Self::Tanh => x.monotone(f64::tanh),
            Self::Relu => x.monotone(|x| x.max(0.0)),
            Self::LeakyRelu => x.monotone(|x| if x > 0.0 { x } else { LEAK * x }),
        }
    }

    /// The slope where the input is `x` and the output `y`. As on paper, those of sigmoid and tanh are computed from y.
    fn slope(self, x: Interval, y: Interval) -> Interval {
        match self {
            Self::Linear | Self::Softmax => Interval::point(1.0),
            Self::Sigmoid => y.peaked(0.5, |y| y * (1.0 - y)),
            Self::Tanh => y.peaked(0.0, |y| 1.0 - y * y),
            Self::Relu => x.monotone(|x| if x > 0.0 { 1.0 } else { 0.0 }),
            Self::LeakyRelu => x.monotone(|x| if x > 0.0 { 1.0 } else { LEAK }),
        }
    }

    /// The name in formulas.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Linear | Self::Softmax => "",
            Self::Sigmoid => "σ",
            Self::Tanh => "tanh",
            Self::Relu => "relu",
            Self::LeakyRelu => "leaky",
        }
    }
}

/// The precedence of the outermost operation, for parentheses.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Level {
    Sum,
    Negative,
    Product,
    Factor,
}

impl Expr {
    pub(super) fn difference(a: Self, b: Self) -> Self {
        Self::Sum(vec![a, Self::Negative(Box::new(b))])
    }

    pub(super) fn quotient(a: Self, b: Self) -> Self {
        Self::Quotient(Box::new(a), Box::new(b))
    }

    pub(super) fn negative(a: Self) -> Self {
        Self::Negative(Box::new(a))
    }

    pub(super) fn square(a: Self) -> Self {
        Self::Square(Box::new(a))
    }

    pub(super) fn call(function: Function, a: Self) -> Self {
        Self::Call(function, Box::new(a))
    }

    /// A product, without a `Product` around a single factor.
    pub(super) fn product(mut factors: Vec<Self>) -> Self {
        if factors.len() == 1 { factors.remove(0) } else { Self::Product(factors) }
    }

    /// A sum over paths, without `Paths` around a single one.
    pub(super) fn paths(mut terms: Vec<Self>) -> Self {
        if terms.len() == 1 { terms.remove(0) } else { Self::Paths(terms) }
    }

    /// The direct subexpressions.
    pub(super) fn children(&self) -> Vec<&Self> {
        match self {
            Self::Number(_) | Self::Of(_) => Vec::new(),
            Self::Sum(all) | Self::Paths(all) | Self::Product(all) | Self::Largest(all) | Self::IsLargest(_, all) => {
                all.iter().collect()
            }
            Self::Quotient(a, b) => vec![a, b],
            Self::Negative(a) | Self::Square(a) | Self::Call(_, a) => vec![a],
            Self::Slope(_, both) => both.iter().collect(),
        }
    }

    /// The same operation on other subexpressions, as many as [`children`](Self::children) returns.
    pub(super) fn with_children(&self, children: Vec<Self>) -> Self {
        let mut next = children.clone().into_iter();
        let mut boxed = || Box::new(next.next().expect("as many children as before"));
        match self {
            Self::Number(_) | Self::Of(_) => self.clone(),
            Self::Sum(_) => Self::Sum(children),
            Self::Paths(_) => Self::Paths(children),
            Self::Product(_) => Self::Product(children),
            Self::Largest(_) => Self::Largest(children),
            Self::IsLargest(index, _) => Self::IsLargest(*index, children),
            Self::Quotient(..) => Self::Quotient(boxed(), boxed()),
            Self::Negative(_) => Self::Negative(boxed()),
            Self::Square(_) => Self::Square(boxed()),
            Self::Call(function, _) => Self::Call(*function, boxed()),
            Self::Slope(activation, _) => Self::Slope(*activation, Box::new([*boxed(), *boxed()])),
        }
    }

    /// Replaces every subexpression for which `rule` has a replacement, from the outermost inwards; `None` if there is
    /// none.
    pub(super) fn replaced(&self, rule: &dyn Fn(&Self) -> Option<Self>) -> Option<Self> {
        if let Some(new) = rule(self) {
            return Some(new);
        }
        let children: Vec<Option<Self>> = self.children().into_iter().map(|child| child.replaced(rule)).collect();
        if children.iter().all(Option::is_none) {
            return None;
        }
        let old = self.children().into_iter().cloned();
        Some(self.with_children(children.into_iter().zip(old).map(|(new, old)| new.unwrap_or(old)).collect()))
    }

    /// All expressions that differ in one place: `rule` gives the replacements of a subexpression, with a note.
    pub(super) fn variants<N: Clone>(&self, rule: &dyn Fn(&Self) -> Vec<(N, Self)>) -> Vec<(N, Self)> {
        let mut all = rule(self);
        let children = self.children();
        for (i, child) in children.iter().enumerate() {
            for (note, new) in child.variants(rule) {
                let mut changed: Vec<Self> = children.iter().map(|&child| child.clone()).collect();
                changed[i] = new;
                all.push((note, self.with_children(changed)));
            }
        }
        all
    }

    /// The quantities it refers to, with repetitions.
    pub(super) fn dependencies(&self, found: &mut Vec<Id>) {
        if let Self::Of(id) = self {
            found.push(*id);
        }
        self.children().into_iter().for_each(|child| child.dependencies(found));
    }

    /// The interval of its value; `of` gives those of the quantities.
    pub(super) fn value(&self, of: &mut dyn FnMut(Id) -> Interval) -> Interval {
        match self {
            Self::Number(x) => Interval::point(*x),
            Self::Of(id) => of(*id),
            Self::Sum(terms) | Self::Paths(terms) => {
                terms.iter().fold(Interval::point(0.0), |sum, term| sum + term.value(of))
            }
            Self::Product(factors) => factors.iter().fold(Interval::point(1.0), |product, x| product * x.value(of)),
            Self::Quotient(a, b) => a.value(of) / b.value(of),
            Self::Negative(a) => -a.value(of),
            Self::Square(a) => a.value(of).square(),
            Self::Call(function, a) => {
                let x = a.value(of);
                match function {
                    Function::Exp => x.monotone(f64::exp),
                    Function::Ln => x.monotone(f64::ln),
                    Function::Sqrt => x.monotone(f64::sqrt),
                    Function::Of(activation) => activation.value(x),
                }
            }
            Self::Slope(activation, both) => {
                let [x, y] = [both[0].value(of), both[1].value(of)];
                activation.slope(x, y)
            }
            Self::Largest(all) => all.iter().map(|x| x.value(of)).reduce(Interval::max).unwrap_or(Interval::EVERYTHING),
            Self::IsLargest(index, all) => {
                let all: Vec<Interval> = all.iter().map(|x| x.value(of)).collect();
                let mine = all[*index];
                let others = || all.iter().enumerate().filter(|(i, _)| i != index);
                // On a tie the first one wins.
                let surely = others().all(|(i, x)| if i < *index { mine.low > x.high } else { mine.low >= x.high });
                let never = others().any(|(i, x)| if i < *index { mine.high <= x.low } else { mine.high < x.low });
                match (surely, never) {
                    (true, _) => Interval::point(1.0),
                    (_, true) => Interval::point(0.0),
                    _ => Interval { low: 0.0, high: 1.0 },
                }
            }
        }
    }

    /// The formula, in the notation of `chainrule_autograd::formula`; `name` gives the names of quantities.
    pub(super) fn text(&self, name: &dyn Fn(Id) -> String) -> String {
        self.leveled(name).0
    }

    fn leveled(&self, name: &dyn Fn(Id) -> String) -> (String, Level) {
        let enclosed = |x: &Self, least: Level| {
            let (text, level) = x.leveled(name);
            if level < least { format!("({text})") } else { text }
        };
        let list = |all: &[Self]| all.iter().map(|x| x.text(name)).collect::<Vec<_>>().join(", ");
        match self {
            Self::Number(x) if *x < 0.0 => (format!("−{}", -x), Level::Negative),
            Self::Number(x) => (x.to_string(), Level::Factor),
            Self::Of(id) => (name(*id), Level::Factor),
            Self::Sum(terms) | Self::Paths(terms) => {
                let mut text = String::new();
                for (i, term) in terms.iter().enumerate() {
                    let (sign, term) = match term {
                        Self::Negative(term) => (if i == 0 { "−" } else { " − " }, &**term),
                        _ => (if i == 0 { "" } else { " + " }, term),
                    };
                    let _ = write!(text, "{sign}{}", enclosed(term, Level::Product));
                }
                (text, Level::Sum)
            }
            Self::Product(factors) => {
                let factors: Vec<String> = factors.iter().map(|x| enclosed(x, Level::Product)).collect();
                (factors.join(" · "), Level::Product)
            }
            Self::Quotient(a, b) => {
                (format!("{} / {}", enclosed(a, Level::Product), enclosed(b, Level::Factor)), Level::Product)
            }
            Self::Negative(a) => (format!("−{}", enclosed(a, Level::Product)), Level::Negative),
            Self::Square(a) => (format!("{}²", enclosed(a, Level::Factor)), Level::Factor),
            Self::Call(function, a) => {
                let function = match function {
                    Function::Exp => "exp",
                    Function::Ln => "ln",
                    Function::Sqrt => "sqrt",
                    Function::Of(activation) => activation.symbol(),
                };
                (format!("{function}({})", a.text(name)), Level::Factor)
            }
            Self::Slope(activation, both) => match activation {
                Activation::Linear | Activation::Softmax => ("1".to_owned(), Level::Factor),
                Activation::Sigmoid => {
                    let y = enclosed(&both[1], Level::Factor);
                    (format!("{y} · (1 − {y})"), Level::Product)
                }
                Activation::Tanh => (format!("1 − {}²", enclosed(&both[1], Level::Factor)), Level::Sum),
                Activation::Relu => (format!("relu′({})", both[0].text(name)), Level::Factor),
                Activation::LeakyRelu => (format!("leaky′({})", both[0].text(name)), Level::Factor),
            },
            Self::Largest(all) => (format!("max({})", list(all)), Level::Factor),
            Self::IsLargest(index, all) => {
                (format!("first({} = max({}))", all[*index].text(name), list(all)), Level::Factor)
            }
        }
    }
}
