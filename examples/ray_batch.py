"""A file of requests in OpenAI's batch format over all machines of a Ray cluster: each shard is one
`edgellm batch`, whose outputs are joined. A shard whose machine or process dies is started again, and goes
on with what it had if its folder is still there (docs/SCALE.md).

    pip install ray
    python3 ray_batch.py MODEL.tm2.bin IN.jsonl OUT.jsonl --shards 4 [--threads 2] [--folder DIR]

MODEL and DIR (by default OUT.jsonl.shards) have to be the same file and folder on every machine: a
shared file system, or one machine. EDGELLM: the program, if it is not in PATH.
"""
import argparse
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import time

import ray

EDGELLM = os.environ.get("EDGELLM") or "edgellm"


def custom_id(line):
    """None: there is none, which is for `edgellm batch` to answer."""
    try:
        return json.loads(line)["custom_id"]
    except (ValueError, TypeError, KeyError):
        return None


def split(source, folder, n):
    """Lines in turn into n files. A custom_id may be there once in all of them together."""
    seen = set()
    with contextlib.ExitStack() as stack, open(source, "rb") as lines:
        shards = [stack.enter_context(open(folder / f"{i:04}.jsonl", "wb")) for i in range(n)]
        for number, line in enumerate(lines):
            name = custom_id(line)
            if isinstance(name, str) and name in seen:
                raise SystemExit(f"{source}: line {number + 1}: the custom_id {name!r} is there twice")
            seen.add(name)
            shards[number % n].write(line if line.endswith(b"\n") else line + b"\n")


@ray.remote(max_retries=3, retry_exceptions=True)
def answer(model, shard, threads, options):
    """One shard. Asked again after a failure it goes on: `edgellm batch` remembers by its output."""
    output = shard.with_suffix(".out")
    done = subprocess.run([EDGELLM, "batch", model, shard, "-o", output, "--json", "-j", str(threads),
                           *options], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{shard}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def join(folder, n, target):
    """All answers, in one file that appears whole."""
    part = pathlib.Path(f"{target}.joining")
    with part.open("wb") as whole:
        for i in range(n):
            with open(folder / f"{i:04}.out", "rb") as piece:
                shutil.copyfileobj(piece, whole)
    part.replace(target)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder")
    given, options = parser.parse_known_args()  # what is not known goes to `edgellm batch`
    folder = pathlib.Path(given.folder or given.target + ".shards").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    split(given.source, folder, given.shards)
    ray.init(log_to_driver=False)
    began = time.monotonic()
    # Ray gives out cores: as many shards run at a time as there are cores for.
    task = answer.options(num_cpus=given.threads)
    shards = [folder / f"{i:04}.jsonl" for i in range(given.shards)]
    told = ray.get([task.remote(os.path.abspath(given.model), shard, given.threads, options)
                    for shard in shards])
    seconds = time.monotonic() - began
    join(folder, given.shards, given.target)
    shutil.rmtree(folder)
    total = {key: sum(t[key] for t in told)
             for key in ("requests", "earlier", "answered", "refused", "unreadable", "answer_tokens")}
    print(json.dumps({**total, "shards": given.shards, "seconds": round(seconds, 2),
                      "tokens_per_second": round(total["answer_tokens"] / seconds, 2)}))


if __name__ == "__main__":
    main()
