"""EdgeLLM beside llama.cpp's Q4_0 of the same model: one core, one thread, alternating blocks.

    python peers.py --edgellm BUILD/edgellm --gguf MODEL.gguf --work DIR [--blocks 7] [--check]

In each block every contestant runs once, in a new process that warms up first, in an order that
rotates from block to block; figures are medians over the blocks. llama.cpp repacks its weights into memory
of its own, so ours are copied too (--copy); --mapped leaves them in the page cache. --check fails where the speed
is below what the project promises; it should be used on an idle machine only.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PREFILL = 512
START_TEXT = "The keeper of the old lighthouse climbed the stairs slowly"
START_TOKENS = 10

# name, options of `edgellm quantize`, largest file, least decode and prefill against Q4_0
FILES = [
    ("4 bits", ["--bits", "4", "--group", "64", "--scales", "byte"], 73e6, 1.2, 1.0),
    ("2 bits", ["--bits", "2", "--group", "64", "--scales", "byte"], 40e6, 2.5, 1.0),
    ("lossless", [], None, None, None),
]
PEER = "llama.cpp Q4_0"
COLD_START_MS = 100


class Bench:
    def __init__(self, options):
        self.options = options
        self.core = str(max(os.sched_getaffinity(0)) if options.core is None else options.core)
        self.peer_file = os.path.join(options.work, "q4_0.gguf")
        self.files = {name: os.path.join(options.work, name.replace(" ", "-") + ".tm2.bin")
                      for name, *_ in FILES}
        self.others = {os.path.basename(path): (program, path) for program, path in options.llama_bench}
        for path in options.file:
            self.files[os.path.basename(path)] = path

    def run(self, *command):
        """A program on our one core; returns its standard output."""
        done = subprocess.run(["taskset", "-c", self.core, *command], check=True,
                              stdout=subprocess.PIPE, text=True)
        return done.stdout

    def llama(self, *arguments):
        return self.run(sys.executable, os.path.join(HERE, "llama_bench.py"), *arguments)

    def make_files(self):
        os.makedirs(self.options.work, exist_ok=True)
        gguf, edgellm = self.options.gguf, self.options.edgellm
        for name, quantize, *_ in FILES:
            self.run(edgellm, "quantize", gguf, "-o", self.files[name], "-q",
                     "--calibrate", "none", *quantize)
        if (not os.path.exists(self.peer_file)
                or os.path.getmtime(self.peer_file) < os.path.getmtime(gguf)):
            made = self.peer_file + ".tmp"
            subprocess.run([sys.executable, os.path.join(HERE, "llama_bench.py"), "--quantize",
                            gguf, made], check=True, stderr=subprocess.DEVNULL)
            os.replace(made, self.peer_file)
        ids = self.run(edgellm, "tokenize", self.files["lossless"], "--ids", START_TEXT).split()
        if len(ids) != START_TOKENS:
            raise ValueError(f"the first prompt has {len(ids)} tokens, not {START_TOKENS}")

    # ---- one measurement ------------------------------------------------------------------

    def ours(self, path, *levels):
        where = () if self.options.mapped else ("--copy",)

        def bench(*arguments):
            return json.loads(self.run(self.options.edgellm, "bench", path, "--json", "-j", "1",
                                       "--runs", "1", "--warmup", "1", *where, *levels, *arguments))
        decode = bench("-p", "16", "-n", str(self.options.tokens))
        prefill = bench("-p", str(PREFILL), "-n", "1")
        return {"decode_tok_s": decode["decode_tok_s"], "prefill_tok_s": prefill["prefill_tok_s"],
                "peak_rss": decode["peak_rss"], "kernel": decode["kernel"],
                "first_token_ms": self.start_to_first_token(path, *levels)}

    def start_to_first_token(self, path, *levels):
        """From before the process exists to the first byte of its answer."""
        command = ["taskset", "-c", self.core, self.options.edgellm, "run", path, "--raw", "-j",
                   "1", "-c", "256", "-n", "1", "-t", "0", "--ignore-eos", "-q", "-p", START_TEXT,
                   *levels]
        start = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            got = os.read(process.stdout.fileno(), 1)
            elapsed = (time.monotonic() - start) * 1e3
            process.stdout.read()
        if process.returncode != 0 or not got:
            raise RuntimeError(f"no answer from {' '.join(command)}")
        return elapsed

    def theirs(self):
        decode = json.loads(self.llama(self.peer_file, "--tokens", str(self.options.tokens)))
        prefill = json.loads(self.llama(self.peer_file, "--prompt", str(PREFILL), "--tokens", "1"))
        first = json.loads(self.llama(self.peer_file, "--prompt", str(START_TOKENS), "--tokens",
                                      "1", "--runs", "0"))
        return {"decode_tok_s": decode["decode_tok_s"], "prefill_tok_s": prefill["prefill_tok_s"],
                "peak_rss": decode["peak_rss"], "python_rss": decode["python_rss"],
                "version": decode["version"], "first_token_ms": first["first_token_ms"]}

    def another(self, program, path):
        """By a llama-bench of llama.cpp or what was made of it; its answer begins at position 0."""
        rows = json.loads(self.run(program, "-m", path, "-t", "1", "-p", str(PREFILL), "-n",
                                   str(self.options.tokens), "-r", "1", "-o", "json"))
        speed = {bool(row["n_gen"]): row["avg_ts"] for row in rows}
        return {"decode_tok_s": speed[True], "prefill_tok_s": speed[False], "peak_rss": None,
                "first_token_ms": None}

    # ---- all of them ----------------------------------------------------------------------

    def measure(self):
        contestants = [(PEER, self.theirs)]
        for name, path in self.files.items():
            contestants.append((name, lambda path=path: self.ours(path)))
            for level in self.options.cpumask:
                contestants.append((f"{name}, {level}", lambda path=path, level=level:
                                    self.ours(path, "--cpumask", level)))
        for name, (program, path) in self.others.items():
            contestants.append((name, lambda program=program, path=path: self.another(program, path)))
        blocks = {name: [] for name, _ in contestants}
        for block in range(self.options.blocks):
            turn = block % len(contestants)
            for name, run in contestants[turn:] + contestants[:turn]:
                blocks[name].append(run())
            print(f"block {block + 1}/{self.options.blocks}", file=sys.stderr, flush=True)
        return blocks


def median(blocks, key):
    """None, if it was not measured."""
    return None if blocks[0][key] is None else statistics.median(b[key] for b in blocks)


def summary(bench, blocks):
    """What is printed and stored: medians, and ratios to the peer with their range by block."""
    rows = {}
    for name, results in blocks.items():
        _, path = bench.others.get(name, (None, bench.peer_file))
        path = bench.files.get(name.rsplit(", ", 1)[0], path)
        row = {"file_bytes": os.path.getsize(path)}
        for key in ("decode_tok_s", "prefill_tok_s", "first_token_ms", "peak_rss"):
            row[key] = median(results, key)
        for key in ("decode", "prefill"):
            ratios = [r[key + "_tok_s"] / p[key + "_tok_s"] for r, p in zip(results, blocks[PEER])]
            row[key + "_ratio"] = row[key + "_tok_s"] / median(blocks[PEER], key + "_tok_s")
            row[key + "_ratio_range"] = [min(ratios), max(ratios)]
        rows[name] = row
    return rows


def print_table(rows, blocks, core):
    print(f"one core ({core}), 1 thread, medians of {len(blocks[PEER])} alternating blocks; "
          f"kernel {blocks['lossless'][0]['kernel']}, "
          f"llama-cpp-python {blocks[PEER][0]['version']}\n")
    print("                         MB   decode tok/s  ratio (range)        prefill tok/s  "
          "ratio (range)        first token ms   peak MB")
    for name, row in rows.items():
        def cell(key):
            low, high = row[key + "_ratio_range"]
            return (f"{row[key + '_tok_s']:9.1f}  {row[key + '_ratio']:5.2f} "
                    f"({low:.2f} .. {high:.2f})")
        first, peak = row["first_token_ms"], row["peak_rss"]
        print(f"{name:20s} {row['file_bytes'] / 1e6:6.1f}   {cell('decode'):34s} {cell('prefill'):34s} "
              f"{'-' if first is None else f'{first:.1f}':>10s} {'-' if peak is None else f'{peak / 1e6:.1f}':>11s}")
    python = blocks[PEER][0]["python_rss"] / 1e6
    print(f"\nFirst token, prompt of {START_TOKENS} tokens, files in the page cache. EdgeLLM: from "
          "before the process exists to its\nfirst byte of text. llama.cpp: from loading the model "
          "to the first token, without the start of Python.\n"
          f"llama.cpp's peak includes {python:.0f} MB of Python and numpy.")


def check(rows):
    """Prints what is below the promise; returns how many."""
    failed = 0

    def hold(what, value, limit, at_least):
        nonlocal failed
        passed = value >= limit if at_least else value <= limit
        failed += not passed
        print(f"{'ok  ' if passed else 'FAIL'} {what}: {value:.2f}, "
              f"{'at least' if at_least else 'at most'} {limit:g}")
    for name, _, size, decode, prefill in FILES:
        hold(f"{name}, first token ms", rows[name]["first_token_ms"], COLD_START_MS, False)
        if size is None:
            continue
        hold(f"{name}, MB", rows[name]["file_bytes"] / 1e6, size / 1e6, False)
        hold(f"{name}, decode against Q4_0", rows[name]["decode_ratio"], decode, True)
        hold(f"{name}, prefill against Q4_0", rows[name]["prefill_ratio"], prefill, True)
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edgellm", required=True)
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--blocks", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=128, help="decode steps of a block")
    parser.add_argument("--core", type=int, help="the core to run on; the last one allowed")
    parser.add_argument("--file", action="append", default=[], help="a TM2 file, measured too")
    parser.add_argument("--cpumask", action="append", default=[], metavar="LEVEL",
                        help="also with no newer instructions than these, such as avx2")
    parser.add_argument("--mapped", action="store_true", help="our weights stay in the page cache")
    parser.add_argument("--llama-bench", action="append", default=[], nargs=2, metavar=("PROGRAM", "GGUF"),
                        help="also what this llama-bench measures of that file")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    bench = Bench(options)
    bench.make_files()
    blocks = bench.measure()
    rows = summary(bench, blocks)
    print_table(rows, blocks, bench.core)
    target = os.path.join(options.work, "results.json")
    with open(target, "w", encoding="utf-8") as out:
        json.dump({"core": bench.core, "medians": rows, "blocks": blocks}, out, indent=2)
    print(f"\nAll figures: {target}")
    if options.check:
        if options.blocks < 5:
            print("FAIL fewer than 5 blocks say nothing")
        return int(check(rows) > 0 or options.blocks < 5)
    return 0


if __name__ == "__main__":
    sys.exit(main())
