"""measure.py: cycles of the kernels' loops as llvm-mca gives them. Needs llvm-mca-19, clang-19 and
gcc for x86-64, 64-bit ARM and RISC-V (scripts/setup.sh --mca)."""
import json
import os
import pathlib
import re
import subprocess

import assembly
from boards import CODECS, CORES, INNER_TURNS
from estimate import BITS, Cost

ROOT = pathlib.Path(__file__).resolve().parents[2]
GROUPS = pathlib.Path(__file__).resolve().with_name("group_start.c")
LLVM_MCA = os.environ.get("LLVM_MCA", "llvm-mca-19")
TURNS = 200
COPY_TURNS = 4  # of a loop that copies the scales of a tile, 16 bytes a turn
FLAGS = ("-std=c11", "-O3", "-DNDEBUG", "-ffp-contract=off", "-fno-math-errno", "-S", "-o", "-")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-1000:]}")
    return done.stdout


def compiled(core, source, *flags):
    return run(*core.compiler, *core.flags, *FLAGS, f"-I{ROOT}/src", f"-I{ROOT}/include", *flags,
               str(source))


def simulate(core, code, path):
    """(cycles of a turn, names of the model's units) of straight code that is repeated; the code
    stays in `path`."""
    path.write_text("\n".join(code) + "\n")
    said = json.loads(run(LLVM_MCA, f"-mtriple={core.triple}", f"-mcpu={core.cpu}",
                          f"-iterations={TURNS}", "-json", str(path)))
    cycles = said["CodeRegions"][0]["SummaryView"]["TotalCycles"] / TURNS
    return round(cycles), said["TargetInfo"]["Resources"]


def cut(core, kernel, groups, codec):
    """Instructions of a block and of a group's start."""
    turns = INNER_TURNS.get((core.level, codec))
    block = assembly.loop_turn(assembly.function(kernel, f"matmul_{codec}"), BITS[codec], turns)
    block = [line for line in block if not line.startswith("prefetch.r")]
    return block, assembly.straight(assembly.function(groups, f"mca_group_{codec}"), COPY_TURNS)


def model_name(units):
    """Whose units they are: A57 of A57UnitB, SiFive7 of VLEN512SiFive7VA."""
    return re.search(r"(?:Cortex)?A\d+|N\d|SiFive\d|SLM", units[0])[0]


def measure_core(name, work):
    """{"model": name, "codecs": {codec: {"block", "group", "instructions"}}}"""
    core = CORES[name]
    kernel = compiled(core, ROOT / "src" / "kernel" / core.kernel)
    groups = compiled(core, GROUPS, "-Dnoinline=unused", f'-DKERNEL="kernel/{core.kernel}"')
    codecs, units = {}, None
    for codec in CODECS:
        block, group = cut(core, kernel, groups, codec)
        stem = f"{name.lower().replace(', ', '-').replace(' ', '-')}-{codec}"
        cycles, units = simulate(core, block, work / f"{stem}-block.s")
        start, _ = simulate(core, group, work / f"{stem}-group.s")
        codecs[codec] = {"block": cycles, "group": start, "instructions": len(block)}
    return {"model": model_name(units), "codecs": codecs}


def measure(work):
    work.mkdir(parents=True, exist_ok=True)
    return {name: measure_core(name, work) for name in CORES}


def costs(measured):
    """{codec: Cost} of what measure_core() gave."""
    return {codec: Cost(m["block"], m["group"]) for codec, m in measured["codecs"].items()}
