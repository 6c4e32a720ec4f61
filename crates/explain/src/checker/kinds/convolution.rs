//! A small convolutional net on one small image: convolution, activation, pooling, a linear output.

use super::super::chain::{Chain, Role};
use super::super::expression::{Activation, Expr, Function, Id};
use super::super::kind::Kind;
use super::{Given, Loss, Numbers, Parameter, Update, of, product};

/// A convolution (a cross-correlation, as in every library) with stride 1 and no padding, an activation, pooling with
/// stride 1, and one linear output: `o = Σ v·p`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Convolution {
    /// Rows and columns of the image.
    #[serde(default = "four")]
    pub image: [usize; 2],
    /// Rows and columns of the kernel.
    #[serde(default = "two")]
    pub kernel: [usize; 2],
    /// The activation after the convolution.
    pub activation: Activation,
    /// The kind of pooling.
    #[serde(default)]
    pub pooling: Pooling,
    /// Rows and columns of a pooling window.
    #[serde(default = "two")]
    pub window: [usize; 2],
    /// Whether there is a bias b.
    #[serde(default)]
    pub bias: bool,
}

/// The kind of pooling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The largest element; the first one wins a tie.
    #[default]
    Max,
    /// The mean of the elements.
    Mean,
}

fn four() -> [usize; 2] {
    [4, 4]
}

fn two() -> [usize; 2] {
    [2, 2]
}

/// The quantities of a two-dimensional array, by row.
struct Grid {
    size: [usize; 2],
    ids: Vec<Id>,
}

impl Grid {
    fn new(size: [usize; 2], mut element: impl FnMut(usize, usize) -> Id) -> Self {
        let ids = (0..size[0] * size[1]).map(|n| element(n / size[1], n % size[1])).collect();
        Self { size, ids }
    }

    fn at(&self, i: usize, j: usize) -> Id {
        self.ids[i * self.size[1] + j]
    }

    fn cells(size: [usize; 2]) -> impl Iterator<Item = (usize, usize)> {
        (0..size[0]).flat_map(move |i| (0..size[1]).map(move |j| (i, j)))
    }
}

fn name(letter: &str, i: usize, j: usize) -> String {
    format!("{letter}{}{}", i + 1, j + 1)
}

/// The size after sliding a window with stride 1.
fn slid(size: [usize; 2], window: [usize; 2]) -> [usize; 2] {
    [size[0] + 1 - window[0], size[1] + 1 - window[1]]
}

impl Convolution {
    pub(in super::super) fn check(&self) -> Result<(), String> {
        let Self { image, kernel, window, activation, .. } = self;
        if image.iter().any(|&n| !(1..=6).contains(&n)) {
            return Err(format!("image = {image:?}: expected 1 to 6 rows and columns"));
        }
        if kernel.contains(&0) || (0..2).any(|axis| kernel[axis] > image[axis]) {
            return Err(format!("kernel = {kernel:?} does not fit into image = {image:?}"));
        }
        let map = slid(*image, *kernel);
        if window.contains(&0) || (0..2).any(|axis| window[axis] > map[axis]) {
            return Err(format!("window = {window:?} does not fit into the map of {} × {}", map[0], map[1]));
        }
        if *activation == Activation::Softmax {
            return Err("activation: softmax is not possible after a convolution".into());
        }
        Ok(())
    }

    /// The problem in sentences.
    pub(in super::super) fn description(&self) -> Vec<String> {
        let [rows, columns] = self.image;
        let [m, n] = self.kernel;
        let bias = if self.bias { " + b" } else { "" };
        let mut all = vec![
            format!("An image x of {rows} × {columns} and a kernel k of {m} × {n}; x12 is row 1, column 2."),
            "The convolution is a cross-correlation with stride 1, without padding:".into(),
            format!("z[i,j] = Σ_{{m,n}} k[m,n] · x[i + m − 1, j + n − 1]{bias}"),
        ];
        if self.activation == Activation::Linear {
            all.push("a[i,j] = z[i,j]".into());
        } else {
            all.push(format!("a[i,j] = {}(z[i,j])", self.activation.symbol()));
        }
        let kind = if self.pooling == Pooling::Max { "largest" } else { "mean" };
        let [m, n] = self.window;
        all.push(format!(
            "p[i,j] is the {kind} of the {m} × {n} window of a that begins at row i, column j; the stride is 1."
        ));
        all.push("o = Σ_{i,j} v[i,j] · p[i,j]".into());
        all
    }

    pub(in super::super) fn chain(&self, loss: Loss, update: Option<&Update>, numbers: Numbers) -> Chain {
        let mut chain = Chain::new();
        let x = Grid::new(self.image, |i, j| {
            let name = name("x", i, j);
            chain.given(&name, Role::Given, numbers(&name, Given::Input))
        });
        let mut all = Vec::new();
        for (i, j) in Grid::cells(self.kernel) {
            all.push(Parameter::given(&mut chain, numbers, &name("k", i, j), false));
        }
        let elements = self.kernel[0] * self.kernel[1];
        for n in 0..elements {
            chain.flipped.push((all[n].value, all[elements - 1 - n].value));
        }
        if self.bias {
            all.push(Parameter::given(&mut chain, numbers, "b", true));
        }
        for (i, j) in Grid::cells(slid(slid(self.image, self.kernel), self.window)) {
            all.push(Parameter::given(&mut chain, numbers, &name("v", i, j), false));
        }
        let targets = loss.targets(&mut chain, numbers, 1);
        if let Some(update) = update {
            update.define_constants(&mut chain);
        }
        for step in 1..=update.map_or(1, |update| update.steps) {
            if step > 1 {
                chain.next_step();
                for parameter in &all {
                    chain.alias(&parameter.name, parameter.value);
                }
            }
            self.pass(&mut chain, loss, &x, &all, &targets);
            if let Some(update) = update {
                update.step(&mut chain, step, &mut all);
            }
        }
        chain
    }

