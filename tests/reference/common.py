"""What the scripts of this folder share: the writing and checking of their JSON files."""

import json
import math
import sys
from pathlib import Path

import torch

torch.set_num_threads(1)


def write_or_check(script, about, cases):
    """Writes the JSON file beside `script`, one case a line; with --check compares it with what is there instead.

    Floats are printed by repr: the shortest text that parses to the same number, 17 digits at most.
    """
    path = Path(script).with_suffix(".json")
    dump = lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    head = dump({"torch": torch.__version__.split("+")[0], **about})[:-1]
    text = head + ',"cases":[\n' + ",\n".join(dump(case) for case in cases) + "\n]}\n"
    if "--check" not in sys.argv[1:]:
        path.write_text(text, encoding="utf-8")
        return
    differences = list(compare(json.loads(path.read_text(encoding="utf-8")), json.loads(text), path.name))
    print("\n".join(differences) or f"{path.name}: as computed here, {len(cases)} cases")
    sys.exit(bool(differences))


def compare(stored, computed, where):
    """Differences as sentences. Another CPU may round sums in another order, hence the tolerance."""
    if isinstance(stored, dict) and isinstance(computed, dict) and stored.keys() == computed.keys():
        for key in stored:
            yield from compare(stored[key], computed[key], f"{where}.{key}")
    elif isinstance(stored, list) and isinstance(computed, list) and len(stored) == len(computed):
        for i, pair in enumerate(zip(stored, computed)):
            yield from compare(*pair, f"{where}[{i}]")
    elif isinstance(stored, float) and isinstance(computed, float):
        tolerance = 3e-7 if ".f32" in where else 1e-13
        if not math.isclose(stored, computed, rel_tol=tolerance, abs_tol=tolerance):
            yield f"{where}: stored {stored!r}, computed {computed!r}"
    elif stored != computed:
        yield f"{where}: stored {stored!r}, computed {computed!r}"
