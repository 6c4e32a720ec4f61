"""Makes elementary.txt, the true values that the f64 elementary functions are held against.

    pip install mpmath
    python elementary.py > elementary.txt

One line a point: name, argument (for powf: base, exponent), high, low; each the 16 hex digits of an f64. The true value
is high + low: high is it correctly rounded, low the rest (0 for infinities, NaN, and what is below the subnormals), so
that an error can be told to a fraction of an ulp.
"""

import math
import random
import struct

from mpmath import acos, asin, atan, atan2, cos, cosh, cospi, erf, exp, expm1, inf, isinf, isnan, ldexp, log, log1p, mp, mpf, nan, pi, power, sin, sinh, sinpi, tan, tanh

mp.prec = 400
random.seed(20)

LEAST = 5e-324
LEAST_NORMAL = 2.2250738585072014e-308
GREATEST = 1.7976931348623157e308


def bits(x):
    return "7ff8000000000000" if math.isnan(x) else struct.pack(">d", x).hex()


def nearest(value):
    """The f64 nearest to a value; mpmath's own conversion rounds subnormals twice."""
    if isnan(value) or isinf(value) or value == 0:
        return float(value)
    exponent = max(int(mp.floor(mp.log(abs(value), 2))) - 52, -1074)
    whole = int(mp.nint(ldexp(value, -exponent)))
    try:
        return math.copysign(math.ldexp(abs(whole), exponent), value)
    except OverflowError:
        return math.copysign(math.inf, value)


def line(name, arguments, value, sign=1.0):
    high = nearest(value)
    if high == 0 and value == 0:
        high = math.copysign(0.0, sign)
    low = nearest(value - mpf(high)) if math.isfinite(high) else 0.0
    print(name, *map(bits, arguments), bits(high), bits(low))


def uniform(low, high, count):
    return [random.uniform(low, high) for _ in range(count)]


def sizes(low, high, count, signs=(1, -1)):
    """Powers of two with any fraction: every size equally often."""
    return [random.choice(signs) * math.ldexp(random.uniform(1, 2), random.randint(low, high)) for _ in range(count)]


def around(*centers):
    """Each center, the values next to it, and their negatives."""
    out = []
    for c in centers:
        for x in (math.nextafter(c, -math.inf), c, math.nextafter(c, math.inf)):
            out += [x, -x]
    return out


EDGES = [0.0, -0.0, math.inf, -math.inf, math.nan, 1000.0, -1000.0]
EDGES += around(LEAST, LEAST_NORMAL, 2.0**-54, 2.0**-53, 2.0**-27, 0.5, math.log(2) / 2, math.sqrt(0.5), 0.625, 1.0, math.sqrt(2), 2.0, 6.0, 20.0, 40.0)
EDGES += [GREATEST, -GREATEST]
# Where exp over- and underflows: the greatest finite, the least normal and the least subnormal result.
THRESHOLDS = around(709.782712893384, 708.3964185322641, 745.1332191019411, 744.4400719213812, 710.0, 746.0)


def limits(name, x):
    """The true value at an argument that is no finite number, as IEEE 754 and C's annex F have it."""
    if math.isnan(x):
        return nan
    up = x > 0
    return {
        "exp": inf if up else mpf(0), "exp_m1": inf if up else mpf(-1), "ln": inf if up else nan, "ln_1p": inf if up else nan,
        "tanh": mpf(1 if up else -1), "sigmoid": mpf(1 if up else 0), "softplus": inf if up else mpf(0), "erf": mpf(1 if up else -1),
    }[name]


def ln_limits(u, f):
    return nan if u < 0 else -inf if u == 0 else f()