    fn pass(&self, chain: &mut Chain, loss: Loss, x: &Grid, all: &[Parameter], targets: &[Id]) {
        let elements = self.kernel[0] * self.kernel[1];
        let (kernel, rest) = all.split_at(elements);
        let (bias, v) = rest.split_at(usize::from(self.bias));
        let map = slid(self.image, self.kernel);
        let ask = |chain: &mut Chain, name: String, meaning: String, role: Role, expr: Expr| {
            let id = chain.define(&name, meaning, role, expr);
            chain.asked.push(id);
            id
        };
        let gradient_of = |chain: &Chain, id: Id| {
            let name = &chain.quantities[id].name;
            (format!("dE_d{name}"), format!("derivative of E with respect to {name}"))
        };

        let z = Grid::new(map, |i, j| {
            let products =
                Grid::cells(self.kernel).zip(kernel).map(|((m, n), k)| product([of(k.value), of(x.at(i + m, j + n))]));
            let terms = products.chain(bias.iter().map(|b| of(b.value))).collect();
            let meaning = format!("convolution, row {}, column {}", i + 1, j + 1);
            ask(chain, name("z", i, j), meaning, Role::Forward, Expr::Sum(terms))
        });
        let linear = self.activation == Activation::Linear;
        let a = Grid::new(map, |i, j| {
            if linear {
                return z.at(i, j);
            }
            let expr = Expr::call(Function::Of(self.activation), of(z.at(i, j)));
            let id = ask(chain, name("a", i, j), format!("activation of {}", name("z", i, j)), Role::Forward, expr);
            chain.activations.push((z.at(i, j), id));
            id
        });
        let window = |i: usize, j: usize| -> Vec<Expr> {
            Grid::cells(self.window).map(|(m, n)| of(a.at(i + m, j + n))).collect()
        };
        let cells = self.window[0] * self.window[1];
        let pooled = slid(map, self.window);
        let p = Grid::new(pooled, |i, j| {
            let largest = Expr::Largest(window(i, j));
            let mean = Expr::quotient(Expr::Sum(window(i, j)), Expr::Number(cells as f64));
            let (expr, other) = if self.pooling == Pooling::Max { (largest, mean) } else { (mean, largest) };
            let meaning = format!("pooling, row {}, column {}", i + 1, j + 1);
            let id = ask(chain, name("p", i, j), meaning, Role::Forward, expr);
            chain.mistaken(Kind::WrongPooling, other);
            id
        });
        let terms = v.iter().zip(&p.ids).map(|(v, &p)| product([of(v.value), of(p)])).collect();
        let o = ask(chain, "o".into(), "output".into(), Role::Forward, Expr::Sum(terms));
        loss.define(chain, targets, &[o]);

        let dy = loss.derivatives(chain, targets, &[o])[0];
        for (v, &p) in v.iter().zip(&p.ids) {
            v.gradient(chain, product([of(dy), of(p)]));
        }
        let dp = Grid::new(pooled, |i, j| {
            let (name, meaning) = gradient_of(chain, p.at(i, j));
            let v = v[i * pooled[1] + j].value;
            ask(chain, name, meaning, Role::Gradient, product([of(dy), of(v)]))
        });
        let da = Grid::new(map, |i, j| {
            let (name, meaning) = gradient_of(chain, a.at(i, j));
            let windows = Grid::cells(pooled)
                .filter(|&(m, n)| (m..m + self.window[0]).contains(&i) && (n..n + self.window[1]).contains(&j));
            let terms = windows.map(|(m, n)| {
                let share = match self.pooling {
                    Pooling::Max => Expr::IsLargest((i - m) * self.window[1] + (j - n), window(m, n)),
                    Pooling::Mean => Expr::Number(1.0 / cells as f64),
                };
                product([of(dp.at(m, n)), share])
            });
            let terms = terms.collect();
            ask(chain, name, meaning, Role::Gradient, Expr::paths(terms))
        });
        let dz = Grid::new(map, |i, j| {
            if linear {
                return da.at(i, j);
            }
            let slope = Expr::Slope(self.activation, Box::new([of(z.at(i, j)), of(a.at(i, j))]));
            let (name, meaning) = gradient_of(chain, z.at(i, j));
            ask(chain, name, meaning, Role::Gradient, product([of(da.at(i, j)), slope]))
        });
        for ((m, n), k) in Grid::cells(self.kernel).zip(kernel) {
            let terms = Grid::cells(map).map(|(i, j)| product([of(dz.at(i, j)), of(x.at(i + m, j + n))]));
            k.gradient(chain, Expr::paths(terms.collect()));
        }
        for b in bias {
            b.gradient(chain, Expr::paths(dz.ids.iter().map(|&dz| of(dz)).collect()));
        }
    }
}
