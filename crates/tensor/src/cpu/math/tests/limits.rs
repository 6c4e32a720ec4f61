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

            #[test]
            fn angles() {
                for x in [0.0, -0.0, LEAST, -LEAST] {
                    same(Elementary::sin(x), x);
                    same(Elementary::tan(x), x);
                    same(Elementary::cos(x), 1.0);
                    same(Elementary::asin(x), x);
                    same(Elementary::atan(x), x);
                    same(Elementary::sinh(x), x);
                    same(Elementary::cosh(x), 1.0);
                }
                for x in [INF, -INF, NAN] {
                    same(Elementary::sin(x), NAN);
                    same(Elementary::cos(x), NAN);
                    same(Elementary::tan(x), NAN);
                    same(Elementary::asin(x), NAN);
                    same(Elementary::acos(x), NAN);
                }
                let right = std::$float::consts::FRAC_PI_2;
                same(Elementary::atan(INF), right);
                same(Elementary::atan(-INF), -right);
                same(Elementary::atan(1.0 as $float), right / 2.0);
                same(Elementary::asin(1.0 as $float), right);
                same(Elementary::asin(-1.0 as $float), -right);
                same(Elementary::acos(1.0 as $float), 0.0);
                same(Elementary::acos(0.0 as $float), right);
                same(Elementary::acos(-1.0 as $float), 2.0 * right);
                same(Elementary::acos(1.5 as $float), NAN);
                same(Elementary::sinh(INF), INF);
                same(Elementary::sinh(-INF), -INF);
                same(Elementary::cosh(-INF), INF);
                same(Elementary::sinh(NAN), NAN);
                same(Elementary::cosh(NAN), NAN);
                same(Elementary::atan(NAN), NAN);
            }

            /// The list of IEEE 754-2019, 9.2.1.
            #[test]
            fn angles_of_points() {
                let pi = std::$float::consts::PI;
                for (y, sign) in [(0.0, 1.0), (-0.0, -1.0)] {
                    same(Elementary::atan2(y, 0.0), y);
                    same(Elementary::atan2(y, 3.0), y);
                    same(Elementary::atan2(y, INF), y);
                    same(Elementary::atan2(y, -0.0), sign * pi);
                    same(Elementary::atan2(y, -3.0), sign * pi);
                    same(Elementary::atan2(2.0 * sign, -INF), sign * pi);
                    same(Elementary::atan2(2.0 * sign, y), sign * pi / 2.0);
                    same(Elementary::atan2(sign * INF, 5.0), sign * pi / 2.0);
                    same(Elementary::atan2(sign * INF, INF), sign * pi / 4.0);
                    same(Elementary::atan2(sign * INF, -INF), sign * 3.0 * pi / 4.0);
                    same(Elementary::atan2(sign * $float::MAX, $float::MAX), sign * pi / 4.0);
                }
                same(Elementary::atan2(NAN, 1.0), NAN);
                same(Elementary::atan2(1.0, NAN), NAN);
            }

            #[test]
            fn powers_of_two_and_ten() {
                for k in [-100, -7, -1, 0, 1, 3, 64, 127_i16] {
                    same(Elementary::log2((2.0 as $float).powi(k.into())), k.into());
                }
                for k in 0..=10_i16 {
                    same(Elementary::log10((10.0 as $float).powi(k.into())), k.into());
                }
                same(Elementary::log2(0.0 as $float), -INF);
                same(Elementary::log10(-LEAST), NAN);
                same(Elementary::log2(LEAST), if size_of::<$float>() == 4 { -149.0 } else { -1074.0 });
                same(Elementary::log10(INF), INF);
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
