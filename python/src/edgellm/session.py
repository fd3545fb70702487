"""One conversation: KV cache, sampler, worker threads. One owner: calls on a session must not overlap."""
from __future__ import annotations

import array
import codecs
import ctypes
import os
import time
from ctypes import byref
from types import TracebackType
from typing import TYPE_CHECKING, Iterator, Sequence

from ._library import (STREAM_BYTES, CostsStruct, ErrorInfo, ForecastStruct, LogitBiasStruct, MemoryPlanStruct,
                       SamplerOptions, SessionOptions, StreamStruct, ids, library, values)
from ._values import Error, Forecast, MemoryPlan, Sampler, Status, check

if TYPE_CHECKING:
    from .engine import Engine, Grammar, Message

HASH_START = 14695981039346656037


def _sampler_options(sampler: Sampler) -> SamplerOptions:
    options = SamplerOptions()
    for name in values(options):
        if name not in ("dry_breakers", "n_dry_breakers", "logit_bias", "n_logit_bias"):
            setattr(options, name, getattr(sampler, name))
    breakers = (ctypes.c_char_p * len(sampler.dry_breakers))(*[text.encode() for text in sampler.dry_breakers])
    biases = (LogitBiasStruct * len(sampler.logit_bias))(*[LogitBiasStruct(*item) for item in sampler.logit_bias.items()])
    options.dry_breakers = ctypes.cast(breakers, type(options.dry_breakers))
    options.logit_bias = ctypes.cast(biases, type(options.logit_bias))
    options.n_dry_breakers, options.n_logit_bias = len(breakers), len(biases)
    return options


