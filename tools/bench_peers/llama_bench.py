"""llama.cpp measured by the same request as `edgellm bench`: one JSON object on standard output.

    python llama_bench.py MODEL.gguf [--prompt N] [--tokens N] [--runs N] [--warmup N]
    python llama_bench.py --quantize IN.gguf OUT.gguf        makes a Q4_0 file

One thread, the low-level interface, greedy by argmax; prompts are made as `edgellm bench` makes
them. first_token_ms is the time from before the model is loaded, in a process that has imported
everything, to the first token of the prompt's first run: Python's own start is left out.
"""
import argparse
import json
import resource
import statistics
import sys
import time

import llama_cpp
import numpy as np


def ms():
    return time.monotonic() * 1e3


def peak_rss():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def quantize(source, target):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0
    params.allow_requantize = True
    params.nthread = 1
    return llama_cpp.llama_model_quantize(source.encode(), target.encode(), params)


class Session:
    """A model and a context of `length` tokens, one thread."""

    def __init__(self, path, length):
        self.model = llama_cpp.llama_model_load_from_file(
            path.encode(), llama_cpp.llama_model_default_params())
        if not self.model:
            raise RuntimeError(f"{path}: llama.cpp cannot load it")
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = length, 512, 512
        params.n_threads = params.n_threads_batch = 1
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))

    def clear(self):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)

    def eval(self, tokens):
        """Computes tokens; returns the most likely next one."""
        array = (llama_cpp.llama_token * len(tokens))(*tokens)
        if llama_cpp.llama_decode(self.context, llama_cpp.llama_batch_get_one(array, len(tokens))):
            raise RuntimeError("llama_decode failed")
        logits = llama_cpp.llama_get_logits_ith(self.context, -1)
        return int(np.ctypeslib.as_array(logits, (self.vocab,)).argmax())


def synthetic(count, vocab):
    """The prompt of `edgellm bench`."""
    state, prompt = 1, []
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        prompt.append(state * vocab >> 32)
    return prompt


def request(session, prompt, tokens):
    """(ms to the first token, prefill tok/s, decode tok/s)"""
    session.clear()
    start = ms()
    token = session.eval(prompt)
    first = ms()
    for _ in range(tokens):
        token = session.eval([token])
    end = ms()
    return first - start, len(prompt) * 1e3 / (first - start), tokens * 1e3 / (end - first)


def measure(options):
    python_rss = peak_rss()
    start = ms()
    session = Session(options.model, max(256, options.prompt + options.tokens))
    loaded = ms()
    prompt = synthetic(options.prompt, session.vocab)
    first = request(session, prompt, options.tokens)
    results = [first] if options.runs == 0 else []
    for i in range(options.warmup - 1 + options.runs):
        results.append(request(session, prompt, options.tokens))
    results = results[-max(1, options.runs):]
    return {
        "first_token_ms": loaded - start + first[0],
        "prefill_tok_s": statistics.median(r[1] for r in results),
        "decode_tok_s": statistics.median(r[2] for r in results),
        "peak_rss": peak_rss(),
        "python_rss": python_rss,
        "version": llama_cpp.__version__,
    }


def main():
    if sys.argv[1:2] == ["--quantize"]:
        llama_cpp.llama_backend_init()
        return int(quantize(*sys.argv[2:4]) != 0)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--prompt", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--warmup", type=int, default=1)
    options = parser.parse_args()
    llama_cpp.llama_backend_init()
    silence = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silence, None)
    print(json.dumps(measure(options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
