"""Makes crates/tensor/src/cpu/math/coefficients.rs: the polynomials of the elementary functions.

    pip install mpmath numpy
    python elementary_coefficients.py > ../../src/cpu/math/coefficients.rs
    rustfmt --edition 2024 ../../src/cpu/math/coefficients.rs

Each polynomial P is the best one of its degree in the weighted maximum norm, max |w(x) (f(x) - P(x))| over an interval,
found by the Remez exchange on a dense grid in 50 digits and then rounded, coefficient by coefficient, to the element type.
The weight turns an error of P into a relative error of the function that uses it, so the figure printed beside each
array, in units of the element type's u (half an ulp of 1), is what the approximation adds before any rounding.
"""

import sys

import numpy as np
from mpmath import atan, atanh, cos, erf, erfc, expm1, floor, ln, lu_solve, matrix, mp, mpf, pi, sin, sqrt, tan, tanh

mp.dps = 50


def remez(f, weight, low, high, degree):
    """Coefficients, lowest power first, of the best weighted approximation of f, by single-set exchange on a grid."""
    count = degree + 2
    size = 60 * count
    low, high = mpf(low), mpf(high)
    # Chebyshev points of the first kind: dense at the ends, never on them, so 0/0 at x = 0 does not arise.
    grid = [(low + high) / 2 - (high - low) / 2 * cos(pi * (2 * i + 1) / (2 * size)) for i in range(size)]
    values = [f(x) for x in grid]
    weights = [weight(x) for x in grid]
    picked = [min(size - 1, (2 * i + 1) * size // (2 * count)) for i in range(count)]
    for _ in range(60):
        system = matrix(count, count)
        right = matrix(count, 1)
        for row, i in enumerate(picked):
            for power in range(degree + 1):
                system[row, power] = grid[i] ** power
            system[row, degree + 1] = (-1) ** row / weights[i]
            right[row] = values[i]
        solution = lu_solve(system, right)
        coefficients = [solution[power] for power in range(degree + 1)]
        level = abs(solution[degree + 1])
        errors = [weights[i] * (values[i] - horner(coefficients, grid[i])) for i in range(size)]
        worst = max(abs(e) for e in errors)
        if worst <= level * mpf("1.0001"):
            return coefficients
        # The largest error of each run of one sign; of too many runs, the outer ones with small errors go.
        runs = []
        for i in range(size):
            if runs and (errors[i] > 0) == (errors[runs[-1]] > 0):
                if abs(errors[i]) > abs(errors[runs[-1]]):
                    runs[-1] = i
            else:
                runs.append(i)
        while len(runs) > count:
            runs.pop(0 if abs(errors[runs[0]]) < abs(errors[runs[-1]]) else -1)
        if len(runs) < count:
            raise ArithmeticError("the error alternates too rarely: raise the grid's size")
        picked = runs
    raise ArithmeticError("no convergence")


def horner(coefficients, x):
    total = mpf(0)
    for c in reversed(coefficients):
        total = total * x + c
    return total


def grouped(text):
    """Digits in groups of three, as rustc's own literals are written."""
    mantissa, _, exponent = text.partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    fraction = "_".join((fraction or "0")[i : i + 3] for i in range(0, len(fraction or "0"), 3))
    return sign + whole + "." + fraction + ("e" + str(int(exponent)) if exponent else "")


def rounded(value, kind):
    if kind == "f32":
        # Through a decimal string: numpy rounds it once, where a way over f64 could round twice.
        return np.float32(mp.nstr(value, 30))
    return np.float64(mp.nstr(value, 40))


def literal(value, kind):
    number = rounded(value, kind)
    return grouped(np.format_float_scientific(number, unique=True))


def emit(kind, name, text, f, weight, low, high, degree):
    exact = remez(f, weight, low, high, degree)
    stored = [mpf(float(rounded(c, kind))) for c in exact]
    size = 998
    worst = max(
        abs(weight(x) * (f(x) - horner(stored, x)))
        for x in (mpf(low) + (mpf(high) - mpf(low)) * (2 * i + 1) / (2 * size) for i in range(size))
    )
    unit = mpf(2) ** (-24 if kind == "f32" else -53)
    print(f"{kind} {name}: degree {degree}, {mp.nstr(worst / unit, 3)} u", file=sys.stderr)
    print(f"    /// {text}")
    print(f"    /// Relative error {mp.nstr(worst / unit, 2)} u.")
    print(f"    pub(in super::super) const {name}: [{kind}; {degree + 1}] = [{', '.join(literal(c, kind) for c in exact)}];")


HALF_LN2 = ln(2) / 2 + mpf("0.001")  # a little more than the reduction leaves, for its rounding
S_MAX = ((sqrt(2) - 1) / (sqrt(2) + 1)) ** 2 * mpf("1.0001")
TANH_SPLIT = mpf("0.625")
QUARTER = (pi / 4) ** 2 * mpf("1.0001")
EIGHTH = tan(pi / 8) ** 2 * mpf("1.0001")

DEGREES = {
    "f32": dict(exp=5, ln=3, softplus=4, ln_pair=3, tanh=4, erf=6, erfc=8, sin=3, cos=3, erf_end=4, sine=2, cosine=2, atan=4),
    "f64": dict(exp=10, ln=6, softplus=10, ln_pair=7, tanh=11, erf=12, erfc=20, sin=6, cos=7, erf_end=6, sine=5, cosine=5, atan=11),
}


def table(kind):
    d = DEGREES[kind]
    emit(kind, "EXP", "`(exp(r) - 1 - r) / r²` in r, |r| ≤ ln(2)/2.",
         lambda r: (expm1(r) - r) / r**2, lambda r: abs(r), -HALF_LN2, HALF_LN2, d["exp"])

    def log_tail(z):
        return (2 * atanh(sqrt(z)) / sqrt(z) - 2) / z

    emit(kind, "LN", "`(2 atanh(s)/s - 2) / s²` in z = s², |s| ≤ (√2 - 1)/(√2 + 1).",
         log_tail, lambda z: z / 2, 0, S_MAX, d["ln"])
    emit(kind, "SOFTPLUS", "`(2 atanh(s)/s - 2) / s²` in z = s², 0 ≤ s ≤ 1/3.",
         log_tail, lambda z: z / 2, 0, mpf("1.0001") / 9, d["softplus"])
    emit(kind, "LN_PAIR", "`(2 atanh(s)/s - 2 - 2/3 s²) / s⁴` in z = s², the same range.",
         lambda z: (log_tail(z) - mpf(2) / 3) / z, lambda z: z**2 / 2, 0, S_MAX, d["ln_pair"])
    emit(kind, "TANH", "`(tanh(x)/x - 1) / x²` in z = x², |x| ≤ 5/8.",
         lambda z: (tanh(sqrt(z)) / sqrt(z) - 1) / z, lambda z: z * sqrt(z) / tanh(sqrt(z)), 0, TANH_SPLIT**2, d["tanh"])
    emit(kind, "ERF", "`erf(x)/x - 1` in z = x², |x| ≤ 1.",
         lambda z: erf(sqrt(z)) / sqrt(z) - 1, lambda z: sqrt(z) / erf(sqrt(z)), 0, 1, d["erf"])
    # In powers of a - 1: where erfc is largest the sum is nearly its first term, and its rounding errors are smallest.
    emit(kind, "ERFC_LOG", f"`ln erfc(a)` in t = a - 1, 1 ≤ a ≤ {d['erf_end']}.",
         lambda t: ln(erfc(1 + t)), lambda t: erfc(1 + t), 0, d["erf_end"] - 1, d["erfc"])

    def root(z):
        return 2 * pi * sqrt(z)

    emit(kind, "SIN_TURNS", "`(sin(2πr)/r - 2π) / r²` in z = r², |r| ≤ 1/8.",
         lambda z: (sin(root(z)) / sqrt(z) - 2 * pi) / z, lambda z: z * sqrt(z) / sin(root(z)), 0, mpf(1) / 64, d["sin"])
    emit(kind, "COS_TURNS", "`(cos(2πr) - 1) / r²` in z = r², the same range.",
         lambda z: (cos(root(z)) - 1) / z, lambda z: z / cos(root(z)), 0, mpf(1) / 64, d["cos"])

    emit(kind, "SINE", "`(sin(r)/r - 1) / r²` in z = r², |r| ≤ π/4.",
         lambda z: (sin(sqrt(z)) / sqrt(z) - 1) / z, lambda z: z * sqrt(z) / sin(sqrt(z)), 0, QUARTER, d["sine"])
    emit(kind, "COSINE", "`(cos(r) - 1 + r²/2) / r⁴` in z = r², the same range.",
         lambda z: (cos(sqrt(z)) - 1 + z / 2) / z**2, lambda z: z**2 / cos(sqrt(z)), 0, QUARTER, d["cosine"])
    emit(kind, "ATAN", "`(atan(t)/t - 1) / t²` in z = t², |t| ≤ tan(π/8).",
         lambda z: (atan(sqrt(z)) / sqrt(z) - 1) / z, lambda z: z * sqrt(z) / atan(sqrt(z)), 0, EIGHTH, d["atan"])


def two_over_pi(words):
    """The first 64·words bits of 2/π after the point, as words of 64 bits."""
    with mp.workdps(40 + 20 * words):
        bits = int(floor(2 / pi * mpf(2) ** (64 * words)))
    return [bits >> 64 * (words - 1 - i) & (1 << 64) - 1 for i in range(words)]


def hexadecimal(word):
    """Digits in groups of four."""
    digits = f"{word:016x}"
    return "0x" + "_".join(digits[i : i + 4] for i in range(0, 16, 4))


print("//! Polynomials of the elementary functions, lowest power first.")
print("//! Made by `tests/reference/elementary_coefficients.py` (Remez exchange in 50 digits); not to be edited by hand.")
print("//! The errors are relative to the function that uses the polynomial, in u (half an ulp of 1), before any rounding.")
for module, kind, what in (("single", "f32", "For `f32`."), ("double", "f64", "For `f64`.")):
    print(f"\n/// {what}")
    print(f"pub(super) mod {module} {{")
    table(kind)
    print("}")

print("\n/// 2/π in fixed point: a word before the point, and as many bits after it as the largest `f64` asks for.")
print(f"pub(super) const TWO_OVER_PI: [u64; 20] = [0x0, {', '.join(map(hexadecimal, two_over_pi(19)))}];")
