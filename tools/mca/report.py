#!/usr/bin/env python3
"""What decoding costs on boards that aren't at hand: cycles of the kernels' inner loops as llvm-mca
gives them for a model of each core, and the tokens a second that follow, beside what the board's
memory allows. Estimates all, written as tables of Markdown: docs/HARDWARE.md.

    make mca                              # prints the tables
    make mca ARGS=--update                # writes them into docs/HARDWARE.md
    make mca ARGS="--cycles FILE"         # of a cycles.json (build/mca/), without llvm-mca

The loops that were measured stay in build/mca/: llvm-mca-19 -mtriple=aarch64 -mcpu=cortex-a53
-timeline FILE says more of one. LLVM_MCA: another llvm-mca.
"""
import argparse
import json
import pathlib
import re
import sys

import measure
from boards import (AIMS, BOARDS, CODECS, CORES, MIX_BYTES, MIX_NAME, MIX_WEIGHTS, SHAPES)
from estimate import (PLAIN, cycles_a_weight, memory_ms, mix_work, shape_work, token_ms)

DOCUMENT = measure.ROOT / "docs" / "HARDWARE.md"
WORK = measure.ROOT / "build" / "mca"
BEGIN = "<!-- begin: written by make mca ARGS=--update -->\n"
END = "<!-- end -->\n"
FEW = 4  # cores that a token is shared by, where a board has as many


def row(*cells):
    return f"| {' | '.join(map(str, cells))} |\n"


def head(*cells):
    return row(*cells) + "|" + "---|" * len(cells) + "\n"


def figure(value):
    """Two digits, or all before the point."""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def span(values, each):
    return " to ".join(figure(each(value)) for value in values)


def cycle_table(measured):
    text = head("core", "level", "model in LLVM", *CODECS)
    for name, core in CORES.items():
        cells = (measured[name]["codecs"][codec] for codec in CODECS)
        text += row(name, core.level, f"{measured[name]['model']} (`{core.cpu}`)",
                    *(f"{c['instructions']}: {c['block']} + {c['group']}" for c in cells))
    return text


def read_cycles(text):
    """cycle_table() the other way round."""
    measured = {}
    for name in CORES:
        cells = re.search(rf"^\| {re.escape(name)} \| \w+ \| (.*) \|$", text, re.M)[1].split(" | ")
        codecs = {}
        for codec, cell in zip(CODECS, cells[1:], strict=True):
            found = re.fullmatch(r"(\d+): (\d+) \+ (\d+)", cell)
            codecs[codec] = dict(zip(("instructions", "block", "group"), map(int, found.groups())))
        measured[name] = {"model": cells[0].split()[0], "codecs": codecs}
    return measured


def weight_table(measured):
    text = head("core", *CODECS)
    for name in CORES:
        costs = measure.costs(measured[name])
        text += row(name, *(f"{cycles_a_weight(costs[codec]):.3f}" for codec in CODECS))
    return text


def board_name(board):
    cores = board.core.split(",")[0] if board.like is None else f"{board.like}"
    return f"{board.name} ({board.cores} x {cores.replace('Cortex-', '')}, {board.ghz} GHz)"


def speeds(board, works, measured):
    """Tokens a second: compute on one core, on some, memory."""
    costs = measure.costs(measured[board.core])
    one, few = (1000 / token_ms(works, costs, board.ghz, n) for n in (1, min(FEW, board.cores)))
    memory = "?"
    if board.bandwidths:
        memory = span(board.bandwidths, lambda gb: 1000 / memory_ms(works, gb))
    return f"{figure(one)}, {figure(few)}; {memory}"


def megabytes(works):
    return f"{sum(work.bytes for work in works.values()) / 1e6:.0f} MB"


def speed_table(columns, measured):
    """columns: {heading: works}."""
    text = head("board", *(f"{name}, {megabytes(works)}" for name, works in columns.items()))
    for board in BOARDS:
        text += row(board_name(board),
                    *(speeds(board, works, measured) for works in columns.values()))
    return text


def shape(name):
    return json.loads((measure.ROOT / "examples" / "shapes" / f"{name}.json").read_text())


def model_tables(measured):
    text = f"### {MIX_NAME}\n\n"
    text += speed_table({"2.2 bits": mix_work(MIX_WEIGHTS, MIX_BYTES)}, measured)
    for name in SHAPES:
        numbers = shape(name)
        text += f"\n### {numbers['name']}\n\n"
        text += speed_table({f"{bits} bits": shape_work(numbers, bits) for bits in PLAIN}, measured)
    return text


def aim_row(name, cores, limit, measured):
    board = next(board for board in BOARDS if board.name == name)
    works = mix_work(MIX_WEIGHTS, MIX_BYTES)
    compute = token_ms(works, measure.costs(measured[board.core]), board.ghz, cores)
    memory = min(memory_ms(works, gb) for gb in board.bandwidths)
    asked = memory if limit == "memory" else limit
    return row(board_name(board), cores, f"{figure(asked)}{' (memory)' * (limit == 'memory')}",
               figure(compute), "reached" if compute <= asked else "not reached")


def aim_table(measured):
    text = head("board", "cores used", "asked of compute, at most ms a token", "estimate, ms", "")
    return text + "".join(aim_row(*aim, measured) for aim in AIMS)


def render(measured):
    return "\n".join((
        "## A block and a group\n",
        "`182: 212 + 60`: 182 instructions and 212 cycles for a block of 16 x 32 weights, and 60\n"
        "cycles once a group, for its scales.\n",
        cycle_table(measured),
        "Cycles of one core for one weight, with its part of a group of 128:\n",
        weight_table(measured),
        "## The aims\n",
        "Of compute alone, for the 40 MB file:\n",
        aim_table(measured),
        "## Tokens a second, at most\n",
        f"`7.0, 28; 14 to 25`: compute alone on one core, on {FEW} (or all, if there are fewer),\n"
        "and what memory allows, of the bytes in the heading. The lower of the last two is the\n"
        "ceiling.\n",
        model_tables(measured)))


def update(path, text):
    """Replaces what stands between the marks."""
    before, rest = path.read_text().split(BEGIN)
    path.write_text(before + BEGIN + text + END + rest.split(END, 1)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cycles", type=pathlib.Path, help="a cycles.json, instead of llvm-mca")
    parser.add_argument("--update", action="store_true", help=f"write into docs/{DOCUMENT.name}")
    args = parser.parse_args()
    if args.cycles:
        measured = json.loads(args.cycles.read_text())
    else:
        measured = measure.measure(WORK)
        (WORK / "cycles.json").write_text(json.dumps(measured, indent=1))
    text = render(measured)
    if args.update:
        update(DOCUMENT, text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
