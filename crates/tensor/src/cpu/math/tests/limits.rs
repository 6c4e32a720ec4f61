//! Values at the ends and in the middle of each domain, which accuracy in ulp does not single out.

use super::super::Elementary;

macro_rules! limits {
    ($float:ident) => {
        mod $float {
            use super::Elementary;

            const INF: $float = $float::INFINITY;
            const NAN: $float = $float::NAN;
            const LEAST: $float = $float::from_bits(1);

            /// The same bits, or both NaN.
            #[track_caller]
            fn same(found: $float, expected: $float) {
                assert!(
                    found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
                    "{found:?}, not {expected:?}",
                );
            }
            fn exp(x: $float) -> $float {
                Elementary::exp(x)
            }
            fn ln(x: $float) -> $float {
                Elementary::ln(x)
            }
            fn pow(x: $float, p: $float) -> $float {
                Elementary::powf(x, p)
            }

            #[test]
            fn exponentials() {
                same(exp(0.0), 1.0);
                same(exp(-0.0), 1.0);
                same(exp(INF), INF);
                same(exp(-INF), 0.0);
                same(exp($float::MAX), INF);
                same(exp($float::MIN), 0.0);
                same(exp(NAN), NAN);
                // Halfway down the subnormals a result is neither flushed to 0 nor normal.
                let deep = exp(ln($float::MIN_POSITIVE) - 3.0);
                assert!(deep > 0.0 && deep < $float::MIN_POSITIVE);
                same(Elementary::exp_m1(-INF), -1.0);
                same(Elementary::exp_m1(INF), INF);
                same(Elementary::exp_m1(-0.0), -0.0);
                same(Elementary::exp_m1(-LEAST), -LEAST);
                same(Elementary::exp_m1(NAN), NAN);
            }

            #[test]
            fn logarithms() {
                same(ln(1.0), 0.0);
                same(ln(0.0), -INF);
                same(ln(-0.0), -INF);
                same(ln(-LEAST), NAN);
                same(ln(-INF), NAN);
                same(ln(INF), INF);
                same(ln(NAN), NAN);
                same(Elementary::ln_1p(-0.0), -0.0);
                same(Elementary::ln_1p(LEAST), LEAST);
                same(Elementary::ln_1p(-1.0), -INF);
                same(Elementary::ln_1p(-1.5), NAN);
                same(Elementary::ln_1p(-INF), NAN);
                same(Elementary::ln_1p(INF), INF);
                same(Elementary::ln_1p(NAN), NAN);
            }

            #[test]
            fn activations() {
                for (x, end) in [(1000.0, 1.0), (INF, 1.0), ($float::MAX, 1.0), (0.0, 0.0)] {
                    same(Elementary::tanh(x), end);
                    same(Elementary::tanh(-x), -end);
                    same(Elementary::erf(x), end);
                    same(Elementary::erf(-x), -end);
                }
                same(Elementary::sigmoid(0.0), 0.5);
                same(Elementary::sigmoid(-0.0), 0.5);
                for x in [1000.0, INF, $float::MAX] {
                    same(Elementary::sigmoid(x), 1.0);
                    same(Elementary::sigmoid(-x), 0.0);
                    same(Elementary::softplus(x), x);
                    same(Elementary::softplus(-x), 0.0);
                }
                same(Elementary::softplus(0.0), std::$float::consts::LN_2);
                same(Elementary::tanh(NAN), NAN);
                same(Elementary::erf(NAN), NAN);
                same(Elementary::sigmoid(NAN), NAN);
                same(Elementary::softplus(NAN), NAN);
            }

            #[test]
            fn quarters_of_a_turn_are_exact() {
                for (u, expected) in
                    [(0.0 as $float, (0.0, 1.0)), (0.25, (1.0, 0.0)), (0.5, (0.0, -1.0)), (0.75, (-1.0, 0.0))]
                {
                    assert_eq!(Elementary::sin_cos_turns(u), expected);
                }
            }

            /// The list of IEEE 754-2019, 9.2.1, with exponents on both sides of those that are mere multiplications.
            #[test]
            fn powers() {
                for x in [0.0, -0.0, 1.0, -1.0, 0.3, -7.0, INF, -INF, NAN] {
                    same(pow(x, 0.0), 1.0);
                    same(pow(x, -0.0), 1.0);
                    same(pow(1.0, x), 1.0);
                }
                for odd in [1.0, 3.0, 5.0] {
                    same(pow(0.0, odd), 0.0);
                    same(pow(-0.0, odd), -0.0);
                    same(pow(-0.0, -odd), -INF);
                    same(pow(-INF, odd), -INF);
                    same(pow(-INF, -odd), -0.0);
                    same(pow(-1.0, odd), -1.0);
                }
                for other in [0.5, 2.0, 2.5, 4.0, 6.0, INF] {
                    same(pow(-0.0, other), 0.0);
                    same(pow(-0.0, -other), INF);
                    same(pow(-INF, other), INF);
                    same(pow(-INF, -other), 0.0);
                    same(pow(NAN, other), NAN);
                }
                same(pow(2.0, NAN), NAN);
                same(pow(-1.0, INF), 1.0);
                same(pow(0.5, INF), 0.0);
                same(pow(0.5, -INF), INF);
                same(pow(-2.0, INF), INF);
                same(pow(-2.0, -INF), 0.0);
                same(pow(-2.0, $float::MAX), INF);
                for fraction in [0.5, -0.5, 2.5, 1e-3] {
                    same(pow(-2.0, fraction), NAN);
                }
                same(pow(3.0, 5.0), 243.0);
                same(pow(-2.0, 7.0), -128.0);
                same(pow(2.0, -10.0), 1.0 / 1024.0);
                same(pow(9.0, 1.5), 27.0);
            }
        }
    };
}

limits!(f32);
limits!(f64);
