"""The shared library and its declarations: edgellm.h, as ctypes has it. tests/test_python.py compares every structure
with what a C compiler makes of the header."""
from __future__ import annotations

import ctypes
import os
import pathlib
from ctypes import (CDLL, POINTER, Structure, byref, c_bool, c_char, c_char_p, c_double, c_float, c_int, c_int32, c_size_t,
                    c_uint, c_uint8, c_uint32, c_uint64, c_void_p)
from typing import Any

__all__ = ["byref", "library"]

NAME = "libedgellm.so.0.1"
ERROR_BYTES = 480
STREAM_BYTES = 1024
CHUNKS, PASSES = 12, 6


class ErrorInfo(Structure):
    _fields_ = [("status", c_int), ("message", c_char * ERROR_BYTES)]


class EngineOptions(Structure):
    _fields_ = [("kernel", c_char_p), ("cpumask", c_char_p), ("kernel_cache", c_char_p), ("verify", c_bool),
                ("copy", c_bool), ("grammars", c_bool), ("chat_form", c_char_p), ("adapters", c_void_p),
                ("n_adapters", c_uint32)]


class ModelInfoStruct(Structure):
    _fields_ = [("architecture", c_char_p), ("name", c_char_p), ("manifest", c_char_p), ("kernel", c_char_p),
                ("kernel_choice", c_char_p), ("pretokenizer", c_char_p), ("has_chat_template", c_bool),
                ("has_unknown_template", c_bool), ("copied", c_bool), ("chat_form", c_char_p), ("layers", c_uint32), ("dim", c_uint32), ("ffn_dim", c_uint32),
                ("heads", c_uint32), ("kv_heads", c_uint32), ("head_dim", c_uint32), ("vocab", c_uint32),
                ("context_trained", c_uint32), ("adapters", c_uint32), ("tensors", c_uint32), ("parameters", c_uint64), ("file_bytes", c_uint64),
                ("token_bytes", c_uint64), ("identity", c_uint32 * 3)]


class MessageStruct(Structure):
    _fields_ = [("role", c_char_p), ("content", c_char_p)]


class StreamStruct(Structure):
    _fields_ = [("pending", c_uint8 * 4), ("count", c_uint8)]


class SessionOptions(Structure):
    _fields_ = [("context", c_uint32), ("batch", c_uint32), ("threads", c_uint32), ("reserve_cores", c_uint32),
                ("kv_bits", c_uint32), ("exact", c_bool), ("realtime", c_bool), ("constant_time", c_bool), ("grammar", c_bool),
                ("max_ram", c_uint64), ("memory", c_void_p), ("memory_bytes", c_size_t)]


class MemoryPlanStruct(Structure):
    _fields_ = [("weights", c_uint64), ("tables", c_uint64), ("kv_cache", c_uint64), ("scratch", c_uint64),
                ("threads", c_uint64), ("program", c_uint64), ("total", c_uint64), ("session_bytes", c_uint64),
                ("position_bytes", c_uint64), ("context", c_uint32), ("batch", c_uint32), ("n_threads", c_uint32),
                ("window_positions", c_uint32)]


class CostsStruct(Structure):
    _fields_ = [("step", c_double), ("step_position", c_double), ("step_margin", c_double), ("n_chunks", c_uint32),
                ("chunk_tokens", c_uint32 * CHUNKS), ("chunk", c_double * CHUNKS), ("chunk_pair", c_double),
                ("chunk_margin", c_double), ("n_passes", c_uint32), ("pass_sessions", c_uint32 * PASSES),
                ("pass_", c_double * PASSES), ("mask", c_double), ("logprobs", c_double),
                ("top_logprobs", c_double)]


class ForecastStruct(Structure):
    _fields_ = [("first_ns", c_double), ("answer_ns", c_double), ("margin_ns", c_double), ("tokens", c_uint32),
                ("admitted", c_bool)]


class LogitBiasStruct(Structure):
    _fields_ = [("token", c_uint32), ("bias", c_float)]


class SamplerOptions(Structure):
    _fields_ = [("temperature", c_float), ("top_k", c_uint32), ("top_p", c_float), ("min_p", c_float),
                ("typical_p", c_float), ("repeat_penalty", c_float), ("presence_penalty", c_float),
                ("frequency_penalty", c_float), ("repeat_last", c_uint32), ("dry_multiplier", c_float),
                ("dry_base", c_float), ("dry_allowed_length", c_uint32), ("dry_penalty_last", c_int32),
                ("dry_breakers", POINTER(c_char_p)), ("n_dry_breakers", c_uint32), ("xtc_probability", c_float),
                ("xtc_threshold", c_float), ("mirostat", c_uint32), ("mirostat_tau", c_float), ("mirostat_eta", c_float),
                ("logit_bias", POINTER(LogitBiasStruct)), ("n_logit_bias", c_uint32), ("seed", c_uint64)]


