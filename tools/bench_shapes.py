#!/usr/bin/env python3
"""How fast are the published shapes? Decoding on one core, models of random weights (docs/HARDWARE.md).

    python3 tools/bench_shapes.py --edgellm EDGELLM --random-model RANDOM_MODEL [options]

Makes each model in --work, times it and removes it again. A token reads all weights, so what it
takes is told for each of them that it reads: nanoseconds a parameter, relative to llama-3.2-1b with
the same codec; and as a share of the rate at which the same bytes are read in the same run where
nothing else is done. --check: exit code 1 if a shape of another architecture than Llama's is more
than 10 % slower than that for each parameter, or BitNet's ternary weights come in neither codec at
80 % of that rate. Standard library only.
"""
import argparse
import json
import pathlib
import subprocess
import sys

LLAMA, BITNET = "llama-3.2-1b", "bitnet-2b4t"
SHAPES = [LLAMA, "smollm2-135m", "smollm2-360m", "qwen2-0.5b", "phi-3-mini", BITNET, "qwen3-0.6b", "gemma-3-1b",
          "gemma-2-2b", "smollm3-3b"]
CODECS = ["4", "2", "t2", "t1"]
TERNARY = {"t1", "t2"}  # which only BitNet's shape is timed with
SLOWER, SHARE = 1.10, 0.80
COLUMNS = "| shape | codec | weights read | plan | tokens/s | ns a weight | to llama | GB/s | share |"


def output(*command):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f"bench_shapes.py: exit code {done.returncode}: {' '.join(map(str, command))}")
    return done.stdout


def weights_read(info):
    """All of them, but of an embedding that is not the head too, one row."""
    tables = {t["name"]: t["rows"] * t["cols"] for t in info["tensor_list"]}
    if "output.weight" not in tables:
        return info["parameters"]
    return info["parameters"] - tables["token_embd.weight"] + info["dim"]


def measure(args, shape, codec):
    path = pathlib.Path(args.work) / f"{shape}-{codec}.tm2.bin"
    output(args.random_model, shape, path, codec)
    try:
        info = json.loads(output(args.edgellm, "info", path, "--tensors", "--json", "-c", args.context, "-j", 1))
        bench = json.loads(output(args.edgellm, "bench", path, "--json", "-j", 1, "-c", args.context,
                                  "-p", 8, "-n", args.tokens, "--runs", args.runs))
    finally:
        path.unlink()
    return {"shape": shape, "architecture": info["architecture"], "codec": codec, "weights": weights_read(info),
            "plan_bytes": info["plan"]["total"], "tok_s": bench["decode_tok_s"],
            "ns": 1e9 / bench["decode_tok_s"] / weights_read(info),
            "gb_s": bench["roofline"]["weight_gb_s"], "share": bench["roofline"]["share"],
            "kernel": bench["kernel"]}


def rows_of(args):
    for codec in args.codec:
        llama = None
        for shape in args.shape:
            if codec in TERNARY and shape != BITNET:
                continue
            row = measure(args, shape, codec)
            llama = row["ns"] if shape == LLAMA else llama
            row["to_llama"] = row["ns"] / llama if llama else None
            yield row


def show(row):
    ratio = f"{row['to_llama']:.2f}" if row["to_llama"] else "-"
    print(f"| {row['shape']} | {row['codec']} | {row['weights'] / 1e6:.0f} M "
          f"| {row['plan_bytes'] / 1e6:.0f} MB | {row['tok_s']:.2f} | {row['ns']:.4f} | {ratio} "
          f"| {row['gb_s']:.1f} | {100 * row['share']:.0f} % |", flush=True)


def failures_of(rows):
    for row in rows:
        if row["architecture"] != "llama" and row["to_llama"] and row["to_llama"] > SLOWER:
            yield f"{row['shape']}, {row['codec']}: {row['to_llama']:.2f} x llama's time a weight"
    shares = [row["share"] for row in rows if row["codec"] in TERNARY]
    if shares and max(shares) < SHARE:
        yield f"{BITNET}, ternary: {100 * max(shares):.0f} % of the rate of reading"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--edgellm", default="build/release/edgellm")
    parser.add_argument("--random-model", default="build/release/tools/random_model")
    parser.add_argument("--work", default="build/shapes", help="folder for the models, 4 GB at most")
    parser.add_argument("--shape", action="append", choices=SHAPES)
    parser.add_argument("--codec", action="append", choices=CODECS)
    parser.add_argument("--context", type=int, default=2048, help="of the plan")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    args.shape, args.codec = args.shape or SHAPES, args.codec or CODECS
    pathlib.Path(args.work).mkdir(parents=True, exist_ok=True)
    rows = []
    print(f"{COLUMNS}\n{'|---' * COLUMNS.count(' | ')}|---|")
    for row in rows_of(args):
        rows.append(row)
        show(row)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(rows, indent=2) + "\n", encoding="ascii")
    failures = list(failures_of(rows))
    print(*failures, sep="\n", file=sys.stderr, end="\n" if failures else "")
    return int(args.check and bool(failures))


if __name__ == "__main__":
    sys.exit(main())
