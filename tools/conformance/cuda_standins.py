"""Makes PyPI's torch, installed without its 2.5 GB of CUDA libraries, load on a CPU.

PyPI's Linux wheels of torch link against cuBLAS, cuDNN and others even where only the CPU is
used; the dynamic linker wants those files to exist. This writes, into the folder where torch
looks for them, small libraries of the missing names. Their functions end the process when they
are called; nothing that runs on the CPU calls them. Not needed with a CPU build of torch.

    python cuda_standins.py        (the python of the environment that torch lies in)
"""
import glob
import importlib.util
import os
import re
import subprocess
import sys
import tempfile

# Called while torch's libraries are loaded: they register device code that is never used.
HARMLESS = r"__cuda(Register|Unregister|PushCall|PopCall)\w*|cudaGetErrorString|cudaGetErrorName"
NO_DEVICE = r"cu(da|Init|Device|DriverGet)\w*"  # cudaErrorNoDevice, CUDA_ERROR_NO_DEVICE: 100
IN_SYSTEM = r"lib(c|m|dl|rt|z|pthread|gcc_s|stdc\+\+|quadmath|gomp|gfortran)\.so.*|ld-linux.*"


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def torch_libraries():
    package = os.path.dirname(importlib.util.find_spec("torch").origin)
    files = sorted(glob.glob(os.path.join(package, "lib", "*.so*")))
    return package, files + glob.glob(os.path.join(package, "_C*.so"))


def symbols(files, which):
    found = set()
    for file in files:
        for line in output("nm", "-D", which, file).splitlines():
            name = line.split()[-1].split("@")[0]
            if " w " not in line and " v " not in line:  # weak ones may be missing
                found.add(name)
    return found


def needed_names(files):
    names = set()
    for file in files:
        names.update(re.findall(r"NEEDED.*\[(.*)\]", output("readelf", "-d", file)))
    present = {os.path.basename(f) for f in files}
    return sorted(n for n in names - present if not re.fullmatch(IN_SYSTEM, n))


def system_symbols(files):
    defined = set()
    for line in output("ldd", *files).splitlines():
        match = re.search(r"=> (/\S+)", line) or re.match(r"\s+(/\S*ld-linux\S*)", line)
        if match and re.fullmatch(IN_SYSTEM, os.path.basename(match.group(1))):
            defined.add(os.path.realpath(match.group(1)))
    return symbols(sorted(defined), "--defined-only")


def body(name):
    if re.fullmatch(HARMLESS, name):
        return f"void *{name}(void) {{ static char none[64]; return none; }}"
    if re.fullmatch(NO_DEVICE, name):
        return f"int {name}(void) {{ return 100; }}"
    return f'void {name}(void) {{ die("{name}"); }}'


SOURCE = """\
#include <stdio.h>
#include <stdlib.h>
static void die(const char *name)
{
    fprintf(stderr, "%s: CUDA is not installed here (tools/conformance/cuda_standins.py)\\n", name);
    abort();
}
"""


def build(folder, soname, names):
    with tempfile.TemporaryDirectory() as work:
        source = os.path.join(work, "standin.c")
        with open(source, "w", encoding="ascii") as out:
            out.write(SOURCE if names else "")
            out.writelines(body(n) + "\n" for n in names)
        subprocess.run(["cc", "-shared", "-fPIC", "-w", "-fno-builtin", f"-Wl,-soname,{soname}",
                        "-o", os.path.join(folder, soname), source], check=True)


def main():
    package, files = torch_libraries()
    with open(os.path.join(package, "version.py"), encoding="ascii") as text:
        cuda = re.search(r"cuda.*= '(\d+)", text.read())
    if not cuda:
        print("torch is a CPU build: no stand-ins needed")
        return 0
    missing = needed_names(files)
    folder = os.path.join(os.path.dirname(package), "nvidia", f"cu{cuda.group(1)}", "lib")
    missing = [n for n in missing if not os.path.exists(os.path.join(folder, n))]
    if not missing:
        return 0
    os.makedirs(folder, exist_ok=True)
    wanted = symbols(files, "--undefined-only") - symbols(files, "--defined-only")
    wanted = sorted(n for n in wanted - system_symbols(files) if re.match(r"_*(cu|nv|nccl)", n))
    for i, soname in enumerate(missing):
        build(folder, soname, [] if i else wanted)
    print(f"{len(missing)} stand-ins with {len(wanted)} functions in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
