#!/usr/bin/env python3
"""Lines and branches that the tests reached, per module of src/.

    scripts/coverage.py BUILD_DIR [MODULE | FILE ...]     also lists what was not reached there

BUILD_DIR was built with EDGELLM_COVERAGE and its tests have run: GCC's counters lie beside the
objects, and gcov reads them. A line or branch counts as reached if any object reached it. Fails
if a module of LEAST is below its share of lines.
"""
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODULES = ["base", "cpu", "kernel", "format", "token", "sample", "model", "engine", "quant",
           "offline", "cli"]
LEAST = {"base": 90, "format": 90, "token": 90, "sample": 90, "engine": 90}  # percent of lines


def reports(build):
    """What gcov says of each object's sources, one dict an object."""
    counters = sorted(str(p) for p in build.rglob("*.gcda"))
    if not counters:
        sys.exit(f"{build}: no counters; run `make coverage`")
    said = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", *counters],
                          cwd=build, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in said.splitlines() if line]


def merge(objects, base):
    """{path below src: {line: [times, [times per branch]]}}, counts of all objects added up."""
    files = {}
    for report in objects:
        for file in report["files"]:
            path = pathlib.Path(report["current_working_directory"], file["file"]).resolve()
            if not path.is_relative_to(base):
                continue
            lines = files.setdefault(str(path.relative_to(base)), {})
            for line in file["lines"]:
                add(lines, line["line_number"], line["count"],
                    [branch["count"] for branch in line["branches"]])
    return files


def add(lines, number, count, branches):
    """An inline function's line is there once per including file, its branches in one order."""
    total = lines.setdefault(number, [0, []])
    total[0] += count
    total[1] += [0] * (len(branches) - len(total[1]))
    for i, times in enumerate(branches):
        total[1][i] += times


def shares(files):
    """(lines reached, lines, branches reached, branches)"""
    lines = [line for file in files for line in file.values()]
    branches = [times for _, each in lines for times in each]
    return sum(line[0] > 0 for line in lines), len(lines), sum(t > 0 for t in branches), len(branches)


def percent(part, whole):
    return 100 * part / whole if whole else 100.0


def print_table(files):
    """Returns the modules that are below their least."""
    low = []
    print(f"{'module':8} {'lines':>14} {'%':>6} {'branches':>14} {'%':>6}")
    for module in MODULES + ["all"]:
        mine = [file for path, file in files.items() if module in ("all", path.split("/")[0])]
        line, lines, branch, branches = shares(mine)
        below = percent(line, lines) < LEAST.get(module, 0)
        low += [module] * below
        print(f"{module:8} {line:6} of {lines:5} {percent(line, lines):6.1f}"
              f" {branch:6} of {branches:5} {percent(branch, branches):6.1f}"
              + (f"   below {LEAST[module]} %" if below else ""))
    return low


def print_missing(files, wanted):
    for path, lines in sorted(files.items()):
        if not any(path == name or path.startswith(name.rstrip("/") + "/") for name in wanted):
            continue
        source = (ROOT / "src" / path).read_text().splitlines()
        for number, (count, branches) in sorted(lines.items()):
            missed = sum(times == 0 for times in branches)
            if count == 0 or missed:
                what = "never" if count == 0 else f"{missed}/{len(branches)}"
                print(f"src/{path}:{number}: {what:5} {source[number - 1].strip()}")


def main():
    build, wanted = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    files = merge(reports(build), ROOT / "src")
    print_missing(files, [name.removeprefix("src/") for name in wanted])
    low = print_table(files)
    if low:
        sys.exit("coverage: too few lines reached in " + ", ".join(low))


if __name__ == "__main__":
    main()
