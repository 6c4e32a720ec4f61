"""Compiles cuda/*.cu to ptx/*.ptx with NVRTC, which is a package on PyPI and needs no GPU.

    python3 kernels/build_ptx.py [--check] [--ptxas]

--check compares with the existing files, byte for byte, and changes nothing. --ptxas also assembles the PTX for every
supported GPU generation, and fails if a kernel spills registers.
"""

import argparse
import ctypes
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
# The minimum compute capability of a file: 7.0, or 8.0 for the newer tensor core instructions.
ARCHITECTURES = {"tensor_core": "compute_80"}
DEFAULT = "compute_70"
ASSEMBLE_FOR = {"compute_70": ["sm_75", "sm_80", "sm_90"], "compute_80": ["sm_80", "sm_90"]}


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


def assemble(path, architecture):
    """Prints the maximum register count, and returns the names of kernels that spill."""
    ptxas = package("cuda_nvcc") / "bin" / "ptxas"
    ptxas.chmod(0o755)
    spilling = []
    for target in ASSEMBLE_FOR[architecture]:
        run = subprocess.run([ptxas, "-v", f"-arch={target}", path, "-o", "/dev/null"], capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"{path.name} for {target}:\n{run.stderr}")
        kernel, most = "", (0, "")
        for line in run.stderr.splitlines():
            if entry := re.search(r"entry function '(\w+)'", line):
                kernel = entry[1]
            elif spill := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line):
                if spill[1] != "0" or spill[2] != "0":
                    spilling.append(f"{kernel} on {target}")
            elif used := re.search(r"Used (\d+) registers", line):
                most = max(most, (int(used[1]), kernel))
        print(f"{path.name} {target}: at most {most[0]} registers ({most[1]})")
    return spilling


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the existing files")
    parser.add_argument("--ptxas", action="store_true", help="assemble, and fail on register spills")
    arguments = parser.parse_args()
    nvrtc = compiler()
    headers = sorted((HERE / "cuda").glob("*.cuh"))
    stale, spilling, made = [], [], set()
    for source in sorted((HERE / "cuda").glob("*.cu")):
        architecture = ARCHITECTURES.get(source.stem, DEFAULT)
        path = HERE / "ptx" / f"{source.stem}.ptx"
        made.add(path)
        text = compile_ptx(nvrtc, source, headers, architecture)
        if arguments.check:
            if not path.exists() or path.read_bytes() != text:
                stale.append(path.name)
        else:
            path.write_bytes(text)
        if arguments.ptxas and path.exists():
            spilling += assemble(path, architecture)
    stale += [path.name for path in (HERE / "ptx").glob("*.ptx") if path not in made]
    if stale:
        sys.exit(f"stale: {', '.join(stale)}; run scripts/build_ptx.sh")
    if spilling:
        sys.exit(f"register spills in: {', '.join(spilling)}")


if __name__ == "__main__":
    main()