class Session:
    """Made by Engine.session()."""

    def __init__(self, engine: Engine, options: SessionOptions) -> None:
        self.handle = ctypes.c_void_p()
        self._engine = engine
        self._grammar: Grammar | None = None
        error = ErrorInfo()
        check(library.edgellm_session_open(engine.open_handle(), byref(options), byref(self.handle), byref(error)), error)
        engine.session_opened()
        self._vocab = engine.info.vocab

    # ---- life

    def close(self) -> None:
        if self.handle:
            library.edgellm_session_close(self.handle)
            self.handle = ctypes.c_void_p()
            self._engine.session_closed()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self.close()

    def _open(self) -> ctypes.c_void_p:
        if not self.handle:
            raise ValueError("the session is closed")
        return self.handle

    # ---- computing

    def eval(self, tokens: Sequence[int]) -> None:
        """Appends tokens and computes them."""
        given, error = ids(tokens), ErrorInfo()
        check(library.edgellm_session_eval(self._open(), given, len(given), None, byref(error)), error)

    def choose(self) -> int:
        """The next token, by the logits; it is not appended."""
        token, error = ctypes.c_uint32(), ErrorInfo()
        check(library.edgellm_session_choose(self._open(), byref(token), byref(error)), error)
        return token.value

    @property
    def logits(self) -> array.array[float]:
        """A copy of those (vocab) after the last token computed."""
        found = array.array("f")
        found.frombytes(ctypes.string_at(library.edgellm_session_logits(self._open()), self._vocab * 4))
        return found

    def hash_logits(self, before: int = HASH_START) -> int:
        """Equal on two machines: equal logits, bit for bit. before: the hash so far."""
        return int(library.edgellm_hash_logits(before, library.edgellm_session_logits(self._open()), self._vocab))

    @property
    def position(self) -> int:
        """Tokens in the KV cache."""
        return int(library.edgellm_session_position(self._open()))

    @property
    def tokens(self) -> list[int]:
        return list(library.edgellm_session_tokens(self._open())[:self.position])

    @property
    def memory(self) -> MemoryPlan:
        """As planned, the defaults of the options filled in."""
        found = MemoryPlanStruct()
        library.edgellm_session_plan(self._open(), byref(found))
        return MemoryPlan(**values(found))

    def truncate(self, position: int) -> None:
        """Forgets all tokens from there on."""
        error = ErrorInfo()
        check(library.edgellm_session_truncate(self._open(), position, byref(error)), error)

    def shift(self, keep: int = 4) -> int:
        """Makes room: the first tokens stay, of the others the older half is dropped, and what stays is computed
        anew, as if only these had been computed. How many were dropped."""
        error, dropped = ErrorInfo(), ctypes.c_uint32()
        check(library.edgellm_session_shift(self._open(), keep, byref(dropped), byref(error)), error)
        return dropped.value

    # ---- choosing

    def set_sampler(self, sampler: Sampler) -> None:
        """And begins its draws anew."""
        options, error = _sampler_options(sampler), ErrorInfo()
        check(library.edgellm_session_set_sampler(self._open(), byref(options), byref(error)), error)

    def set_grammar(self, grammar: Grammar | None, max_tokens: int = 0) -> None:
        """An answer begins that keeps to the grammar and ends within max_tokens. The session was opened with
        grammar=True, the engine with grammars=True."""
        error = ErrorInfo()
        check(library.edgellm_session_set_grammar(self._open(), grammar.handle if grammar else None, max_tokens,
                                                  byref(error)), error)
        self._grammar = grammar  # kept alive

    # ---- time

    def calibrate(self, seconds: float = 0.5) -> None:
        """Measures what steps and prompts take here; forecasts and deadlines go by that."""
        costs, error = CostsStruct(), ErrorInfo()
        check(library.edgellm_session_calibrate(self._open(), int(seconds * 1e9), byref(costs), byref(error)), error)
        check(library.edgellm_session_set_costs(self._open(), byref(costs), byref(error)), error)

    def forecast(self, prompt_tokens: int, answer_tokens: int, within: float = 0) -> Forecast:
        """What an answer will take, and how much of it fits into `within` seconds. After calibrate()."""
        found, error = ForecastStruct(), ErrorInfo()
        check(library.edgellm_session_forecast(self._open(), prompt_tokens, answer_tokens, within * 1e9, byref(found),
                                               byref(error)), error)
        return Forecast(found.first_ns * 1e-9, found.answer_ns * 1e-9, found.margin_ns * 1e-9, found.tokens, found.admitted)

    def set_deadline(self, seconds: float | None) -> None:
        """From now; None: no deadline. eval() begins nothing that would end later: Error with Status.DEADLINE."""
        at = 0 if seconds is None else time.clock_gettime_ns(time.CLOCK_MONOTONIC) + int(seconds * 1e9)
        library.edgellm_session_set_deadline(self._open(), at)

    # ---- answers

    def generate(self, tokens: Sequence[int], max_tokens: int = 256) -> Iterator[str]:
        """Computes the tokens and gives the answer's text, whole characters at a time, until it ends, has max_tokens,
        the context is full, or a deadline would pass."""
        stream, room = StreamStruct(), ctypes.create_string_buffer(STREAM_BYTES)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.eval(tokens)
        for made in range(1, max_tokens + 1):
            token = self.choose()
            if self._engine.is_end(token):
                break
            length = library.edgellm_stream_push(self._engine.handle, byref(stream), token, room)
            text = decoder.decode(room.raw[:length])
            if text:
                yield text
            if made == max_tokens or not self._goes_on(token):
                break
        length = library.edgellm_stream_flush(byref(stream), room)
        text = decoder.decode(room.raw[:length], True)
        if text:
            yield text

    def _goes_on(self, token: int) -> bool:
        try:
            self.eval([token])
        except Error as error:
            if error.status in (Status.CONTEXT, Status.DEADLINE):
                return False
            raise
        return True

    def chat(self, messages: Sequence[Message], max_tokens: int = 256) -> Iterator[str]:
        """The answer to a conversation. What the session holds is the beginning of it that was computed before; the
        first call begins, each further one goes on: give it the messages that are new."""
        follows = self.position > 0
        return self.generate(self._engine.chat_prompt(messages, follows=follows), max_tokens)

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> None:
        """The whole state: docs/SESSION.md."""
        error = ErrorInfo()
        check(library.edgellm_session_save(self._open(), os.fsencode(path), None, 0, byref(error)), error)

    def load(self, path: str | os.PathLike[str]) -> None:
        """What follows is, bit for bit, what would have followed where it was saved."""
        error = ErrorInfo()
        check(library.edgellm_session_load(self._open(), os.fsencode(path), byref(error)), error)
