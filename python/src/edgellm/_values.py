"""What is told, and what can be asked for: plain values."""
from __future__ import annotations

import dataclasses
import enum
from typing import Mapping, Sequence

from ._library import ErrorInfo, library


class Status(enum.IntEnum):
    """Why something failed; the exit codes of the program `edgellm` too."""
    INTERNAL = 1
    USAGE = 2
    IO = 3
    FORMAT = 4
    UNSUPPORTED = 5
    MEMORY = 6
    CONTEXT = 7
    INTERRUPTED = 8
    DEADLINE = 9
    BUSY = 10


class Error(Exception):
    """What was wrong, where, and what to do; `status` tells the kind."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status


def check(code: int, error: ErrorInfo) -> None:
    if code:
        raise Error(Status(code), error.message.decode(errors="replace"))


@dataclasses.dataclass(frozen=True)
class ModelInfo:
    architecture: str
    name: str
    manifest: str  # JSON: how the file was made
    kernel: str
    kernel_choice: str
    pretokenizer: str
    has_chat_template: bool
    has_unknown_template: bool
    copied: bool
    chat_form: str | None
    layers: int
    dim: int
    ffn_dim: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context_trained: int
    adapters: int
    tensors: int
    parameters: int
    file_bytes: int
    token_bytes: int


@dataclasses.dataclass(frozen=True)
class MemoryPlan:
    """In bytes; `total` is the sum of those before it."""
    weights: int
    tables: int
    kv_cache: int
    scratch: int
    threads: int
    program: int
    total: int
    session_bytes: int
    position_bytes: int
    context: int
    batch: int
    n_threads: int
    window_positions: int


@dataclasses.dataclass(frozen=True)
class Forecast:
    """In seconds. `tokens`: so many of the answer fit into the time given; `admitted`: it is enough to begin."""
    first: float
    answer: float
    margin: float
    tokens: int
    admitted: bool


@dataclasses.dataclass(frozen=True)
class Sampler:
    """How the next token is chosen: docs/SAMPLING.md. The defaults are the library's."""
    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    repeat_penalty: float = 1.1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repeat_last: int = 64
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last: int = -1
    dry_breakers: Sequence[str] = ("\n", ":", '"', "*")
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    logit_bias: Mapping[int, float] = dataclasses.field(default_factory=dict)
    seed: int = 0


def version() -> str:
    """Of the library."""
    text: bytes = library.edgellm_version()
    return text.decode()
