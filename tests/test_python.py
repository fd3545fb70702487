#!/usr/bin/env python3
"""The Python package over the library: its structures are those of the header, its answers those of `edgellm run`, its
errors the library's.

    python3 tests/test_python.py EDGELLM MAKE_TINY LIBRARY C_COMPILER OUT_DIR

LIBRARY: libedgellm.so, or the word installed: the package is the interpreter's, with its own. Standard library only.
"""
import ctypes
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import unittest

EDGELLM, MAKE_TINY, CC = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[4]
OUT = pathlib.Path(sys.argv[5]).absolute()
ROOT = pathlib.Path(__file__).resolve().parents[1]
os.environ["EDGELLM_CACHE"] = "none"
sys.dont_write_bytecode = True
if sys.argv[3] != "installed":
    os.environ["EDGELLM_LIBRARY"] = os.path.abspath(sys.argv[3])
    sys.path.insert(0, str(ROOT / "python" / "src"))
import edgellm  # noqa: E402
from edgellm import _library  # noqa: E402

MODEL = OUT / "tiny.tm2.bin"
PROMPTS = ("the quick brown fox", "Grüße, 世界! 🙂")
GREEDY = edgellm.Sampler(temperature=0, repeat_penalty=1)


def setUpModule():
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    subprocess.run([MAKE_TINY, OUT / "tiny.gguf"], check=True)
    subprocess.run([EDGELLM, "quantize", OUT / "tiny.gguf", "-o", MODEL, "--quiet"], check=True)


def said(prompt, *options):
    """What the program answers, without the line end that it adds."""
    done = subprocess.run([EDGELLM, "run", MODEL, "-p", prompt, "--quiet", *options], capture_output=True, check=True)
    return done.stdout.decode(errors="replace").removesuffix("\n")


STRUCTURES = {
    "edgellm_error": _library.ErrorInfo, "edgellm_engine_options": _library.EngineOptions,
    "edgellm_model_info": _library.ModelInfoStruct, "edgellm_message": _library.MessageStruct,
    "edgellm_stream": _library.StreamStruct, "edgellm_session_options": _library.SessionOptions,
    "edgellm_memory_plan": _library.MemoryPlanStruct, "edgellm_costs": _library.CostsStruct,
    "edgellm_forecast": _library.ForecastStruct, "edgellm_logit_bias": _library.LogitBiasStruct,
    "edgellm_sampler_options": _library.SamplerOptions,
}


def places(kind):
    """(field, where it begins, its bytes) as ctypes lays a structure out; `pass` is a word of Python's."""
    return [(name.rstrip("_"), getattr(kind, name).offset, getattr(kind, name).size) for name, _ in kind._fields_]


class Declarations(unittest.TestCase):
    def test_structures(self):
        lines = []
        for name, kind in STRUCTURES.items():
            lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
            lines += [f'printf("{name} {field} %zu %zu\\n", offsetof({name}, {field}), sizeof((({name} *)0)->{field}));'
                      for field, _, _ in places(kind)]
        source, program = OUT / "layout.c", OUT / "layout"
        source.write_text("#include <edgellm.h>\n#include <stdio.h>\nint main(void) {\n" + "\n".join(lines) + "\n}\n")
        subprocess.run([CC, f"-I{ROOT}/include", source, "-o", program], check=True)
        told = subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()
        ours = []
        for name, kind in STRUCTURES.items():
            ours.append(f"{name} {ctypes.sizeof(kind)}")
            ours += [f"{name} {field} {offset} {size}" for field, offset, size in places(kind)]
        self.assertEqual(told, ours)

    def test_constants(self):
        header = (ROOT / "include" / "edgellm.h").read_text()
        self.assertIn(f"#define EDGELLM_STREAM_BYTES {_library.STREAM_BYTES} ", header)
        self.assertIn(f"#define EDGELLM_HASH_START {edgellm.session.HASH_START}ULL", header)
        for status in edgellm.Status:
            self.assertRegex(header, rf"EDGELLM_ERR_{status.name} = {status.value}\b")
            self.assertEqual(_library.library.edgellm_status_name(status).decode(), status.name.lower())

    def test_defaults(self):
        """Those of the sampler are the library's."""
        theirs = _library.library.edgellm_sampler_defaults()
        ours = edgellm.session._sampler_options(edgellm.Sampler())
        for name, _ in theirs._fields_:
            if name not in ("dry_breakers", "logit_bias"):
                self.assertEqual(getattr(ours, name), getattr(theirs, name), name)
        for i in range(theirs.n_dry_breakers):
            self.assertEqual(ours.dry_breakers[i], theirs.dry_breakers[i])


