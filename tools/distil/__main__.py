"""python3 -m distil prepare | write | train: see --help of each."""
import argparse
import dataclasses
import json
import os
import sys

from . import prepare
from .options import Options


def parser():
    p = argparse.ArgumentParser(prog="distil", description="Trains a small TM2 file towards the "
                                "model that it was made from.")
    sub = p.add_subparsers(dest="command", required=True)

    a = sub.add_parser("prepare", help="beginnings and layouts as tokens; needs libedgellm.so")
    a.add_argument("model", help="a TM2 file with the vocabulary")
    a.add_argument("-o", "--output", required=True, metavar="FILE.json")
    a.add_argument("--library", default="build/release/libedgellm.so")
    a.add_argument("--task", metavar="DATA.jsonl", help="rows of a task to take in")

    a = sub.add_parser("write", help="the source writes text to train on")
    a.add_argument("source", help="the source as a lossless TM2 file (edgellm quantize GGUF)")
    a.add_argument("--beginnings", required=True, metavar="FILE.json")
    a.add_argument("-o", "--output", required=True, metavar="FILE.npy")
    a.add_argument("--tokens", type=float, default=1e6)
    a.add_argument("--batch", type=int, default=64, help="sequences at a time")
    a.add_argument("--length", type=int, default=512)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--device", default=None)

    a, default = sub.add_parser("train", help="trains a file"), Options()
    a.add_argument("file", help="a TM2 file of the quantiser, or of an earlier training")
    a.add_argument("source", help="the source as a lossless TM2 file")
    a.add_argument("--text", required=True, nargs="+", metavar="FILE.npy")
    a.add_argument("-o", "--output", required=True, metavar="OUT.tm2.bin")
    a.add_argument("--minutes", type=float, default=default.minutes, help="of training; the schedule goes by them")
    a.add_argument("--steps", type=int, default=default.steps, help="instead of minutes")
    a.add_argument("--pause", type=float, default=default.pause, metavar="MINUTES",
                   help="stop after so many and keep a checkpoint; go on with --resume")
    a.add_argument("--checkpoint", metavar="FILE", help="default: OUT.checkpoint")
    a.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    a.add_argument("--batch", type=int, default=default.batch, help="sequences a step")
    a.add_argument("--rate", type=float, default=default.rate, help="of latents, in codes a step")
    a.add_argument("--rate-table", type=float, default=default.rate_table,
                   help="the same of embedding and head")
    a.add_argument("--rate-scale", type=float, default=default.rate_scale, help="of scales, relative")
    a.add_argument("--rate-norm", type=float, default=default.rate_norm, help="of norms, relative")
    a.add_argument("--layerwise", type=int, default=default.layerwise, metavar="STEPS",
                   help="first so many steps layer by layer")
    a.add_argument("--held-out", type=int, default=default.held_out, help="sequences that measure")
    a.add_argument("--every", type=float, default=default.every, help="seconds between measurements")
    a.add_argument("--task", metavar="FILE.json", help="of prepare --task: train for its rows")
    a.add_argument("--anchor", type=float, default=default.anchor,
                   help="share of a task's loss that keeps the source's language")
    a.add_argument("--seed", type=int, default=default.seed)
    a.add_argument("--device", default=None)
    a.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    a.add_argument("--compile", action="store_true", help="torch.compile: worth it on a GPU")
    return p


def device_of(name):
    import torch
    torch.set_float32_matmul_precision("high")
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def write_json(path, data):
    with open(path + ".tmp", "w", encoding="utf-8") as out:
        json.dump(data, out)
    os.replace(path + ".tmp", path)


def read_json(path):
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def run_write(o):
    import numpy
    import torch

    from . import llama, text
    device = device_of(o.device)
    file = llama.load(o.source)
    shape = llama.Shape(file.config, o.length, device)
    weights = llama.SourceWeights(file, shape, device, torch.bfloat16)
    tokens = text.write_all(shape, weights, read_json(o.beginnings), o.tokens, o.batch, o.length,
                            o.seed, torch.bfloat16, device)
    with open(o.output + ".tmp", "wb") as out:
        numpy.save(out, tokens)
    os.replace(o.output + ".tmp", o.output)


def padded(rows, length):
    """Tokens and mask of answers, (rows, length); longer rows are left out."""
    import numpy
    rows = [(t, n) for t, n in rows if len(t) <= length]
    tokens, mask = numpy.zeros((2, len(rows), length), numpy.int64)
    for i, (row, prompt) in enumerate(rows):
        tokens[i, :len(row)] = row
        mask[i, prompt:len(row)] = 1
    return tokens, mask


def run_train(o):
    import numpy
    import torch

    from . import llama, train
    if not (o.minutes or o.steps):
        raise ValueError("--minutes or --steps is needed")
    options = Options(**{f.name: getattr(o, f.name) for f in dataclasses.fields(Options)})
    device, file = device_of(o.device), llama.load(o.file)
    sequences = numpy.concatenate([numpy.load(path) for path in o.text])
    if len(sequences) <= options.held_out:
        raise ValueError(f"{len(sequences)} sequences of text, of which {options.held_out} are held "
                         "back: write more, or lower --held-out")
    task = None
    if o.task:
        rows = read_json(o.task)["task"]
        if not rows:
            raise ValueError(f"{o.task} holds no rows: make it with prepare --task DATA.jsonl")
        task = padded(rows, min(sequences.shape[1], max(len(r[0]) for r in rows)))
    trainer = train.Trainer(file, llama.load(o.source), sequences, options, device,
                            getattr(torch, o.dtype), o.compile, task)
    checkpoint = o.checkpoint or o.output + ".checkpoint"
    if o.output == o.file:
        raise ValueError("the result cannot take the place of the file that is trained")
    if o.resume:
        trainer.resume(torch.load(checkpoint, map_location=device))
    ended = trainer.descend(lambda: train.save_checkpoint(trainer, checkpoint))
    train.save_checkpoint(trainer, checkpoint)
    sources = {"source": os.path.basename(o.source), "text": [os.path.basename(t) for t in o.text]}
    train.write_result(file, trainer, o.output, sources)
    if not ended:
        print(f"paused: go on with --resume, the checkpoint is {checkpoint}", file=sys.stderr)


def main():
    o = parser().parse_args()
    try:
        if o.command == "prepare":
            write_json(o.output, prepare.prepare(o.library, o.model, o.task))
        elif o.command == "write":
            run_write(o)
        else:
            run_train(o)
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"distil {o.command}: {error}")
    except KeyboardInterrupt:
        sys.exit("\ninterrupted: go on with --resume from the last checkpoint")


if __name__ == "__main__":
    main()
