//! The table of unary and binary functions: one entry per function, from which its enum variants and loops are generated.

/// Passes the entries to a macro: to `declare`, which declares [`Unary`](super::Unary) and [`Binary`](super::Binary), and to
/// `cpu::elementwise::loops`.
///
/// An entry holds the formula of the function; if its gradient has its own loop, the formula of dx in dy and x, or in dy and
/// y if the argument is named y; and, for the tests, an instance and its definition in f64 with the functions of std.
/// `CHEAP` and `DEAR` select the minimum number of elements per task, and `RARE` functions are not compiled for wide registers.
macro_rules! functions { ($make:ident) => { $make! {
    unary {
        /// −x
        Neg = CHEAP |x| -x,
            test Neg = -x;
        /// |x|
        Abs = CHEAP |x| x.abs(),
            test Abs = x.abs();
        /// The sign, −1, 0 or 1; NaN for NaN
        Sign = CHEAP |x| if x > T::ZERO { T::ONE } else if x < T::ZERO { -T::ONE } else { x },
            test Sign = f64::from(i8::from(x > 0.0) - i8::from(x < 0.0));
        /// eˣ
        Exp = DEAR |x| T::exp(x),
            test Exp = x.exp();
        /// ln x
        Log = DEAR |x| T::ln(x),
            test Log = x.ln();
        /// √x
        Sqrt = CHEAP |x| x.sqrt(),
            test Sqrt = x.sqrt();
        /// x²
        Square = CHEAP |x| x * x,
            test Square = x * x;
        /// x³
        Cube = CHEAP |x| x * x * x,
            test Cube = x.powi(3);
        /// 1/x
        Reciprocal = CHEAP |x| T::ONE / x,
            test Reciprocal = 1.0 / x;
        /// x + s
        Add(s) = CHEAP |x| x + s,
            test Add(0.3) = x + s;
        /// s − x
        SubFrom(s) = CHEAP |x| s - x,
            test SubFrom(0.3) = s - x;
        /// s·x
        Mul(s) = CHEAP |x| s * x,
            test Mul(-1.7) = s * x;
        /// x/s, correctly rounded: not a product with the rounded 1/s
        Div(s) = CHEAP |x| x / s,
            test Div(49.0) = x / s;
        /// s/x
        DivInto(s) = CHEAP |x| s / x,
            test DivInto(2.5) = s / x;
        /// xᵖ
        Pow(p) = DEAR |x| T::powf(x, p),
            test Pow(0.7) = x.powf(p);
        /// max(lo, min(x, hi)); NaN propagates
        // Both comparisons are false for NaN.
        Clamp(lo, hi) = CHEAP |x| {
            let x = if x > hi { hi } else { x };
            if x < lo { lo } else { x }
        },
            /// dy where lo < x < hi, else 0, of (dy, x)
            gradient ClampBackward(lo, hi) = CHEAP |dy, x| if lo < x && x < hi { dy } else { T::ZERO },
            test Clamp(-0.5, 0.75) = x.clamp(lo, hi);
        /// max(x, 0); NaN propagates
        Relu = CHEAP |x| relu(x),
            /// dy where y > 0, else 0, of (dy, y)
            gradient ReluBackward = CHEAP |dy, y| relu_backward(dy, y),
            test Relu = x.max(0.0);
        /// x for x > 0, else αx
        LeakyRelu(alpha) = CHEAP |x| if x > T::ZERO { x } else { alpha * x },
            /// dy where x > 0, else α·dy, of (dy, x)
            gradient LeakyReluBackward(alpha) = CHEAP |dy, x| if x > T::ZERO { dy } else { alpha * dy },
            test LeakyRelu(0.01) = x.max(0.0) + alpha * x.min(0.0);
        /// x for x > 0, else α(eˣ − 1)
        Elu(alpha) = DEAR |x| { let below = alpha * T::exp_m1(x); if x > T::ZERO { x } else { below } },
            /// dy where x > 0, else α·eˣ·dy, of (dy, x)
            gradient EluBackward(alpha) = DEAR |dy, x| { let s = alpha * T::exp(x); if x > T::ZERO { dy } else { dy * s } },
            test Elu(1.3) = if x > 0.0 { x } else { alpha * x.exp_m1() };
        /// 1/(1 + e⁻ˣ)
        Sigmoid = DEAR |x| T::sigmoid(x),
            /// dy·y(1 − y), of (dy, y)
            gradient SigmoidBackward = CHEAP |dy, y| dy * (y * (T::ONE - y)),
            test Sigmoid = 1.0 / (1.0 + (-x).exp());
        /// tanh x
        Tanh = DEAR |x| T::tanh(x),
            /// dy·(1 − y²), of (dy, y)
            gradient TanhBackward = CHEAP |dy, y| dy * (T::ONE - y * y),
            test Tanh = x.tanh();
        /// ln(1 + eˣ)
        Softplus = DEAR |x| T::softplus(x),
            /// dy·σ(x), of (dy, x)
            gradient SoftplusBackward = DEAR |dy, x| dy * T::sigmoid(x),
            test Softplus = x.exp().ln_1p();
        /// x·σ(βx)
        Swish(beta) = DEAR |x| times(x, T::sigmoid(beta * x)),
            /// dy·(σ(βx) + βx·σ(βx)(1 − σ(βx))), of (dy, x)
            gradient SwishBackward(beta) = DEAR |dy, x| {
                let (sigmoid, slope) = logistic(beta * x);
                dy * (sigmoid + times(beta * x, slope))
            },
            test Swish(1.3) = x / (1.0 + (-beta * x).exp());
        /// x·tanh(softplus x)
        Mish = DEAR |x| times(x, tanh_softplus(x)),
            /// dy·(t + x(1 − t²)σ(x)) with t = tanh(softplus x), of (dy, x)
            gradient MishBackward = DEAR |dy, x| dy * mish_slope(x),
            test Mish = x * x.exp().ln_1p().tanh();
        /// x·Φ(x), where Φ is the cumulative distribution function of the standard normal
        Gelu = DEAR |x| times(x, normal_distribution(x)),
            /// dy·(Φ(x) + x·φ(x)), of (dy, x), where φ is the density of the standard normal
            gradient GeluBackward = DEAR |dy, x| dy * (normal_distribution(x) + times(x, normal_density(x))),
            test Gelu = x * 0.5 * (1.0 + <f64 as crate::cpu::math::Elementary>::erf(x / 2f64.sqrt()));
        /// x/2·(1 + tanh(√(2/π)·(x + 0.044715x³)))
        // (1 + tanh u)/2 = σ(2u)
        GeluTanh = DEAR |x| times(x, T::sigmoid(gelu_argument(x))),
            /// dy·(σ(v) + x·v′·σ(v)(1 − σ(v))) with v = 2√(2/π)·(x + 0.044715x³), of (dy, x)
            gradient GeluTanhBackward = DEAR |dy, x| {
                let (sigmoid, slope) = logistic(gelu_argument(x));
                dy * (sigmoid + times(gelu_rise(x), slope))
            },
            test GeluTanh = 0.5 * x * (1.0 + (std::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044_715 * x.powi(3))).tanh());
        /// sin x, of x in radians
        Sin = RARE |x| T::sin(x),
            test Sin = x.sin();
        /// cos x, of x in radians
        Cos = RARE |x| T::cos(x),
            test Cos = x.cos();
        /// tan x, of x in radians
        Tan = RARE |x| T::tan(x),
            test Tan = x.tan();
        /// The inverse of sin, in [−π/2, π/2]
        Asin = RARE |x| T::asin(x),
            test Asin = x.asin();
        /// The inverse of cos, in [0, π]
        Acos = RARE |x| T::acos(x),
            test Acos = x.acos();
        /// The inverse of tan, in [−π/2, π/2]
        Atan = RARE |x| T::atan(x),
            test Atan = x.atan();
        /// (eˣ − e⁻ˣ)/2
        Sinh = RARE |x| T::sinh(x),
            test Sinh = x.sinh();
        /// (eˣ + e⁻ˣ)/2
        Cosh = RARE |x| T::cosh(x),
            test Cosh = x.cosh();
        /// eˣ − 1
        Expm1 = RARE |x| T::exp_m1(x),
            test Expm1 = x.exp_m1();
        /// ln(1 + x)
        Log1p = RARE |x| T::ln_1p(x),
            test Log1p = x.ln_1p();
        /// The logarithm to base 2
        Log2 = RARE |x| T::log2(x),
            test Log2 = x.log2();
        /// The logarithm to base 10
        Log10 = RARE |x| T::log10(x),
            test Log10 = x.log10();
        /// 2/√π·∫₀ˣ e^(−t²) dt
        Erf = RARE |x| T::erf(x),
            test Erf = <f64 as crate::cpu::math::Elementary>::erf(x);
        /// 1/√x
        Rsqrt = CHEAP |x| T::ONE / x.sqrt(),
            test Rsqrt = 1.0 / x.sqrt();
        /// The largest integer ≤ x
        Floor = RARE |x| x.floor(),
            test Floor = x.floor();
        /// The smallest integer ≥ x
        Ceil = RARE |x| x.ceil(),
            test Ceil = x.ceil();
        /// The nearest integer; of two the even one
        Round = RARE |x| x.round_ties_even(),
            test Round = x.round_ties_even();
        /// The integer part
        Trunc = RARE |x| x.trunc(),
            test Trunc = x.trunc();
    }
    binary {
        /// a + b
        Add "add" = CHEAP |a, b| a + b;
        /// a − b
        Sub "sub" = CHEAP |a, b| a - b;
        /// a·b
        Mul "mul" = CHEAP |a, b| a * b;
        /// a/b
        Div "div" = CHEAP |a, b| a / b;
        /// The maximum; NaN if either is NaN
        // If b is NaN, the comparison is false and b is the result; NaN in a is tested.
        Maximum "maximum" = CHEAP |a, b| if a >= b || a.is_nan() { a } else { b };
        /// The minimum; NaN if either is NaN
        Minimum "minimum" = CHEAP |a, b| if a <= b || a.is_nan() { a } else { b };
        /// aᵇ
        Power "power" = RARE |a, b| T::powf(a, b);
        /// The angle of the point (b, a), in [−π, π]
        Atan2 "atan2" = RARE |a, b| T::atan2(a, b);
        /// a − b·⌊a/b⌋
        Remainder "remainder" = RARE |a, b| remainder(a, b);
    }
} } }

pub(crate) use functions;