def truth(name, x):
    if not math.isfinite(x):
        return limits(name, x)
    x = mpf(x)
    with mp.workprec(2400 if 0 < abs(x) < 1e-60 else 400):  # 1 + x needs the bits between
        if name == "exp":
            return exp(x) if x < 800 else inf
        if name == "exp_m1":
            return (expm1(x) if x < 800 else inf) if x > -800 else mpf(-1)
        if name == "ln":
            return ln_limits(x, lambda: log(x))
        if name == "ln_1p":
            return ln_limits(1 + x, lambda: log1p(x))
        if name == "tanh":
            return tanh(x) if abs(x) < 800 else mpf(1 if x > 0 else -1)
        if name == "sigmoid":
            return 1 / (1 + exp(-x)) if abs(x) < 800 else mpf(1 if x > 0 else 0)
        if name == "softplus":
            return log1p(exp(x)) if abs(x) < 800 else max(x, mpf(0))
        return erf(x) if abs(x) < 30 else mpf(1 if x > 0 else -1)


POINTS = {
    "exp": uniform(-1, 1, 60) + uniform(-745, 709, 120) + uniform(-745.2, -708, 20) + sizes(-60, 9, 40),
    "exp_m1": uniform(-2, 2, 120) + uniform(-50, 709, 50) + sizes(-60, 9, 60),
    "ln": uniform(0.5, 2, 100) + sizes(-1022, 1023, 80, (1,)) + sizes(-1074, -1023, 20, (1,)) + [1 + x for x in sizes(-52, -2, 50)],
    "ln_1p": uniform(-1, 2, 120) + sizes(-60, -1, 80) + sizes(0, 1023, 40, (1,)),
    "tanh": uniform(-1, 1, 100) + uniform(-20, 20, 60) + sizes(-60, 5, 60),
    "sigmoid": uniform(-5, 5, 80) + uniform(-40, 40, 60) + uniform(-745.2, -700, 20) + sizes(-60, 9, 60),
    "softplus": uniform(-5, 5, 80) + uniform(-40, 40, 60) + uniform(-745.2, -700, 20) + sizes(-60, 9, 60),
    "erf": uniform(-1, 1, 100) + uniform(-6, 6, 100) + sizes(-60, 3, 60),
}
SIGNED_ZERO = ("exp_m1", "ln_1p", "tanh", "erf")
for name, points in POINTS.items():
    for x in points + EDGES + THRESHOLDS:
        line(name, [x], truth(name, x), math.copysign(1.0, x) if name in SIGNED_ZERO else 1.0)

for u in [i / 16 for i in range(16)] + uniform(0, 1, 120) + sizes(-60, -1, 60, (1,)) + [abs(x) for x in around(0.125, 0.25, 0.375, 0.5, 0.75)]:
    line("sin_turns", [u], sinpi(2 * mpf(u)))
    line("cos_turns", [u], cospi(2 * mpf(u)))


def power_of(x, p):
    """pow where neither argument is special: IEEE 754's other cases have a test of their own."""
    odd = p == math.floor(p) and math.fmod(p, 2) != 0
    if x < 0 and p != math.floor(p):
        return nan
    value = power(mpf(abs(x)), mpf(p))
    return -value if x < 0 and odd else value


SMALL = [-3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 1 / 3]
for x in uniform(0.1, 10, 10) + uniform(-10, -0.1, 5) + sizes(-300, 300, 8) + [LEAST, 3e-310, GREATEST, 2.0, 10.0, -3.0]:
    for p in SMALL:
        line("powf", [x, p], power_of(x, p))
for _ in range(150):
    # An exponent that takes the result anywhere from underflow to overflow.
    x = random.choice(sizes(-1022, 1023, 1, (1,)) + uniform(0.5, 2, 3) + [1 + sizes(-52, -8, 1)[0]])
    p = random.uniform(-746, 710) / float(log(mpf(x)))
    line("powf", [x, p], power_of(x, p))
