"""Compiles cuda/*.cu to ptx/*.ptx with NVRTC, which is a package on PyPI and needs no GPU.

    python3 kernels/build_ptx.py [--check] [--ptxas]

--check compares with the existing files, byte for byte, and changes nothing. --ptxas also assembles the PTX for every
supported GPU generation, and fails if a kernel spills registers or has a stack frame: both are memory traffic of every
thread, and a stack frame is usually a copy of a structure that is indexed by a variable.
"""

import argparse
import ctypes
import os
import pathlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
# The minimum compute capability of a file: 7.0, or 8.0 for the newer tensor core instructions.
ARCHITECTURES = {f"tensor_core_{precision}": "compute_80" for precision in ("bf16", "tf32", "tf32x3")}
DEFAULT = "compute_70"
GENERATIONS = [70, 80, 90, 100, 120]
# More assemblers at once gain nothing on a small machine.
JOBS = os.cpu_count() or 1


def package(name):
    for directory in map(pathlib.Path, sys.path):
        found = directory / "nvidia" / name
        if found.is_dir():
            return found
    sys.exit(f"the package nvidia-{name} is missing: pip install -r {HERE / 'requirements.txt'}")


def compiler():
    libraries = package("cuda_nvrtc") / "lib"
    # NVRTC opens this library by name; it must be loaded first.
    ctypes.CDLL(str(next(libraries.glob("libnvrtc-builtins.so.*"))), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(next(libraries.glob("libnvrtc.so.*"))))


def compile_ptx(nvrtc, source, headers, architecture):
    program = ctypes.c_void_p()
    texts = [header.read_bytes() for header in headers]
    names = [header.name.encode() for header in headers]
    count = len(headers)
    array = ctypes.c_char_p * count
    check(nvrtc, nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.read_bytes(), source.name.encode(), count,
                                          array(*texts), array(*names)))
    options = [f"--gpu-architecture={architecture}", "--std=c++17"]
    status = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*[o.encode() for o in options]))
    if status:
        size = ctypes.c_size_t()
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        sys.exit(f"{source}:\n{log.value.decode()}")
    size = ctypes.c_size_t()
    check(nvrtc, nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size)))
    text = ctypes.create_string_buffer(size.value)
    check(nvrtc, nvrtc.nvrtcGetPTX(program, text))
    return text.value


def check(nvrtc, status):
    if status:
        nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
        sys.exit(f"the compiler failed: {nvrtc.nvrtcGetErrorString(status).decode()}")


def assemble(path, generation):
    """A line about a file's registers for a GPU generation, and its kernels that spill registers or have a stack frame."""
    command = [package("cuda_nvcc") / "bin" / "ptxas", "-v", f"-arch=sm_{generation}", path, "-o", "/dev/null"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{path.name} for sm_{generation}:\n{run.stderr}")
    most, faulty = findings(run.stderr)
    return f"{path.name} sm_{generation}: at most {most[0]} registers ({most[1]})", [f"{what} on sm_{generation}" for what in faulty]


def findings(log):
    r'''The most registers of a kernel and its name, and the faults of kernels, from what ptxas -v printed.

    >>> log = """ptxas info    : Compiling entry function 'a' for 'sm_90'
    ... ptxas info    : Function properties for a
    ...     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
    ... ptxas info    : Used 30 registers, used 0 barriers
    ... ptxas info    : Compiling entry function 'b' for 'sm_90'
    ...     104 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
    ... ptxas info    : Used 24 registers, used 0 barriers
    ... ptxas info    : Compiling entry function 'c' for 'sm_90'
    ...     8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
    ... ptxas info    : Used 40 registers, used 0 barriers"""
    >>> findings(log)
    ((40, 'c'), ['b (stack frame of 104 bytes)', 'c (stack frame of 8 bytes)', 'c (spills 4 bytes, reloads 12)'])
    '''
    kernel, most, faulty = "", (0, ""), []
    for line in log.splitlines():
        if entry := re.search(r"entry function '(\w+)'", line):
            kernel = entry[1]
        elif memory := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            frame, stores, loads = map(int, memory.groups())
            if frame:
                faulty.append(f"{kernel} (stack frame of {frame} bytes)")
            if stores or loads:
                faulty.append(f"{kernel} (spills {stores} bytes, reloads {loads})")
        elif used := re.search(r"Used (\d+) registers", line):
            most = max(most, (int(used[1]), kernel))
    return most, faulty


def assemble_all(paths):
    """Assembles each file for the generations that its architecture supports; the faults of all kernels."""
    (package("cuda_nvcc") / "bin" / "ptxas").chmod(0o755)
    minimum = {path: int(re.search(r"^\.target sm_(\d+)", path.read_text(), re.MULTILINE)[1]) for path in paths}
    jobs = [(path, generation) for path in paths for generation in GENERATIONS if generation >= minimum[path]]
    faulty = []
    with ThreadPoolExecutor(JOBS) as pool:
        for line, found in pool.map(lambda job: assemble(*job), jobs):
            print(line)
            faulty += found
    return faulty


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the existing files")
    parser.add_argument("--ptxas", action="store_true", help="assemble, and fail on register spills and stack frames")
    arguments = parser.parse_args()
    nvrtc = compiler()
    headers = sorted((HERE / "cuda").glob("*.cuh"))
    stale, made = [], []
    for source in sorted((HERE / "cuda").glob("*.cu")):
        architecture = ARCHITECTURES.get(source.stem, DEFAULT)
        path = HERE / "ptx" / f"{source.stem}.ptx"
        made.append(path)
        text = compile_ptx(nvrtc, source, headers, architecture)
        if arguments.check:
            if not path.exists() or path.read_bytes() != text:
                stale.append(path.name)
        else:
            path.write_bytes(text)
    stale += [path.name for path in (HERE / "ptx").glob("*.ptx") if path not in made]
    if stale:
        sys.exit(f"stale: {', '.join(stale)}; run scripts/build_ptx.sh")
    if arguments.ptxas and (faulty := assemble_all(made)):
        sys.exit("kernels that spill registers or have a stack frame:\n  " + "\n  ".join(faulty))


if __name__ == "__main__":
    main()
