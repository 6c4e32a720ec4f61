//! A net of two layers with the whole derivation written out in plain arithmetic, and slips at chosen places of it.

/// A slip in the derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slip {
    None,
    SlopeForgotten,
    HiddenSlopeForgotten,
    SlopeAtOutput,
    HiddenSlopeAtOutput,
    PathDropped,
    Sign,
    SignOfUpdate,
    Twice,
    Half,
    TransposedForward,
    TransposedGradient,
    UpdatedTooEarly,
    BiasForgotten,
    PreActivation,
    RateForgotten,
    ProductForSum,
    ProductInUpdate,
    SumForProduct,
    InputForgotten,
}

/// Inputs, n outputs, a squared error with ½, SGD.
pub struct Net {
    pub tanh: bool,
    pub i: [f64; 2],
    pub w: Vec<f64>,
    pub b: Vec<f64>,
    pub t: Vec<f64>,
    pub lr: f64,
}

pub fn nets() -> [Net; 2] {
    [
        Net {
            tanh: false,
            i: [0.6, -1.3],
            w: vec![0.7, -0.4, 0.9, 0.35, 1.1, -0.8, 0.45, 0.65],
            b: vec![0.25, -0.55, 0.85, -0.3],
            t: vec![0.2, 0.9],
            lr: 0.5,
        },
        Net {
            tanh: true,
            i: [1.2, 0.45],
            w: vec![0.38, 0.83, -0.62, 0.21, 0.56, -0.97, 0.74, 0.31, -0.43, 1.15],
            b: vec![-0.24, 0.41, 0.17, -0.69, 0.52],
            t: vec![0.8, 0.35, 0.15],
            lr: 0.7,
        },
    ]
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Net {
    pub fn outputs(&self) -> usize {
        self.t.len()
    }

    /// The sheet without its answers.
    pub fn sheet(&self) -> String {
        let hidden = if self.tanh { "tanh" } else { "sigmoid" };
        let (i, w, b, t, lr) = (&self.i, &self.w, &self.b, &self.t, self.lr);
        format!(
            "[net]\nlayers = [2, 2, {}]\nactivations = [\"{hidden}\", \"sigmoid\"]\n[update]\nlr = {lr}\n\
             [given]\ni = {i:?}\nw = {w:?}\nb = {b:?}\nt = {t:?}\n[answers]\n",
            t.len()
        )
    }

    /// Every value of the derivation in order. After a slip it goes on with the wrong value.
    pub fn derivation(&self, slip: Slip) -> Vec<(String, f64)> {
        let Self { i, w, b, t, lr, .. } = self;
        let n = t.len();
        let mut values: Vec<(String, f64)> = Vec::new();
        let mut state = |name: String, value: f64| {
            values.push((name, value));
            value
        };
        let mut h = [0.0; 2];
        let mut net_h = [0.0; 2];
        for j in 0..2 {
            let (mut w1, mut w2) = (w[2 * j], w[2 * j + 1]);
            if slip == Slip::TransposedForward && j == 0 {
                (w1, w2) = (w[0], w[2]);
            }
            let mut net = w1 * i[0] + w2 * i[1] + b[j];
            if slip == Slip::BiasForgotten && j == 0 {
                net = w1 * i[0] + w2 * i[1];
            }
            if slip == Slip::ProductForSum && j == 0 {
                net = (w1 * i[0]) * (w2 * i[1]) * b[j];
            }
            net_h[j] = state(format!("net_h{}", j + 1), net);
            h[j] = state(format!("h{}", j + 1), if self.tanh { net.tanh() } else { sigmoid(net) });
        }
        let mut o = vec![0.0; n];
        for k in 0..n {
            let net = w[4 + 2 * k] * h[0] + w[5 + 2 * k] * h[1] + b[2 + k];
            let net = state(format!("net_o{}", k + 1), net);
            o[k] = state(format!("o{}", k + 1), sigmoid(net));
        }
        let e: f64 = (0..n).map(|k| 0.5 * (t[k] - o[k]) * (t[k] - o[k])).sum();
        state("E".into(), e);

        let mut delta = vec![0.0; n];
        for k in 0..n {
            let mut dy = -(t[k] - o[k]);
            if k == 0 {
                dy = match slip {
                    Slip::Sign => t[k] - o[k],
                    Slip::Twice => -2.0 * (t[k] - o[k]),
                    Slip::Half => -(t[k] - o[k]) / 2.0,
                    _ => dy,
                };
            }
            let dy = state(format!("dE_do{}", k + 1), dy);
            let mut slope = o[k] * (1.0 - o[k]);
            if slip == Slip::SlopeAtOutput && k == 0 {
                slope = sigmoid(o[k]) * (1.0 - sigmoid(o[k]));
            }
            let slope = state(format!("do{0}_dnet_o{0}", k + 1), slope);
            delta[k] = dy * slope;
            if k == 0 {
                delta[k] = match slip {
                    Slip::SlopeForgotten => dy,
                    Slip::SumForProduct => dy + slope,
                    _ => delta[k],
                };
            }
            state(format!("delta_o{}", k + 1), delta[k]);
        }
        let mut gradients = vec![0.0; 4 + 2 * n];
        for k in 0..n {
            for j in 0..2 {
                let mut dw = delta[k] * h[j];
                if (k, j) == (0, 0) && slip == Slip::PreActivation {
                    dw = delta[k] * net_h[j];
                }
                gradients[4 + 2 * k + j] = state(format!("dE_dw{}", 5 + 2 * k + j), dw);
            }
        }
        let mut hidden = [0.0; 2];
        for j in 0..2 {
            let mut dh = 0.0;
            for k in 0..n {
                let mut weight = w[4 + 2 * k + j];
                if j == 0 && slip == Slip::UpdatedTooEarly {
                    weight -= lr * delta[k] * h[j];
                }
                if j == 0 && k == 1 && slip == Slip::PathDropped {
                    continue;
                }
                dh += delta[k] * weight;
            }
            let dh = state(format!("dE_dh{}", j + 1), dh);
            let mut slope = if self.tanh { 1.0 - h[j] * h[j] } else { h[j] * (1.0 - h[j]) };
            if j == 0 && slip == Slip::HiddenSlopeAtOutput {
                let again = if self.tanh { h[j].tanh() } else { sigmoid(h[j]) };
                slope = if self.tanh { 1.0 - again * again } else { again * (1.0 - again) };
            }
            let slope = state(format!("dh{0}_dnet_h{0}", j + 1), slope);
            let delta = if j == 0 && slip == Slip::HiddenSlopeForgotten { dh } else { dh * slope };
            hidden[j] = state(format!("delta_h{}", j + 1), delta);
        }
        for j in 0..2 {
            for m in 0..2 {
                let mut dw = hidden[j] * i[m];
                if (j, m) == (0, 1) && slip == Slip::TransposedGradient {
                    dw = hidden[1] * i[0];
                }
                if (j, m) == (0, 0) && slip == Slip::InputForgotten {
                    dw = hidden[j];
                }
                gradients[2 * j + m] = state(format!("dE_dw{}", 1 + 2 * j + m), dw);
            }
        }
        for (p, &g) in gradients.iter().enumerate() {
            let mut new = w[p] - lr * g;
            if p == 0 {
                new = match slip {
                    Slip::RateForgotten => w[p] - g,
                    Slip::SignOfUpdate => w[p] + lr * g,
                    Slip::ProductInUpdate => w[p] * lr * g,
                    _ => new,
                };
            }
            state(format!("w{}_new", p + 1), new);
        }
        values
    }
}