for x, p in [(-2.0, 53.0), (-2.0, 54.0), (-1.0, 9007199254740993.0), (-1.0000001, 9007199.0), (1 - 2.0**-53, 1e300), (1 + 2.0**-52, 1e300), (0.5, 1074.0), (0.5, 1075.0), (2.0, 1023.5), (7.0, LEAST)]:
    line("powf", [x, p], (inf if (x > 1) == (p > 0) else mpf(0)) if abs(p) > 1e100 else power_of(x, p))

# Circular and hyperbolic functions and their inverses. 6381956970095103·2⁷⁹⁷ is the f64 nearest to a multiple of π/2.
NEAR_RIGHT_ANGLES = [math.ldexp(6381956970095103, 797)] + [float(k * pi / 2) for k in range(1, 12)] + [float(k * pi / 2) for k in (667543, 667544, 2**20 + 1, 2**30 + 1, 2**51 + 1)]
ANGLES = uniform(-7, 7, 80) + uniform(-1.7e6, 1.7e6, 80) + sizes(-60, 1023, 150) + around(1048576.0, math.pi / 4, *NEAR_RIGHT_ANGLES)
AFTER_EXP = around(710.4758600739439, 710.0, 20.0, 40.0)
LATER = {
    "sin": (sin, ANGLES), "cos": (cos, ANGLES), "tan": (tan, ANGLES),
    "asin": (asin, uniform(-1, 1, 150) + sizes(-60, -1, 60) + [1 - abs(x) for x in sizes(-52, -2, 50)]),
    "acos": (acos, uniform(-1, 1, 150) + sizes(-60, -1, 60) + [1 - abs(x) for x in sizes(-52, -2, 50)]),
    "atan": (atan, uniform(-3, 3, 150) + sizes(-60, 60, 80) + around(math.sqrt(2) - 1, math.sqrt(2) + 1)),
    "sinh": (sinh, uniform(-2, 2, 80) + uniform(-710, 710, 80) + sizes(-60, 9, 60) + AFTER_EXP),
    "cosh": (cosh, uniform(-2, 2, 80) + uniform(-710, 710, 80) + sizes(-60, 9, 60) + AFTER_EXP),
    "log2": (lambda x: log(x, 2), uniform(0.5, 2, 100) + sizes(-1022, 1023, 80, (1,)) + sizes(-1074, -1023, 20, (1,)) + [1 + x for x in sizes(-52, -2, 50)]),
    "log10": (lambda x: log(x, 10), uniform(0.5, 2, 100) + sizes(-1022, 1023, 80, (1,)) + sizes(-1074, -1023, 20, (1,)) + [10.0**i for i in range(-20, 21)]),
}
HALF_PI = pi / 2
AT_INFINITY = {"atan": HALF_PI, "sinh": inf, "cosh": inf, "log2": inf, "log10": inf}


def later(name, f, x):
    """The true value of a function of LATER at any argument."""
    if math.isnan(x) or name in ("asin", "acos") and abs(x) > 1 or name in ("log2", "log10") and x < 0:
        return nan
    if math.isinf(x):
        end = AT_INFINITY.get(name, nan)
        return -end if x < 0 and name in ("atan", "sinh") else end
    if name in ("log2", "log10") and x == 0:
        return -inf
    if name in ("sinh", "cosh") and abs(x) > 1500:
        return -inf if x < 0 and name == "sinh" else inf
    with mp.workprec(2400):
        return f(mpf(x))


for name, (f, points) in LATER.items():
    for x in points + EDGES:
        line(name, [x], later(name, f, x), math.copysign(1.0, x) if name in ("sin", "tan", "asin", "atan", "sinh") else 1.0)

for y, x in zip(sizes(-300, 300, 60) + uniform(-2, 2, 150) + [LEAST, GREATEST, 1.0, GREATEST, LEAST], sizes(-300, 300, 60) + uniform(-2, 2, 150) + [LEAST, GREATEST, GREATEST, -1.0, -1.0]):
    with mp.workprec(2400):
        line("atan2", [y, x], atan2(mpf(y), mpf(x)))
