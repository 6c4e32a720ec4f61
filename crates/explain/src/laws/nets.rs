//! The nets on which laws are broken.

use chainrule_autograd::Var64;
use chainrule_tensor::{Conv2dOptions, Key, Purpose, Tensor64, TensorOf};

/// A net with its parameters at the start, and its loss as a function of them.
pub struct Net {
    /// What it is, for the heading of a report.
    pub title: &'static str,
    /// The parameters with their names.
    pub start: Vec<(&'static str, Tensor64)>,
    /// The loss, from parameters in the order of `start`. Intermediate values are named.
    pub loss: fn(&[Var64]) -> Var64,
    /// The learning rate.
    pub lr: f64,
}

impl Net {
    /// Variables of parameters with these values.
    pub fn parameters(&self, values: &[Tensor64]) -> Vec<Var64> {
        self.start.iter().zip(values).map(|((name, _), value)| Var64::parameter(*name, value)).collect()
    }
}

/// Two linear neurons and a sigmoid: all weights 0.5, inputs 3 and 5, target 1, E = ½(1 − o)².
pub fn two_neurons() -> Net {
    Net {
        title: "two linear neurons and a sigmoid",
        start: ["w1", "w2", "w3", "w4", "w5", "w6"].map(|name| (name, Tensor64::scalar(0.5))).into(),
        loss: |w| {
            let [w1, w2, w3, w4, w5, w6] = w else { unreachable!("six weights") };
            let product = |a: &Var64, b: &Var64, name: &str| (a * b).named(name);
            let [i1, i2] = [3.0, 5.0].map(Var64::constant);
            let h1 = (product(&i1, w1, "i1·w1") + product(&i2, w2, "i2·w2")).named("h1");
            let h2 = (product(&i1, w3, "i1·w3") + product(&i2, w4, "i2·w4")).named("h2");
            let o_in = (product(&h1, w5, "h1·w5") + product(&h2, w6, "h2·w6")).named("o_in");
            let o = o_in.sigmoid().named("o");
            let error = (1.0 - o).named("1 − o");
            (0.5 * error.square().named("(1 − o)²")).named("E")
        },
        lr: 0.1,
    }
}

/// The number of images in a batch, of features and of classes: one number, so that a missing transpose fits the shapes.
const EQUAL: usize = 8;

/// A CNN with a residual connection on eight random images of 6×6, one for each class: two convolutions with sigmoids, average
/// pooling, a matrix product and a bias.
pub fn tiny_cnn() -> Net {
    let draw = |step, shape: &[usize], scale: f64| {
        let normal = Tensor64::random_normal(Key::new(7, Purpose::INIT).at_step(step), shape);
        normal.unary(chainrule_tensor::Unary::Mul(scale))
    };
    Net {
        title: "a CNN with a residual connection",
        start: vec![
            ("k1", draw(1, &[2, 1, 3, 3], 0.5)),
            ("b1", draw(2, &[2, 1, 1], 0.5)),
            ("k2", draw(3, &[2, 2, 3, 3], 0.5)),
            ("v", draw(4, &[EQUAL, EQUAL], 0.7)),
            ("c", draw(5, &[EQUAL], 0.1)),
        ],
        loss: |w| {
            let [k1, b1, k2, v, c] = w else { unreachable!("five parameters") };
            let images = Tensor64::random_normal(Key::new(7, Purpose::USER), [EQUAL, 1, 6, 6]);
            let labels = TensorOf::from((0..EQUAL as i32).collect::<Vec<_>>());
            let same = Conv2dOptions { padding: [1, 1], ..Conv2dOptions::default() };
            let x = Var64::constant(images).named("x");
            let z1 = (x.conv2d(k1, None, same).named("x*k1") + b1).named("z1");
            let a = z1.sigmoid().named("a");
            let z2 = a.conv2d(k2, None, same).named("z2");
            let r = z2.sigmoid().named("r");
            // The residual connection: a is used twice, and the two paths from here back to a differ in length.
            let s = (&a + r).named("s");
            let f = s.avg_pool2d(3).named("pooled").flatten().named("f");
            let o = (f.matmul(v).named("f·v") + c).named("o");
            o.cross_entropy(&labels).named("E")
        },
        lr: 0.5,
    }
}
