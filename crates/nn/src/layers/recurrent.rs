//! Recurrent cells: one step in time, written out of ops. Unrolled over a sequence, the graph is the one that
//! backpropagation through time walks.

use chainrule_autograd::VarOf;
use chainrule_tensor::{Float, OrPanic, Rng, Shape, ShapeError, TensorOf};

use crate::init::uniform_tensor;
use crate::module::{Item, Module, Visitor};

/// The parameters of a cell with G gates, for inputs (N,I) and states (N,H).
struct Gates<T: Float> {
    name: &'static str,
    hidden: usize,
    /// (G·H, I).
    weight_ih: VarOf<T>,
    /// (G·H, H).
    weight_hh: VarOf<T>,
    /// Of the inputs and of the states: (G·H) each.
    biases: Option<[VarOf<T>; 2]>,
}

impl<T: Float> Gates<T> {
    /// Parameters drawn uniformly on ±1/√H, as in `PyTorch`.
    fn new(name: &'static str, gates: usize, inputs: usize, hidden: usize, rng: &mut Rng) -> Self {
        let bound = 1.0 / (hidden.max(1) as f64).sqrt();
        let mut draw = |name: &str, shape: Shape| VarOf::parameter(name, uniform_tensor(shape, -bound, bound, rng));
        let rows = gates * hidden;
        let weight_ih = draw("weight_ih", [rows, inputs].into());
        let weight_hh = draw("weight_hh", [rows, hidden].into());
        let biases = Some(["bias_ih", "bias_hh"].map(|name| draw(name, rows.into())));
        Self { name, hidden, weight_ih, weight_hh, biases }
    }

    /// `x·W_ihᵀ + b_ih`: (N,I) → (N, G·H).
    fn of_input(&self, x: &VarOf<T>) -> VarOf<T> {
        x.linear(&self.weight_ih, self.biases.as_ref().map(|[bias, _]| bias))
    }

    /// `h·W_hhᵀ + b_hh`: (N,H) → (N, G·H).
    fn of_state(&self, h: &VarOf<T>) -> VarOf<T> {
        h.linear(&self.weight_hh, self.biases.as_ref().map(|[_, bias]| bias))
    }

    /// Gate k of all: (N, G·H) → (N,H).
    fn gate(&self, all: &VarOf<T>, k: usize) -> VarOf<T> {
        all.narrow(1, k * self.hidden..(k + 1) * self.hidden)
    }

    /// Zeros (N,H) for inputs (N,I).
    fn zeros(&self, x: &VarOf<T>) -> VarOf<T> {
        VarOf::constant(TensorOf::full_on(x.device(), [x.shape()[0], self.hidden], T::ZERO))
    }

    /// Checks input and states.
    #[track_caller]
    fn check(&self, x: &VarOf<T>, states: &[&VarOf<T>]) {
        let x = x.shape();
        let expected = self.output_shape(x).or_panic();
        for state in states {
            assert!(
                state.shape() == expected,
                "{}: a state has another shape\n  input (N,I) = {x}\n  state (N,H) = {}\n  rule: state {expected}",
                self.name,
                state.shape()
            );
        }
    }

    fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
        let inputs = self.weight_ih.shape()[1];
        if x.rank() == 2 && x[1] == inputs {
            return Ok(Shape::from([x[0], self.hidden]));
        }
        let name = self.name;
        Err(ShapeError::new(format!("{name}: the input has shape {x}\n  rule: input (N,I) with I == {inputs}")))
    }

    fn visit(&self, visitor: &mut Visitor<'_, T>) {
        visitor.item("weight_ih", Item::Parameter(&self.weight_ih));
        visitor.item("weight_hh", Item::Parameter(&self.weight_hh));
        if let Some([of_input, of_state]) = &self.biases {
            visitor.item("bias_ih", Item::Parameter(of_input));
            visitor.item("bias_hh", Item::Parameter(of_state));
        }
    }
}

