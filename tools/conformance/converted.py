"""Judges GGUF files that llama.cpp's own converter makes.

    python converted.py [NAME ...] --build BUILD --work DIR --source LLAMA_CPP

transformers makes small random models and saves them (folders.py); the converter in LLAMA_CPP, the
source of llama.cpp, makes GGUF files of the folders. `edgellm quantize` must make of a file what it
makes of its folder: the same numbers of the model, but for the last bit of a gain, and the same
tensors, bit for bit; and exact mode on that has transformers' logits. The vocabulary is a trained one, which the converter is told to
take for Llama 3's: it knows none but those of real models.
"""
import argparse
import math
import os
import subprocess
import sys

import torch
from transformers import AutoModelForCausalLM

import folders
from programs import Programs

import tm2  # noqa: E402  (reference.py knows where)

NAMES = ("llama", "llama3", "qwen2", "qwen3", "gemma2", "gemma3", "smollm3", "phi3", "phi4")

CONVERT = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import convert_hf_to_gguf as converter
find = converter.get_model_class
def found(*args, **options):
    kind = find(*args, **options)
    kind.set_vocab = lambda self: self._set_vocab_gpt2()
    kind.get_vocab_base_pre = lambda self, tokenizer: "llama-bpe"
    return kind
converter.get_model_class = found
converter.main()
"""


def convert(source, folder, target):
    done = subprocess.run([sys.executable, "-c", CONVERT, source, folder, "--outfile", target, "--outtype", "f32"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(f"the converter failed:\n{done.stdout[-3000:]}")


def parts_of(path):
    """What the two must have alike: the name of the model in the numbers is the folder's or none."""
    file = tm2.TM2File(path)
    tensors = {name: (t.codec, t.rows, t.cols, t.group, t.crc) for name, t in file.tensors.items()}
    return file.config, tensors


def is_same(a, b):
    return a == b or (isinstance(a, float) and math.isclose(a, b, rel_tol=2e-7))


def judge(programs, args, name):
    folder, gguf = os.path.join(args.work, "folder"), os.path.join(args.work, "converted.gguf")
    folders.make(folders.FOLDERS[name] | {"cut": "llama3", "unused": 0}, folder)
    convert(args.source, folder, gguf)
    of_folder = programs.quantize(folder, os.path.join(args.work, "folder.tm2.bin"), again=True)
    converted = programs.quantize(gguf, os.path.join(args.work, "converted.tm2.bin"), again=True)
    (numbers, tensors), (their_numbers, their_tensors) = parts_of(of_folder), parts_of(converted)
    other = [key for key in numbers if key != "name" and not is_same(numbers[key], their_numbers[key])]
    other += [key for key in tensors.keys() | their_tensors.keys() if tensors.get(key) != their_tensors.get(key)]
    failed = folders.told(not other, name, "model", f"{len(tensors)} tensors and {len(numbers)} numbers as of the "
                          f"folder: {len(other)} differ {' '.join(other[:8])}")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    failed += folders.judge_weights(name, tm2.TM2File(converted), model)
    return failed + folders.judge_logits(name, programs, converted, model)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these models")
    parser.add_argument("--build", required=True, help="folder with edgellm and tools/dump_logits")
    parser.add_argument("--work", required=True, help="folder for files that may be thrown away")
    parser.add_argument("--source", required=True, help="llama.cpp's source, with convert_hf_to_gguf.py")
    args = parser.parse_args()
    os.makedirs(args.work, exist_ok=True)
    failed = sum(judge(Programs(args.build), args, name) for name in args.names or NAMES)
    print(f"converted: {failed} failed" if failed else "converted: all agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