_ids, _size, _err, _handle = POINTER(c_uint32), POINTER(c_size_t), POINTER(ErrorInfo), c_void_p

# name: (what it gives, what it takes); c_int with an error last: a status.
FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "version": (c_char_p, []),
    "status_name": (c_char_p, [c_int]),
    "kernel_name": (c_char_p, [c_uint32]),
    "engine_open": (c_int, [c_char_p, POINTER(EngineOptions), POINTER(_handle), _err]),
    "engine_close": (None, [_handle]),
    "engine_info": (None, [_handle, POINTER(ModelInfoStruct)]),
    "tokenize": (c_int, [_handle, c_char_p, c_size_t, c_uint, _ids, c_size_t, _size, _err]),
    "detokenize": (c_int, [_handle, _ids, c_size_t, c_bool, c_void_p, c_size_t, _size, _err]),
    "stream_push": (c_size_t, [_handle, POINTER(StreamStruct), c_uint32, c_void_p]),
    "stream_flush": (c_size_t, [POINTER(StreamStruct), c_void_p]),
    "is_end": (c_bool, [_handle, c_uint32]),
    "chat_prompt": (c_int, [_handle, POINTER(MessageStruct), c_size_t, c_uint, _ids, c_size_t, _size, _err]),
    "plan": (c_int, [c_char_p, POINTER(SessionOptions), POINTER(MemoryPlanStruct), _err]),
    "session_open": (c_int, [_handle, POINTER(SessionOptions), POINTER(_handle), _err]),
    "session_close": (None, [_handle]),
    "session_eval": (c_int, [_handle, _ids, c_size_t, POINTER(c_float), _err]),
    "session_logits": (POINTER(c_float), [_handle]),
    "session_position": (c_uint32, [_handle]),
    "session_tokens": (_ids, [_handle]),
    "session_plan": (None, [_handle, POINTER(MemoryPlanStruct)]),
    "session_truncate": (c_int, [_handle, c_uint32, _err]),
    "session_shift": (c_int, [_handle, c_uint32, POINTER(c_uint32), _err]),
    "session_set_costs": (c_int, [_handle, POINTER(CostsStruct), _err]),
    "session_calibrate": (c_int, [_handle, c_uint64, POINTER(CostsStruct), _err]),
    "session_forecast": (c_int, [_handle, c_uint32, c_uint32, c_double, POINTER(ForecastStruct), _err]),
    "session_set_deadline": (None, [_handle, c_uint64]),
    "sampler_defaults": (SamplerOptions, []),
    "session_set_sampler": (c_int, [_handle, POINTER(SamplerOptions), _err]),
    "session_choose": (c_int, [_handle, POINTER(c_uint32), _err]),
    "grammar_create": (c_int, [_handle, c_char_p, c_size_t, POINTER(_handle), _err]),
    "grammar_destroy": (None, [_handle]),
    "session_set_grammar": (c_int, [_handle, _handle, c_uint32, _err]),
    "hash_logits": (c_uint64, [c_uint64, POINTER(c_float), c_uint32]),
    "session_save": (c_int, [_handle, c_char_p, c_void_p, c_size_t, _err]),
    "session_load": (c_int, [_handle, c_char_p, _err]),
}


def _place() -> str:
    """$EDGELLM_LIBRARY; else the library in the wheel; else the system's."""
    inside = pathlib.Path(__file__).with_name(NAME)
    return os.environ.get("EDGELLM_LIBRARY") or (str(inside) if inside.exists() else NAME)


def _load() -> CDLL:
    place = _place()
    try:
        found = CDLL(place)
    except OSError as error:
        raise ImportError(f"{place} cannot be loaded ({error}): install EdgeLLM (make install), or name the file in "
                          "the variable EDGELLM_LIBRARY") from error
    for name, (gives, takes) in FUNCTIONS.items():
        function = getattr(found, "edgellm_" + name)
        function.restype, function.argtypes = gives, takes
    return found


library = _load()


def values(structure: Structure) -> dict[str, Any]:
    """Its fields by their names, texts decoded."""
    found = {field[0]: getattr(structure, field[0]) for field in structure._fields_}
    return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}


def ids(tokens: Any) -> Any:
    """Token ids as C has them."""
    tokens = list(tokens)
    return (ctypes.c_uint32 * len(tokens))(*tokens)