class Answers(unittest.TestCase):
    def setUp(self):
        self.engine = edgellm.Engine(MODEL, grammars=True)
        self.addCleanup(self.engine.close)

    def session(self, **options):
        session = self.engine.session(threads=1, **options)
        self.addCleanup(session.close)
        session.set_sampler(GREEDY)
        return session

    def chat(self, session, prompt, tokens=24):
        return "".join(session.chat([{"role": "user", "content": prompt}], tokens))

    def test_those_of_the_program(self):
        for prompt in PROMPTS:
            want = said(prompt, "-n", "24", "-t", "0", "--repeat-penalty", "1")
            self.assertEqual(self.chat(self.session(), prompt), want)
            drawn = self.session()
            drawn.set_sampler(edgellm.Sampler(temperature=1.5, seed=7))
            self.assertEqual(self.chat(drawn, prompt), said(prompt, "-n", "24", "-t", "1.5", "-s", "7"))

    def test_information(self):
        info = self.engine.info
        self.assertEqual((info.architecture, info.layers > 0, info.vocab > 0), ("llama", True, True))
        self.assertEqual(info.file_bytes, MODEL.stat().st_size)
        self.assertEqual((info.chat_form, info.has_unknown_template), ("chatml", False))
        with edgellm.Engine(MODEL, chat_form="zephyr") as other:
            self.assertEqual(other.info.chat_form, "zephyr")
        plan = edgellm.plan(MODEL, context=64, threads=1)
        self.assertEqual(plan.total, plan.weights + plan.tables + plan.kv_cache + plan.scratch + plan.threads + plan.program)
        self.assertEqual(self.session(context=64).memory.session_bytes, plan.session_bytes)
        self.assertEqual(edgellm.version(), "0.1.0")

    def test_text_and_back(self):
        for text in (*PROMPTS, "", "\0 a\n"):
            self.assertEqual(self.engine.detokenize(self.engine.tokenize(text)), text.encode())
        ends = [t for t in range(self.engine.info.vocab) if self.engine.is_end(t)]
        self.assertTrue(ends)
        name = self.engine.detokenize(ends[:1], special=True)
        self.assertEqual(self.engine.tokenize(name, special=True), ends[:1])
        self.assertNotEqual(self.engine.tokenize(name), ends[:1])

    def test_bits(self):
        tokens = self.engine.tokenize(PROMPTS[0])
        whole, steps = self.session(), self.session(batch=1)
        whole.eval(tokens)
        for token in tokens:
            steps.eval([token])
        self.assertEqual((whole.hash_logits(), whole.tokens), (steps.hash_logits(), tokens))
        logits = whole.logits
        self.assertEqual(len(logits), self.engine.info.vocab)
        self.assertEqual(whole.choose(), max(range(len(logits)), key=logits.__getitem__))
        whole.truncate(1)
        self.assertEqual(whole.position, 1)
        whole.eval(tokens[1:])
        self.assertEqual(whole.hash_logits(), steps.hash_logits())

    def test_shift(self):
        tokens = self.engine.tokenize(PROMPTS[0])
        shifted, fresh = self.session(), self.session()
        shifted.eval(tokens)
        drops = (len(tokens) - 2) // 2
        self.assertEqual(shifted.shift(keep=2), drops)
        fresh.eval(tokens[:2] + tokens[2 + drops:])
        self.assertEqual((shifted.tokens, shifted.hash_logits()), (fresh.tokens, fresh.hash_logits()))
        with self.assertRaises(edgellm.Error):
            shifted.shift(keep=1000)

    def test_saved(self):
        first = self.session()
        self.chat(first, PROMPTS[0])
        first.save(OUT / "saved.els")
        want = self.chat(first, PROMPTS[1])
        second = self.session()
        second.load(OUT / "saved.els")
        self.assertEqual(self.chat(second, PROMPTS[1]), want)

    def test_grammar(self):
        grammar = self.engine.grammar('root ::= "yes" | "no"')
        session = self.session(grammar=True)
        session.set_grammar(grammar, 8)
        del grammar  # the session keeps it
        self.assertIn(self.chat(session, PROMPTS[0], 8), ("yes", "no"))
        with self.assertRaises(edgellm.Error) as wrong:
            self.engine.grammar("root ::= other")
        self.assertEqual(wrong.exception.status, edgellm.Status.FORMAT)

    def test_time(self):
        session = self.session()
        session.calibrate(0.01)
        self.assertEqual(session.position, 0)
        forecast = session.forecast(8, 8, within=1e6)
        self.assertTrue(0 < forecast.first <= forecast.answer and forecast.admitted and forecast.tokens == 8)
        session.set_deadline(-1)
        with self.assertRaises(edgellm.Error) as late:
            session.eval([1])
        self.assertEqual(late.exception.status, edgellm.Status.DEADLINE)
        session.set_deadline(None)
        session.eval([1])

    def test_a_full_context_ends_an_answer(self):
        session = self.session(context=40)
        session.set_sampler(edgellm.Sampler(temperature=5, top_k=0, top_p=1, min_p=0, seed=1, logit_bias={
            t: float("-inf") for t in range(self.engine.info.vocab) if self.engine.is_end(t)}))
        list(session.generate([1, 2, 3], 1000))
        self.assertEqual(session.position, 40)

    def test_threads(self):
        """Two sessions of one engine at once; the interpreter's lock is not held meanwhile."""
        want = [self.chat(self.session(), prompt) for prompt in PROMPTS]
        got = [None, None]

        def answer(i):
            got[i] = self.chat(self.session(), PROMPTS[i])
        threads = [threading.Thread(target=answer, args=(i,)) for i in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(got, want)


class Ends(unittest.TestCase):
    def test_errors(self):
        for status, call in ((edgellm.Status.IO, lambda: edgellm.Engine(OUT / "none")),
                             (edgellm.Status.FORMAT, lambda: edgellm.Engine(OUT / "tiny.gguf")),
                             (edgellm.Status.USAGE, lambda: edgellm.Engine(MODEL, kernel="none")),
                             (edgellm.Status.MEMORY, lambda: edgellm.plan(MODEL, max_ram=1000))):
            with self.assertRaises(edgellm.Error) as caught:
                call()
            self.assertEqual(caught.exception.status, status)
            self.assertGreater(len(str(caught.exception)), 10)
        with edgellm.Engine(MODEL) as engine, engine.session(threads=1, context=16) as session:
            with self.assertRaises(edgellm.Error) as caught:
                session.eval([1] * 17)
            self.assertEqual((caught.exception.status, session.position), (edgellm.Status.CONTEXT, 0))
            with self.assertRaises(TypeError):
                engine.session(contxt=16)

    def test_what_is_closed_is_not_used(self):
        engine = edgellm.Engine(MODEL)
        session = engine.session(threads=1)
        engine.close()  # its session still works
        session.eval([1])
        with self.assertRaises(ValueError):
            engine.session()
        session.close()
        session.close()
        for call in (lambda: session.eval([1]), lambda: engine.info, lambda: engine.tokenize("a")):
            with self.assertRaises(ValueError):
                call()

    def test_no_library(self):
        done = subprocess.run([sys.executable, "-c", "import edgellm"], capture_output=True, text=True,
                              env={**os.environ, "EDGELLM_LIBRARY": "/none.so", "PYTHONPATH": ":".join(sys.path)})
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("EDGELLM_LIBRARY", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
