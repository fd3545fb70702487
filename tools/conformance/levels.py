"""Folders of models of three levels, made with transformers' own packing, and what transformers makes
of them: the weights that its classes compute with, in a model of plain matrices."""
import copy
import json
import os

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # else its functions of bitnet want a compiler

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, BitNetConfig, BitNetForCausalLM
from transformers.integrations import bitnet

ONE = "model.safetensors"
KINDS = {  # what quantization_config says; None: there is none
    "divided": dict(),
    "head plain": dict(modules_to_not_convert=["lm_head"], linear_class="bitlinear"),
    "all but": dict(modules_to_not_convert=["model.layers.0.mlp", "k_proj"],
                    linear_class="bitlinear"),
    "multiplied": dict(linear_class="autobitlinear", quantization_mode="offline"),
    "unpacked": dict(linear_class="autobitlinear", quantization_mode="offline"),
    "online": dict(linear_class="autobitlinear", quantization_mode="online"),
    "1bitllm": None,
    "floats": None,
}
RENAMED = {"self_attn.attn_sub_norm": "self_attn.inner_attn_ln",
           "mlp.ffn_sub_norm": "mlp.ffn_layernorm"}


def is_level(name, kind):
    """Has the tensor of this name three levels in such a folder?"""
    head = kind == "all but" and name == "lm_head.weight"
    plain = kind == "all but" and ("layers.0.mlp." in name or "k_proj" in name)
    return (name.endswith("_proj.weight") or head) and not plain


def coded(name, weight, kind):
    """A matrix as the folder has it: {name: tensor}"""
    if kind in ("online", "1bitllm", "floats"):
        return {name: weight}
    scale = weight.abs().max()
    levels = torch.sign(weight).float()
    divides = KINDS[kind].get("linear_class") != "autobitlinear"
    packed = levels.to(weight.dtype) if kind == "unpacked" else bitnet.pack_weights(levels)
    return {name: packed, f"{name}_scale": (1 / scale if divides else scale).reshape(1)}


def renamed(name, there):
    for a, b in there.items():
        name = name.replace(a, b)
    return name


def change(folder, kind):
    """The folder of a plain model becomes one of the kind."""
    path = os.path.join(folder, ONE)
    state = {}
    for name, weight in load_file(path).items():
        state |= coded(name, weight, kind) if is_level(name, kind) else {name: weight}
    if kind == "1bitllm":
        state = {renamed(name, RENAMED): weight for name, weight in state.items()}
    save_file(state, path, metadata={"format": "pt"})
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as old:
        config = json.load(old)
    if KINDS[kind] is not None:
        config["quantization_config"] = {"quant_method": "bitnet"} | KINDS[kind]
    if kind == "1bitllm":
        config |= {"architectures": ["BitnetForCausalLM"], "weight_bits": 1, "input_bits": 8}
    with open(path, "w", encoding="utf-8") as new:
        json.dump(config, new)


def online(weight):
    return bitnet.WeightQuant.apply(weight).float()


def computed(module):
    """The weights that a linear class multiplies by."""
    if isinstance(module, bitnet.BitLinear):
        return bitnet.unpack_weights(module.weight, torch.float32) / module.weight_scale.float()
    if module.online_quant:
        return online(module.weight)
    return module.weight.float() * module.weight_scale.float()


def of_1bitllm(folder):
    """transformers has no such class: BitNet's with another activation, and weights as its code rounds
    them, which is what WeightQuant does."""
    config = AutoConfig.for_model(**{**json.load(open(os.path.join(folder, "config.json"), encoding="utf-8")),
                                     "model_type": "bitnet"})
    back = {b: a for a, b in RENAMED.items()}
    state = {renamed(name, back): online(w) if is_level(name, "1bitllm") else w.float()
             for name, w in load_file(os.path.join(folder, ONE)).items()}
    model = BitNetForCausalLM(config).float().eval()
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    return model


LINEAR = (bitnet.BitLinear, bitnet.AutoBitLinear)


def linear_of(model):
    return {name: m for name, m in model.named_modules() if isinstance(m, LINEAR)}


def load(folder, kind):
    """A plain model of the weights that transformers computes with, float32."""
    if kind == "1bitllm":
        return of_1bitllm(folder)
    own = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    state = {name: w.float() for name, w in own.state_dict().items() if not name.endswith("_scale")}
    state |= {f"{name}.weight": computed(m) for name, m in linear_of(own).items()}
    meant = {name for name in state if is_level(name, kind)}
    if KINDS[kind] is not None and meant != {f"{name}.weight" for name in linear_of(own)}:
        raise ValueError(f"{folder}: transformers converts {sorted(linear_of(own))}")
    config = copy.deepcopy(own.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = type(own)(config).float().eval()
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    return model


class Same(torch.autograd.Function):
    """In the place of ActQuant: activations stay floats."""

    @staticmethod
    def forward(ctx, activation):
        return activation


def load_own(folder, model):
    """transformers' own classes of three levels with the folder's weights, without the rounding of
    activations; what is no such matrix is as in `model`."""
    bitnet.ActQuant = Same
    bitnet.BitLinear.activation_quant = lambda self, x, num_bits=8: (x, torch.ones(()))
    own = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    linear = linear_of(own)
    state = {n: w for n, w in model.state_dict().items() if n.removesuffix(".weight") not in linear}
    for tensor in (*own.parameters(), *own.buffers()):  # transformers leaves some in bfloat16
        tensor.data = tensor.data.float() if tensor.is_floating_point() else tensor.data
    own.load_state_dict(state, strict=False)
    for name, module in linear.items():
        if getattr(module, "online_quant", False):  # rounded in the type of the file, not in float32
            module.weight, module.online_quant = torch.nn.Parameter(model.state_dict()[name + ".weight"]), False
            module.weight_scale = torch.ones(1)
    return own