macro_rules! cell {
    ($(#[$doc:meta])* $name:ident, $gates:literal) => {
        $(#[$doc])*
        ///
        /// The parameters are `weight_ih` (G·H, I), `weight_hh` (G·H, H), `bias_ih` and `bias_hh` (G·H) for G gates, drawn
        /// uniformly on ±1/√H, with the names and the order of gates of `PyTorch`. As a module the cell takes one step from
        /// a state of zeros and returns h′.
        pub struct $name<T: Float = f32>(Gates<T>);

        impl<T: Float> $name<T> {
            /// A cell for inputs (N,I) and states (N,H), with biases.
            pub fn new(inputs: usize, hidden: usize, rng: &mut Rng) -> Self {
                Self(Gates::new(stringify!($name), $gates, inputs, hidden, rng))
            }

            /// Removes the biases.
            #[must_use]
            pub fn without_bias(self) -> Self {
                Self(Gates { biases: None, ..self.0 })
            }

            /// A state of zeros for inputs x (N,I): (N,H).
            pub fn zeros(&self, x: &VarOf<T>) -> VarOf<T> {
                self.0.zeros(x)
            }
        }
    };
}

macro_rules! module {
    ($name:ident, |$cell:ident, $x:ident| $forward:expr) => {
        impl<T: Float> Module<T> for $name<T> {
            #[track_caller]
            fn forward(&self, $x: &VarOf<T>) -> VarOf<T> {
                let $cell = self;
                $cell.0.check($x, &[]);
                $forward
            }

            fn visit(&self, visitor: &mut Visitor<'_, T>) {
                self.0.visit(visitor);
            }

            fn output_shape(&self, x: Shape) -> Result<Shape, ShapeError> {
                self.0.output_shape(x)
            }
        }
    };
}

cell!(
    /// `h′ = tanh(x·W_ihᵀ + b_ih + h·W_hhᵀ + b_hh)` (Elman: "Finding structure in time", 1990; `torch.nn.RNNCell`).
    ///
    /// ```
    /// use chainrule_autograd::Var;
    /// use chainrule_nn::RnnCell;
    /// use chainrule_tensor::{Key, Purpose, Rng, Tensor};
    /// let cell = RnnCell::new(3, 5, &mut Rng::seed(0));
    /// let sequence = Var::constant(Tensor::random_normal(Key::new(0, Purpose::USER), [7, 2, 3])); // (T,N,I)
    /// let mut h = cell.zeros(&sequence.narrow(0, 0..1).squeeze(0));
    /// for t in 0..7 {
    ///     h = cell.step(&sequence.narrow(0, t..t + 1).squeeze(0), &h);
    /// }
    /// assert_eq!(h.shape(), [2, 5]);
    /// ```
    RnnCell,
    1
);

impl<T: Float> RnnCell<T> {
    /// One step: x (N,I), h (N,H) → h′ (N,H).
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn step(&self, x: &VarOf<T>, h: &VarOf<T>) -> VarOf<T> {
        self.0.check(x, &[h]);
        (self.0.of_input(x) + self.0.of_state(h)).tanh()
    }
}

module!(RnnCell, |cell, x| cell.step(x, &cell.zeros(x)));

cell!(
    /// Long short-term memory (Hochreiter, Schmidhuber, 1997; `torch.nn.LSTMCell`): with the gates i, f, g, o, in this order, of
    /// `x·W_ihᵀ + b_ih + h·W_hhᵀ + b_hh`,
    /// `c′ = σ(f)·c + σ(i)·tanh(g)` and `h′ = σ(o)·tanh(c′)`.
    LstmCell,
    4
);

impl<T: Float> LstmCell<T> {
    /// One step: x (N,I), h and c (N,H) → h′ and c′ (N,H).
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn step(&self, x: &VarOf<T>, (h, c): (&VarOf<T>, &VarOf<T>)) -> (VarOf<T>, VarOf<T>) {
        let gates = &self.0;
        gates.check(x, &[h, c]);
        let all = gates.of_input(x) + gates.of_state(h);
        let [i, f, g, o] = [0, 1, 2, 3].map(|k| gates.gate(&all, k));
        let c = f.sigmoid() * c + i.sigmoid() * g.tanh();
        (o.sigmoid() * c.tanh(), c)
    }
}

module!(LstmCell, |cell, x| {
    let zeros = cell.zeros(x);
    cell.step(x, (&zeros, &zeros)).0
});

cell!(
    /// Gated recurrent unit (Cho and others, 2014; `torch.nn.GRUCell`): with the gates r, z, n, in this order, of `a = x·W_ihᵀ +
    /// b_ih` and of `b = h·W_hhᵀ + b_hh`, `r = σ(a_r + b_r)`, `z = σ(a_z + b_z)`, `n = tanh(a_n + r·b_n)` and
    /// `h′ = (1 − z)·n + z·h`.
    GruCell,
    3
);

impl<T: Float> GruCell<T> {
    /// One step: x (N,I), h (N,H) → h′ (N,H).
    ///
    /// # Panics
    /// If a shape does not fit.
    #[track_caller]
    pub fn step(&self, x: &VarOf<T>, h: &VarOf<T>) -> VarOf<T> {
        let gates = &self.0;
        gates.check(x, &[h]);
        let (a, b) = (gates.of_input(x), gates.of_state(h));
        let both = |k: usize| gates.gate(&a, k) + gates.gate(&b, k);
        let (r, z) = (both(0).sigmoid(), both(1).sigmoid());
        let n = (gates.gate(&a, 2) + r * gates.gate(&b, 2)).tanh();
        (1.0 - &z) * n + z * h
    }
}

module!(GruCell, |cell, x| cell.step(x, &cell.zeros(x)));
