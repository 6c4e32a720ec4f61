"""The plots that scripts/benchmark.py writes, as SVG that can be read on light and dark pages."""

import math

from benchmark_tables import where

STYLE = """<style>
:root { --back: #ffffff; --text: #24292f; --faint: #d0d7de; --ours: #c2410c; --torch: #64748b; }
@media (prefers-color-scheme: dark) {
  :root { --back: #0d1117; --text: #e6edf3; --faint: #30363d; --ours: #fb923c; --torch: #94a3b8; }
}
.back { fill: var(--back) } text { fill: var(--text) } .faint { stroke: var(--faint); fill: none }
.ours { stroke: var(--ours); fill: none; stroke-width: 2 } .torch { stroke: var(--torch); fill: none; stroke-width: 2 }
.dashed { stroke-dasharray: 5 4 } .ours-bar { fill: var(--ours) } .torch-bar { fill: var(--torch) }
</style>"""


def svg(width, height, parts):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, STYLE, f'<rect class="back" width="{width}" height="{height}"/>', *parts, "</svg>"]) + "\n"


def text(x, y, words, anchor="start", size=12):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-size="{size}">{words}</text>'


def steps_plot(entries):
    """Bars of the ratio of each net on each machine; PyTorch is the line at 1."""
    left, unit, y, parts = 130, 120, 46, [text(20, 24, "Training speed in units of PyTorch's fastest mode", size=15)]
    for entry in entries:
        parts.append(text(20, y + 8, where(entry, entry["results"].values())))
        y += 16
        top = y
        for net, r in entry["results"].items():
            ratio = r["chainrule"] / r["torch"]
            parts.append(text(left - 8, y + 12, net, "end"))
            parts.append(f'<rect class="ours-bar" x="{left}" y="{y + 1}" width="{unit * ratio:.0f}" height="14"/>')
            images = f"{r['chainrule']:,.0f}".replace(",", " ")
            parts.append(text(left + unit * ratio + 6, y + 12, f"{ratio:.2f} × ({images} images/s)"))
            y += 18
        parts.append(f'<line class="torch" x1="{left + unit}" x2="{left + unit}" y1="{top - 2}" y2="{y}"/>')
        y += 14
    parts.append(text(left + unit + 4, y + 2, "PyTorch = 1"))
    return svg(760, y + 16, parts)


def ticks(low, high):
    """The powers of ten between two numbers; if there are fewer than two, with 2 and 5 times them."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ([1], [1, 2, 5]):
        found = [f * 10.0**e for e in range(first, last + 1) for f in factors if low <= f * 10.0**e <= high]
        if len(found) >= 2:
            break
    return found


def panel(x, y, title, axis, values, series):
    """A double logarithmic plot, `series` of (class, numbers)."""
    width, height = 190, 130
    shown = [n for _, numbers in series for n in numbers]
    low, high = min(shown) / 1.2, max(shown) * 1.2
    across = lambda v: x + width * (math.log(v / values[0]) / math.log(values[-1] / values[0]))
    up = lambda v: y + height - height * math.log(v / low) / math.log(high / low)
    parts = [text(x, y - 8, title), f'<rect class="faint" x="{x}" y="{y}" width="{width}" height="{height}"/>']
    for tick in ticks(low, high):
        parts.append(f'<line class="faint" x1="{x}" x2="{x + width}" y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>')
        parts.append(text(x - 4, up(tick) + 4, f"{tick:g}", "end", 10))
    for value in values:
        parts.append(text(across(value), y + height + 13, value, "middle", 10))
    parts.append(text(x + width / 2, y + height + 27, axis, "middle", 11))
    for kind, numbers in series:
        points = " ".join(f"{across(v):.1f},{up(n):.1f}" for v, n in zip(values, numbers))
        parts.append(f'<polyline class="{kind}" points="{points}"/>')
    return parts


def growth_plot(entry):
    """A panel for each curve: milliseconds of a step; and two of memory."""
    parts = [text(20, 24, f"Growth of a training step: {where(entry, entry['results'].values())}", size=15)]
    parts.append('<line class="ours" x1="20" x2="50" y1="40" y2="40"/>' + text(56, 44, "chainrule"))
    parts.append('<line class="torch" x1="140" x2="170" y1="40" y2="40"/>' + text(176, 44, "PyTorch"))
    parts.append('<line class="ours dashed" x1="250" x2="280" y1="40" y2="40"/>')
    parts.append(text(286, 44, "operations, from chainrule's last point"))
    panels = []
    for name, r in entry["results"].items():
        if name.startswith("inference"):
            continue
        scale = r["chainrule_ms"][-1] / r["gflop"][-1]
        series = [("ours dashed", [scale * g for g in r["gflop"]]), ("torch", r["torch_ms"]), ("ours", r["chainrule_ms"])]
        net = name if name.startswith("batch") else f"{name} of a plain net"
        panels.append((f"{net}, ms", r["axis"], r["values"], series))
        if name in ("batch cifar", "depth"):
            panels.append((f"{net}, peak memory, MB", r["axis"], r["values"], [("torch", r["torch_mb"]), ("ours", r["chainrule_mb"])]))
    for i, shown in enumerate(panels):
        parts += panel(60 + 260 * (i % 3), 84 + 190 * (i // 3), *shown)
    return svg(800, 84 + 190 * math.ceil(len(panels) / 3), parts)
