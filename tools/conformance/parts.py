"""Judges models in several GGUF files by the writer that cuts them: the gguf package, as llama.cpp's
converters use it.

    python parts.py DATA --build BUILD --work DIR

DATA/conformance_NAME.gguf of each of NAMES is copied by GGUFWriter, whole and in parts of at most so many
tensors, or bytes. `edgellm quantize` must make of any part the model that it makes of the whole file.
"""
import argparse
import os
import shutil
import sys

from gguf import GGUFReader, GGUFValueType, GGUFWriter

from programs import Programs

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import tm2  # noqa: E402  (the independent reader)

NAMES = ("llama3", "qwen2", "gemma3")
WAYS = ({"split_max_tensors": 7}, {"split_max_size": 20000}, {"split_max_tensors": 9, "small_first_shard": True})


def copy(source, target, **options):
    """Returns the files."""
    architecture = source.fields["general.architecture"].contents()
    writer = GGUFWriter(target, architecture, **options)
    for key, field in source.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        kinds = [GGUFValueType(t) for t in field.types]
        writer.add_key_value(key, field.contents(), kinds[0], kinds[-1] if len(kinds) > 1 else None)
    for t in source.tensors:
        writer.add_tensor(t.name, t.data, raw_dtype=t.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    folder = os.path.dirname(target)
    return sorted(os.path.join(folder, name) for name in os.listdir(folder))


def sections(programs, source, work):
    """Of the TM2 file all but the manifest, which names the source."""
    target = programs.quantize(source, os.path.join(work, "parts.tm2.bin"), "--bits", "8", "--group", "32", again=True)
    file = tm2.TM2File(target)
    return [bytes(file.section(name)) for name in file.sections if name != "manifest"]


def judge(args, name, options):
    work = os.path.join(args.work, "parts")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    source = os.path.join(args.data, f"conformance_{name}.gguf")
    programs = Programs(args.build)
    files = copy(GGUFReader(source), os.path.join(work, "model.gguf"), **options)
    wanted = sections(programs, source, args.work)
    wrong = [file for file in files if sections(programs, file, args.work) != wanted]
    ok = len(files) > 1 and not wrong
    print(f"{'ok  ' if ok else 'FAIL'} {name}, {options}: {len(files)} parts, {len(wrong)} give another model")
    return ok


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("data")
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--work", default="build/conformance")
    args = parser.parse_args()
    return 0 if all([judge(args, name, options) for name in NAMES for options in WAYS]) else 1


if __name__ == "__main__":
    sys.exit(main())
