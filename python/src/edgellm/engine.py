"""A model file, opened: text, tokens, and sessions on it."""
from __future__ import annotations

import ctypes
import os
from ctypes import byref
from types import TracebackType
from typing import Any, Callable, Mapping, Sequence

from ._library import (EngineOptions, ErrorInfo, MemoryPlanStruct, MessageStruct, ModelInfoStruct, SessionOptions, ids,
                       library, values)
from ._values import MemoryPlan, ModelInfo, check
from .session import Session

SPECIAL, BOS = 1, 4                # edgellm_tokenize_flags
OPEN_ANSWER, CONTINUE = 1, 2       # edgellm_chat_flags
SESSION_OPTIONS = ("context", "batch", "threads", "reserve_cores", "kv_bits", "exact", "realtime", "constant_time", "grammar",
                   "max_ram")
Message = Mapping[str, str]        # {"role": "user", "content": "..."}


def _text(value: str | None) -> bytes | None:
    return None if value is None else value.encode()


def session_options(options: Mapping[str, Any]) -> SessionOptions:
    unknown = set(options) - set(SESSION_OPTIONS)
    if unknown:
        raise TypeError(f"no option of a session: {', '.join(sorted(unknown))}; there are {', '.join(SESSION_OPTIONS)}")
    return SessionOptions(**options)


def plan(path: str | os.PathLike[str], **options: Any) -> MemoryPlan:
    """Every byte that a session on this file will need, without loading its weights."""
    found, error = MemoryPlanStruct(), ErrorInfo()
    given = session_options(options)
    check(library.edgellm_plan(os.fsencode(path), byref(given), byref(found), byref(error)), error)
    return MemoryPlan(**values(found))


def _counted(ask: Callable[[Any, int, Any], None]) -> list[int]:
    """Asked twice: how many tokens, then which."""
    count = ctypes.c_size_t()
    ask(None, 0, byref(count))
    tokens = (ctypes.c_uint32 * count.value)()
    ask(tokens, count.value, byref(count))
    return list(tokens)


class Grammar:
    """What answers keep to: docs/GRAMMAR.md. Made by Engine.grammar(); the engine must outlive it."""

    def __init__(self, engine: Engine, text: str) -> None:
        self._engine = engine  # kept alive
        self.handle = ctypes.c_void_p()
        error, given = ErrorInfo(), text.encode()
        check(library.edgellm_grammar_create(engine.handle, given, len(given), byref(self.handle), byref(error)), error)

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            library.edgellm_grammar_destroy(self.handle)


class Engine:
    """A TM2 file. May be used by several threads at once; sessions keep it alive.

        with Engine("model.tm2.bin") as engine, engine.session(context=512) as session:
            for text in session.chat([{"role": "user", "content": "Why is the sky blue?"}]):
                print(text, end="", flush=True)
    """

    def __init__(self, path: str | os.PathLike[str], *, kernel: str | None = None, cpumask: str | None = None,
                 kernel_cache: str | None = None, verify: bool = False, copy: bool = False,
                 grammars: bool = False, chat_form: str | None = None) -> None:
        self.handle = ctypes.c_void_p()
        options = EngineOptions(_text(kernel), _text(cpumask), _text(kernel_cache), verify, copy,
                                grammars, _text(chat_form))
        error = ErrorInfo()
        check(library.edgellm_engine_open(os.fsencode(path), byref(options), byref(self.handle), byref(error)), error)
        self._sessions = 0
        self._closing = False

    # ---- life

    def close(self) -> None:
        """At once, or when the last session on it is closed."""
        self._closing = True
        if self._sessions == 0 and self.handle:
            library.edgellm_engine_close(self.handle)
            self.handle = ctypes.c_void_p()

    def session_opened(self) -> None:
        self._sessions += 1

    def session_closed(self) -> None:
        self._sessions -= 1
        if self._closing:
            self.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self.close()

    def open_handle(self) -> ctypes.c_void_p:
        if not self.handle or self._closing:
            raise ValueError("the engine is closed")
        return self.handle

    # ---- what it is

    @property
    def info(self) -> ModelInfo:
        found = ModelInfoStruct()
        library.edgellm_engine_info(self.open_handle(), byref(found))
        told = values(found)
        del told["identity"]
        return ModelInfo(**told)

    # ---- text and tokens

    def tokenize(self, text: str | bytes, *, special: bool = False, bos: bool = False) -> list[int]:
        """special: the names of special tokens become those tokens; bos: the text begins a sequence."""
        given = text.encode() if isinstance(text, str) else text
        flags, handle = (SPECIAL if special else 0) | (BOS if bos else 0), self.open_handle()

        def ask(room: Any, capacity: int, count: Any) -> None:
            error = ErrorInfo()
            check(library.edgellm_tokenize(handle, given, len(given), flags, room, capacity, count, byref(error)), error)
        return _counted(ask)

    def detokenize(self, tokens: Sequence[int], *, special: bool = False) -> bytes:
        """Bytes: the end of the last character may be missing."""
        given, length, error = ids(tokens), ctypes.c_size_t(), ErrorInfo()
        handle = self.open_handle()
        check(library.edgellm_detokenize(handle, given, len(given), special, None, 0, byref(length), byref(error)), error)
        room = ctypes.create_string_buffer(length.value or 1)
        check(library.edgellm_detokenize(handle, given, len(given), special, room, length.value, byref(length),
                                         byref(error)), error)
        return room.raw[:length.value]

    def chat_prompt(self, messages: Sequence[Message], *, open_answer: bool = True, follows: bool = False) -> list[int]:
        """A conversation as the model's template lays it out. follows: these messages come after an answer."""
        given = (MessageStruct * len(messages))(*[MessageStruct(m["role"].encode(), m["content"].encode())
                                                   for m in messages])
        flags, handle = (OPEN_ANSWER if open_answer else 0) | (CONTINUE if follows else 0), self.open_handle()

        def ask(room: Any, capacity: int, count: Any) -> None:
            error = ErrorInfo()
            check(library.edgellm_chat_prompt(handle, given, len(given), flags, room, capacity, count, byref(error)), error)
        return _counted(ask)

    def is_end(self, token: int) -> bool:
        """Does this token end an answer?"""
        return bool(library.edgellm_is_end(self.open_handle(), token))

    def grammar(self, text: str) -> Grammar:
        """GBNF, compiled. The engine was opened with grammars=True."""
        self.open_handle()
        return Grammar(self, text)

    # ---- sessions

    def session(self, **options: Any) -> Session:
        """A conversation of its own. Options: context, batch, threads, reserve_cores, kv_bits, exact, realtime, constant_time,
        grammar, max_ram; edgellm.h says what they mean, 0 is the default."""
        return Session(self, session_options(options))
