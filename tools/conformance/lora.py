"""The vectors of tests/test_lora.py: adapters made by PEFT, and transformers' logits with them.

    python lora.py DATA           compares DATA/lora_* with what PEFT says now
    python lora.py DATA --write   makes them again

Needs peft beside what the other judges need (pip install peft). For each model of BASES, which is
conformance_NAME.gguf: lora_NAME_first/ as PEFT saves it, all seven matrices of each layer, alpha
twice the rank; lora_NAME_second/ and, the same as llama.cpp's converter writes it,
lora_NAME_second.gguf, with other matrices, rank and alpha; lora_NAME_root/ rank-stabilised. lora_NAME.bin holds, little-endian: uint32 tokens, uint32 vocab, uint32 ids
(tokens), float32 logits (tokens, vocab) each of: the first merged; first * 0.5 and second * 1.5
merged; the root merged.
"""
import os
import shutil
import sys

import gguf
import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model

import reference
import tiny

BASES = {"llama3": 12, "qwen2": 12}  # and tokens
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
OURS = {theirs.removesuffix(".weight"): ours for ours, theirs in reference.NAMES.items()}
KINDS = {  # seed, rank, alpha, matrices, rank-stabilised
    "first": (1, 4, 8, ALL, False),
    "second": (2, 3, 5, ["q_proj", "k_proj", "v_proj", "down_proj"], False),
    "root": (3, 9, 6, ALL, True),
}


def base(folder, name):
    return reference.load(os.path.join(folder, f"conformance_{name}.gguf"))


def make(folder, name, kind):
    seed, rank, alpha, targets, root = KINDS[kind]
    torch.manual_seed(seed)
    model = get_peft_model(base(folder, name), LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=targets, use_rslora=root, task_type="CAUSAL_LM"))
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if "lora_" in key:
                weight.copy_(0.15 * torch.randn(weight.shape))
    path = os.path.join(folder, f"lora_{name}_{kind}")
    shutil.rmtree(path, ignore_errors=True)
    model.save_pretrained(path)
    os.remove(os.path.join(path, "README.md"))
    if kind == "second":
        write_gguf(model, name, alpha, path + ".gguf")


def write_gguf(model, name, alpha, path):
    """As llama.cpp's convert_lora_to_gguf.py: B of Llama's queries and keys in pairs."""
    architecture = tiny.architecture_of(tiny.MODELS[name])
    config = model.get_base_model().config
    out = gguf.GGUFWriter(path, architecture)
    out.add_type("adapter")
    out.add_string("adapter.type", "lora")
    out.add_float32("adapter.lora.alpha", float(alpha))
    for key, weight in model.state_dict().items():
        if "lora_" not in key:
            continue
        layer, rest = key.split(".layers.")[1].split(".", 1)
        module, half = rest.split(".lora_")
        values = weight.detach().numpy()
        if half[0] == "B" and reference.ARCHITECTURES[architecture].pairs:
            heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
            if module.split(".")[1] in heads:
                values = reference.pairs_from_halves(values, heads[module.split(".")[1]])
        out.add_tensor(f"blk.{layer}.{OURS[module]}.lora_{half[0].lower()}",
                       np.ascontiguousarray(values))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def merged(folder, name, scales):
    """The model with W + scale * gain * B A, by PEFT's own adding up."""
    model = None
    for kind, scale in scales.items():
        path = os.path.join(folder, f"lora_{name}_{kind}")
        model = (PeftModel.from_pretrained(base(folder, name), path, adapter_name=kind) if model is None
                 else model)
        if kind not in model.peft_config:
            model.load_adapter(path, kind)
        for module in model.modules():
            if hasattr(module, "lora_A") and kind in module.scaling:
                module.scaling[kind] *= scale
    return model.merge_and_unload(adapter_names=list(scales))


def compute(folder, name):
    ids = tiny.ids_for(name, BASES[name])
    sets = ({"first": 1}, {"first": 0.5, "second": 1.5}, {"root": 1})
    return ids, [reference.logits(merged(folder, name, s), ids) for s in sets]


def main(folder, write):
    failed = False
    for name in BASES:
        target = os.path.join(folder, f"lora_{name}.bin")
        if write:
            for kind in KINDS:
                make(folder, name, kind)
            ids, logits = compute(folder, name)
            with open(target, "wb") as out:
                np.array([len(ids), logits[0].shape[1], *ids], "<u4").tofile(out)
                for part in logits:
                    part.astype("<f4").tofile(out)
        ids, logits = compute(folder, name)
        with open(target, "rb") as stored:
            np.fromfile(stored, "<u4", 2 + len(ids))
            worst = np.abs(np.fromfile(stored, "<f4") - np.concatenate([l.ravel() for l in logits])).max()
        failed |= not worst < 1e-4
        print(f"{'ok  ' if worst < 1e-4 else 'FAIL'} adapters of {name}: largest difference {worst:.2g}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "--write" in sys.argv))
