"""Registers, shared memory and spills of every CUDA kernel on sm_80, sm_90 and sm_100, as in cuda_resources.txt.

usage: cuda_resources.py NVCC_VERSION LIBRARY... [--update]

Reads the machine code in the libraries. --update writes cuda_resources.txt: first the compiler's version, then a line per
kernel and architecture. Another compiler allocates registers otherwise: with one, only that nothing spills and that every
kernel is there for every architecture is checked. (From sm_90 on, 1,024 bytes of shared memory are CUDA's own.)
"""
import os
import pathlib
import sys

import cuda_elf

GOLDEN = pathlib.Path(__file__).with_name("cuda_resources.txt")
ARCHITECTURES = (80, 90, 100)
WHAT = ("registers", "shared", "spilled")


def read_golden():
    version, *lines = GOLDEN.read_text().splitlines()
    found = {}
    for line in lines:
        kernel, sm, *numbers = line.rsplit(maxsplit=4)
        found[kernel, int(sm.removeprefix("sm_"))] = tuple(map(int, numbers))
    return version.removeprefix("nvcc "), found


def write_golden(version, found):
    lines = [f"{kernel} sm_{sm} {' '.join(map(str, numbers))}\n" for (kernel, sm), numbers in sorted(found.items())]
    GOLDEN.write_text(f"nvcc {version}\n" + "".join(lines))


def described(numbers):
    return ", ".join(f"{what} {number}" for what, number in zip(WHAT, numbers)) if numbers else "no such kernel"


def differences(found, golden, same_compiler):
    for kernel, sm in sorted({*found, *golden}):
        got, want = found.get((kernel, sm)), golden.get((kernel, sm))
        if got is None or want is None or (same_compiler and got != want):
            yield f"{kernel} on sm_{sm}: {described(got)}; {GOLDEN.name} has {described(want)}"


def main(version, *arguments):
    libraries = [argument for argument in arguments if argument != "--update"]
    found = {}
    for library in libraries:
        found.update(cuda_elf.kernels(library))
    kernels = sorted({kernel for kernel, _ in found})
    problems = [f"{kernel} on sm_{sm}: no machine code" for kernel in kernels for sm in ARCHITECTURES
                if (kernel, sm) not in found]
    problems += [f"{kernel} on sm_{sm}: {spilled} bytes a thread in local memory"
                 for (kernel, sm), (_, _, spilled) in sorted(found.items()) if spilled > 0]
    if "--update" in arguments:
        write_golden(version, found)
    golden_version, golden = read_golden()
    changed = list(differences(found, golden, version == golden_version))
    if changed:
        script = os.path.relpath(__file__)
        changed.append(f"if this is meant: {sys.executable} {script} {version} {' '.join(libraries)} --update")
    if problems + changed:
        sys.exit("FAILED: " + "\n".join(problems + changed))
    compared = "as in the golden file" if version == golden_version else (
        f"without spills; registers not compared, they are of nvcc {golden_version} and this is {version}")
    print(f"{len(kernels)} kernels on {len(ARCHITECTURES)} architectures, {compared}")


if __name__ == "__main__":
    main(*sys.argv[1:])
