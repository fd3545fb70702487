#!/usr/bin/env python3
"""How long from the start of `edgellm run` to the first byte of its answer, seen from outside: with
no prompt cache, with one and the files in the page cache ("warm"), with one and neither file in it
("evicted"). Beside it how fast the model file is read, which is what an evicted start waits for.

    tools/bench_boot.py --edgellm EDGELLM MODEL [--tokens N] [--runs N] [--json]

The system message has about N tokens. The prompt cache is written into a folder beside the model and
removed again. Evicting needs no rights: POSIX_FADV_DONTNEED drops what no program has mapped; how much
stayed in memory all the same is told. Standard library only.
"""
import argparse
import ctypes
import json
import mmap
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

WORDS = ("You are the assistant of a small robot in a house with many rooms and answer in one short "
         "sentence that can be read aloud without any lists or headings please and in good time ").split()
PROMPT = "Hello"
WARM_MS = 60  # what a warm start of 200 tokens may take; an evicted one, beside reading:
EVICTED_MS = 100
BLOCK = 1 << 20


def resident(path):
    """Bytes of a file in the page cache; None where the system does not tell."""
    size, page = os.path.getsize(path), mmap.PAGESIZE
    with open(path, "rb") as file:
        with mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as m:
            pages = (ctypes.c_ubyte * (-(-size // page)))()
            hold = ctypes.c_char.from_buffer(m)
            failed = ctypes.CDLL(None).mincore(ctypes.c_void_p(ctypes.addressof(hold)),
                                               ctypes.c_size_t(size), pages)
            del hold
    return None if failed else min(size, page * sum(p & 1 for p in pages))


def evict(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)  # what is not yet on the disk cannot be dropped
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def read_ms(path):
    """Milliseconds for reading a file from start to end."""
    block, began = bytearray(BLOCK), time.monotonic()
    with open(path, "rb", buffering=0) as file:
        while file.readinto(block):
            pass
    return (time.monotonic() - began) * 1e3


class Bench:
    def __init__(self, arguments, folder):
        self.edgellm, self.model = arguments.edgellm, arguments.model
        self.cache = folder / "boot.els"
        self.system = self.message_of(arguments.tokens)

    def message_of(self, tokens):
        """Words until the laid-out message has so many tokens: each is one, at least."""
        text = " ".join(WORDS[i % len(WORDS)] for i in range(tokens))
        done = subprocess.run([self.edgellm, "tokenize", self.model, "--ids", text], check=True,
                              stdout=subprocess.PIPE, text=True)
        surplus = len(done.stdout.split()) - tokens
        return " ".join(text.split()[:max(1, tokens - max(0, surplus) - 5)])

    def command(self, *more):
        return [self.edgellm, "run", self.model, "--system", self.system, "-p", PROMPT, "-t", "0",
                "-n", "1", *more]

    def boot_ms(self, *more):
        """From before the process is made to the first byte of its answer."""
        began = time.monotonic()
        with subprocess.Popen(self.command("-q", *more), stdout=subprocess.PIPE) as process:
            os.read(process.stdout.fileno(), 1)
            took = (time.monotonic() - began) * 1e3
            process.stdout.read()
        if process.returncode != 0:
            sys.exit(f"edgellm run failed with exit code {process.returncode}")
        return took

    def prepare(self):
        """Makes the cache; what the program tells of a start with it."""
        option = f"--prompt-cache={self.cache}"
        for _ in range(2):
            done = subprocess.run(self.command(option, "--json"), check=True, stdout=subprocess.PIPE)
        told = json.loads(done.stdout)
        if not told["prompt_cache"]["hit"]:
            sys.exit("the prompt cache was not used")
        return told

    def evicted(self):
        """One look: reading the model, then a start, both from the disk."""
        files = (self.model, self.cache)
        evict(self.model)
        reading = read_ms(self.model)
        for path in files:
            evict(path)
        stayed = sum(resident(path) or 0 for path in files)
        return reading, self.boot_ms(f"--prompt-cache={self.cache}"), stayed


def middle(values):
    return {"median": statistics.median(values), "max": max(values)}


def measure(arguments, folder):
    bench = Bench(arguments, folder)
    told = bench.prepare()
    option, runs = f"--prompt-cache={bench.cache}", range(arguments.runs)
    without, warm = [], []
    for _ in runs:  # alternating
        without.append(bench.boot_ms())
        warm.append(bench.boot_ms(option))
    looks = [bench.evicted() for _ in runs]
    size = os.path.getsize(bench.model) + os.path.getsize(bench.cache)
    reading = statistics.median(look[0] for look in looks)
    rate = os.path.getsize(bench.model) / reading * 1e3
    return {"tokens": told["prompt_cache"]["tokens"], "runs": arguments.runs,
            "model_bytes": os.path.getsize(bench.model), "cache_bytes": os.path.getsize(bench.cache),
            "without_ms": middle(without), "warm_ms": middle(warm),
            "warm_by_the_program_ms": told["timings"]["boot_ms"],
            "evicted_ms": middle([look[1] for look in looks]),
            "stayed_bytes": max(look[2] for look in looks), "read_bytes_s": rate,
            "evicted_limit_ms": size / rate * 1e3 + EVICTED_MS, "warm_limit_ms": WARM_MS}


def show(r):
    print(f"{r['tokens']} tokens of system message, {r['runs']} starts each; median (largest) from "
          "start to first token")
    for name, key in (("no prompt cache, warm", "without_ms"), ("prompt cache, warm", "warm_ms"),
                      ("prompt cache, evicted", "evicted_ms")):
        print(f"  {name:22} {r[key]['median']:7.1f} ms ({r[key]['max']:.1f})")
    print(f"  reading the model      {r['model_bytes'] / r['read_bytes_s'] * 1e3:7.1f} ms, "
          f"{r['read_bytes_s'] / 1e6:.0f} MB/s ({r['model_bytes'] / 1e6:.1f} MB; cache "
          f"{r['cache_bytes'] / 1e6:.1f} MB; at most {r['stayed_bytes'] / 1e6:.1f} MB stayed in memory)")
    print(f"  aims: warm {r['warm_limit_ms']} ms (for 200 tokens), evicted "
          f"{r['evicted_limit_ms']:.1f} ms (both files at that rate + {EVICTED_MS} ms)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--edgellm", required=True)
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix=".boot-",
                                           dir=pathlib.Path(arguments.model).absolute().parent))
    try:
        result = measure(arguments, folder)
    finally:
        shutil.rmtree(folder)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        show(result)


main()
