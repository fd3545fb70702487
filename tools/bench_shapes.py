#!/usr/bin/env python3
"""How fast are the published shapes? Decoding on one core, models of random weights (docs/HARDWARE.md).

    python3 tools/bench_shapes.py --edgellm EDGELLM --random-model RANDOM_MODEL [options]

Makes each model in --work, times it in --blocks (the medians are told), Llama's anew before each of
them, and removes it again. A token reads all weights, so what it
takes is told for each of them that it reads: nanoseconds a parameter, relative to llama-3.2-1b with
the same codec; and as a share of the rate at which the same bytes are read in the same run where
nothing else is done. --check: exit code 1 if a shape of another architecture than Llama's is more
than 10 % slower than that for each parameter, or BitNet's ternary weights come in neither codec at
80 % of that rate. Standard library only.
"""
import argparse
import json
import pathlib
import statistics
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


def bench(args, path):
    return json.loads(output(args.edgellm, "bench", path, "--json", "-j", 1, "-c", args.context,
                             "-p", 8, "-n", args.tokens, "--runs", args.runs))


class Model:
    """A file of random weights, there for as long as it is timed."""

    def __init__(self, args, shape, codec):
        self.args, self.shape, self.codec = args, shape, codec
        self.path = pathlib.Path(args.work) / f"{shape}-{codec}.tm2.bin"
        output(args.random_model, shape, self.path, codec)
        self.info = json.loads(output(args.edgellm, "info", self.path, "--tensors", "--json",
                                      "-c", args.context, "-j", 1))
        self.weights = weights_read(self.info)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.path.unlink()

    def timed(self):
        result = bench(self.args, self.path)
        return result | {"ns": 1e9 / result["decode_tok_s"] / self.weights}


def row_of(args, model, llama):
    """Llama (None: not asked for) is timed anew beside each block, since what else the memory is asked for changes."""
    blocks = []
    for _ in range(args.blocks):
        beside = llama.timed()["ns"] if llama and llama is not model else None
        blocks.append(model.timed() | {"beside": beside})
    def middle(of):
        return statistics.median(of(b) for b in blocks)
    row = {"shape": model.shape, "architecture": model.info["architecture"], "codec": model.codec,
           "weights": model.weights, "plan_bytes": model.info["plan"]["total"], "kernel": blocks[0]["kernel"],
           "tok_s": middle(lambda b: b["decode_tok_s"]), "ns": middle(lambda b: b["ns"]),
           "gb_s": middle(lambda b: b["roofline"]["weight_gb_s"]), "share": middle(lambda b: b["roofline"]["share"])}
    return row | {"to_llama": middle(lambda b: b["ns"] / b["beside"]) if llama and llama is not model
                  else 1.0 if llama else None}


def rows_of(args):
    for codec in args.codec:
        shapes = [BITNET] if codec in TERNARY else args.shape
        if LLAMA not in shapes:
            for shape in shapes:
                with Model(args, shape, codec) as model:
                    yield row_of(args, model, None)
            continue
        with Model(args, LLAMA, codec) as llama:
            yield row_of(args, llama, llama)
            for shape in shapes:
                if shape == LLAMA:
                    continue
                with Model(args, shape, codec) as model:
                    yield row_of(args, model, llama)


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
    parser.add_argument("--work", default="build/shapes", help="folder for the models, 5 GB at most")
    parser.add_argument("--shape", action="append", choices=SHAPES)
    parser.add_argument("--codec", action="append", choices=CODECS)
    parser.add_argument("--context", type=int, default=2048, help="of the plan")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--runs", type=int, default=2, help="of each block")
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
