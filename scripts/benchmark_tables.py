"""The tables that scripts/benchmark.py writes."""

import math

MODES = {
    "eager": "eager", "fused": "fused optimizer", "channels_last": "channels-last",
    "both": "channels-last, fused", "compile": "torch.compile",
}  # fmt: skip


def insert(path, name, text):
    """Replaces what is between the markers `<!-- NAME -->` and `<!-- end of NAME -->` of a file."""
    content = path.read_text()
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if content.count(start) != 1 or content.count(end) != 1:
        raise SystemExit(f"{path}: expected the lines {start.strip()} and {end} once each")
    before, after = content.split(start)[0], content.split(end)[1]
    path.write_text(f"{before}{start}{text}\n{end}{after}")


def rounded(number):
    """Three digits, whole from 100 on, with spaces between thousands."""
    return f"{number:,.0f}".replace(",", " ") if number >= 100 else f"{number:.3g}"


def where(entry, results):
    """The machine and the days of these results."""
    level = " limited to AVX2" if entry["level"] == "avx2" else ""
    threads = "one thread" if entry["threads"] == 1 else f"{entry['threads']} threads"
    return f"{entry['processor']}{level}, {threads}, {' and '.join(sorted({r['date'] for r in results}))}"


def steps_table(entries, memory):
    """A row for each net of each machine."""
    lines = ["| machine | net | chainrule, images/s | PyTorch, images/s | ratio |" + (" peak memory |" if memory else "")]
    lines.append("|---|---|---|---|---|" + ("---|" if memory else ""))
    for entry in entries:
        for net, r in entry["results"].items():
            line = f"| {where(entry, [r])} | {net}, batch {r['batch']} | {rounded(r['chainrule'])} | {rounded(r['torch'])}"
            mode = f" ({MODES[r['mode']]})" if "mode" in r else ""
            line += f"{mode} | **{r['chainrule'] / r['torch']:.2f}** |"
            if memory:
                line += f" {r['chainrule_mb']} MB, PyTorch {r['torch_mb']} MB |" if r.get("torch_mb") else " |"
            lines.append(line)
    return "\n".join(lines)


def slope(values, times):
    """The slope of the least-squares line through log(time) against log(value), of the upper half of the curve."""
    half = max(2, len(values) // 2 + 1)
    x, y = ([math.log(v) for v in numbers[-half:]] for numbers in (values, times))
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y)) / sum((a - mx) ** 2 for a in x)


def slopes(result):
    """Of the operations, of chainrule's time, of PyTorch's."""
    return [slope(result["values"], result[key]) for key in ("gflop", "chainrule_ms", "torch_ms")]


def curve_lines(result):
    """What is printed of a curve."""
    lines = []
    for i, value in enumerate(result["values"]):
        ours, torch, flop = result["chainrule_ms"][i], result["torch_ms"][i], result["gflop"][i]
        lines.append(
            f"  {result['axis']} {value:>4}: {ours:9.3f} ms, PyTorch {torch:9.3f} ({torch / ours:5.2f} times), "
            f"{1e3 * flop / ours:6.1f} GFLOP/s, {result['chainrule_mb'][i]:.0f} MB, PyTorch {result['torch_mb'][i]:.0f}"
        )
    operations, ours, torch = slopes(result)
    grows = "; grows faster than its operations" if ours > operations + 0.1 else ""
    lines.append(f"  slopes: operations {operations:.2f}, chainrule {ours:.2f}, PyTorch {torch:.2f}{grows}")
    return lines


def growth_table(entries):
    """A row for each curve."""
    if not entries:
        return ""
    lines = ["| machine | curve | chainrule, ms | PyTorch, ms | ratio | slopes: operations, chainrule, PyTorch |"]
    lines.append("|---|---|---|---|---|---|")
    for entry in entries:
        for name, r in entry["results"].items():
            numbers = lambda key: ", ".join(rounded(number) for number in r[key])
            ratio = ", ".join(f"{b / a:.1f}" for a, b in zip(r["chainrule_ms"], r["torch_ms"]))
            curve = f"{name}: {', '.join(map(str, r['values']))}"
            slope_texts = ", ".join(f"{s:.2f}" for s in slopes(r))
            lines.append(f"| {where(entry, [r])} | {curve} | {numbers('chainrule_ms')} | {numbers('torch_ms')} | {ratio} | {slope_texts} |")
    return "\n".join(lines)
