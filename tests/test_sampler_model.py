#!/usr/bin/env python3
"""Every sampler held to an independent model of it, on recorded logits.

    python3 tests/test_sampler_model.py SAMPLE_LOGITS

The model follows the definitions of docs/SAMPLING.md in the plainest way: it sorts the vocabulary,
computes in double precision, looks for repetitions by comparing lists, and has its own generator.
Compared are, for each sampler alone and for combinations: the set of candidates (equal), their
probabilities (1e-5 absolutely, 2e-5 relatively), and the tokens drawn. A draw may differ only if
its uniform number lies within 2e-6 of the boundary between two tokens, where float and double
part; such draws are counted, and more than 1 in 200 is a failure.

The logits are real ones of SmolLM2-135M (tools/record_logits.py), rounded so that many are equal,
and those of the tiny model of tests/data/conformance_tiny.gguf.
"""
import array
import itertools
import math
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv[1]
DATA = pathlib.Path(__file__).resolve().parent / "data"
BOUNDARY = 2e-6
MASK = (1 << 64) - 1
OFF = dict(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, typical_p=1.0, repeat_penalty=1.0,
           presence_penalty=0.0, frequency_penalty=0.0, repeat_last=64, dry_multiplier=0.0,
           dry_base=1.75, dry_allowed_length=2, dry_penalty_last=-1, dry_breakers=(),
           xtc_probability=0.0, xtc_threshold=0.1, mirostat=0, mirostat_tau=5.0, mirostat_eta=0.1,
           logit_bias=(), seed=1)
DEFAULTS = dict(temperature=0.8, top_k=40, top_p=0.95, min_p=0.05, repeat_penalty=1.1)


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


# ---- the model ----------------------------------------------------------------------------------

class Generator:
    """SplitMix64; uniform numbers of 24 bits."""

    def __init__(self, seed):
        self.state = seed

    def uniform(self):
        self.state = (self.state + 0x9e3779b97f4a7c15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xbf58476d1ce4e5b9) & MASK
        z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & MASK
        return ((z ^ (z >> 31)) >> 40) / 2 ** 24


def add_bias(logits, o):
    for token, bias in o["logit_bias"]:
        logits[token] += f32(bias)


def penalize(logits, tokens, o):
    window = tokens[max(0, len(tokens) - o["repeat_last"]):]
    for token in set(window):
        if logits[token] > 0:
            logits[token] /= o["repeat_penalty"]
        else:
            logits[token] *= o["repeat_penalty"]
        logits[token] -= window.count(token) * o["frequency_penalty"] + o["presence_penalty"]


def since_breaker(window, texts, breakers):
    """How many tokens follow the one in which the last breaker ends."""
    joined = b"".join(texts.get(t, b"") for t in window)
    ends = [joined.rfind(b) + len(b) for b in breakers if b in joined]
    if not ends:
        return len(window)
    total = 0
    for i, token in enumerate(window):
        total += len(texts.get(token, b""))
        if total >= max(ends):
            return len(window) - 1 - i
    raise AssertionError("unreachable")


def dry(logits, tokens, texts, o):
    last, allowed = o["dry_penalty_last"], o["dry_allowed_length"]
    if o["dry_multiplier"] == 0 or last == 0:
        return
    window = tokens if last < 0 else tokens[max(0, len(tokens) - last):]
    limit = since_breaker(window, texts, o["dry_breakers"])
    if len(window) <= allowed or limit < allowed:
        return
    longest = {}
    for i in range(1, len(window)):
        n = 0
        while n < i and window[i - 1 - n] == window[-1 - n]:
            n += 1
        n = min(n, limit)
        if n >= allowed:
            longest[window[i]] = max(n, longest.get(window[i], 0))
    for token, n in longest.items():
        if not any(b in texts.get(token, b"") for b in o["dry_breakers"]):
            logits[token] -= o["dry_multiplier"] * o["dry_base"] ** (n - allowed)


def softmax(candidates, temperature=1.0):
    """candidates: (logit, id), the best first."""
    best, exp = candidates[0][0], math.exp
    weights = [exp((logit - best) / temperature) for logit, _ in candidates]
    total = math.fsum(weights)
    return [w / total for w in weights]


def cut_typical(candidates, p):
    if p >= 1:
        return candidates
    probabilities = softmax(candidates)
    surprises = [-math.log(q) if q > 0 else math.inf for q in probabilities]
    entropy = math.fsum(q * s for q, s in zip(probabilities, surprises) if q > 0)
    rows = sorted((abs(s - entropy), c[1], q, c)
                  for s, q, c in zip(surprises, probabilities, candidates))
    kept, total = [], 0.0
    for _, _, q, candidate in rows:
        kept.append(candidate)
        total += q
        if total > p:
            break
    return sorted(kept, key=lambda c: (-c[0], c[1]))


def cut_top_p(candidates, p):
    total = 0.0
    if p < 1:
        for i, q in enumerate(softmax(candidates)):
            total += q
            if total >= p:
                return candidates[:i + 1]
    return candidates


def cut_min_p(candidates, p):
    if p <= 0:
        return candidates
    return [c for c in candidates if math.exp(c[0] - candidates[0][0]) >= p]


def cut_xtc(candidates, threshold):
    n = sum(q >= threshold for q in softmax(candidates))
    return candidates[n - 1:] if n >= 2 else candidates


def mirostat_1(candidates, mu, vocab, temperature):
    best = [logit / temperature for logit, _ in candidates[:100]]
    steps = [(math.log((i + 2) / (i + 1)), best[i] - best[i + 1]) for i in range(len(best) - 1)]
    s = sum(t * b for t, b in steps) / sum(t * t for t, _ in steps)
    e = s - 1
    k = (e * 2 ** mu / (1 - vocab ** -e)) ** (1 / s)
    return candidates[:max(1, int(min(k, vocab)))]


def mirostat_2(candidates, mu, temperature):
    n = sum(q > 0 and -math.log2(q) <= mu for q in softmax(candidates, temperature))
    return candidates[:max(n, 1)]


class Model:
    """The sampler, for one row of logits, a context and options."""

    def __init__(self, logits, tokens, texts, options):
        self.o = {k: f32(v) if isinstance(v, float) else v for k, v in {**OFF, **options}.items()}
        self.vocab, self.mu = len(logits), 2 * self.o["mirostat_tau"]
        self.random, self.known, self.shared = Generator(self.o["seed"]), {}, None
        logits = list(logits)
        add_bias(logits, self.o)
        if self.o["mirostat"] == 0:
            penalize(logits, tokens, self.o)
            dry(logits, tokens, texts, self.o)
        order = sorted(range(len(logits)), key=logits.__getitem__, reverse=True)  # stable
        self.all = [(logits[i], i) for i in order if logits[i] > -math.inf]

    def after_cuts(self):
        o = self.o
        if not self.known:
            c = self.all[:o["top_k"]] if o["top_k"] else self.all
            c = cut_min_p(cut_top_p(cut_typical(c, o["typical_p"]), o["top_p"]), o["min_p"])
            self.known = {False: c, True: cut_xtc(c, o["xtc_threshold"])}
        able = o["xtc_probability"] > 0 and o["xtc_threshold"] <= 0.5 and len(self.known[False]) > 1
        return self.known[able and self.random.uniform() < o["xtc_probability"]]

    def candidates(self):
        """What the next draw is from; takes XTC's chance."""
        o = self.o
        if o["temperature"] == 0:
            return (self.all if o["mirostat"] else self.after_cuts())[:1]
        if o["mirostat"] == 1:
            return mirostat_1(self.all, self.mu, self.vocab, o["temperature"])
        if o["mirostat"] == 2:
            return mirostat_2(self.all, self.mu, o["temperature"])
        return self.after_cuts()

    def shares(self, candidates):
        """For each token where its share of [0, 1) begins and ends."""
        if self.shared is not candidates:
            ends = list(itertools.accumulate(softmax(candidates, self.o["temperature"])))
            spans = zip([0.0] + ends, ends)
            self.shared, self.spans = candidates, dict(zip((i for _, i in candidates), spans))
        return self.spans

    def draw(self, got):
        """May the next token be `got`? "yes", "boundary" or "no"."""
        candidates = self.candidates()
        if self.o["temperature"] == 0:
            return "yes" if got == candidates[0][1] else "no"
        shares, u = self.shares(candidates), self.random.uniform()
        if got not in shares:
            return "no"
        begin, end = shares[got]
        if self.o["mirostat"]:
            surprise = -math.log2(end - begin) if end > begin else math.inf
            self.mu -= self.o["mirostat_eta"] * (surprise - self.o["mirostat_tau"])
        if begin <= u < end:
            return "yes"
        return "boundary" if begin - BOUNDARY <= u <= end + BOUNDARY else "no"


# ---- the program --------------------------------------------------------------------------------

def request(row, tokens, options, draws):
    words = [f"row={row}", f"draws={draws}", "tokens=" + ",".join(map(str, tokens))]
    for name, value in {**OFF, **options}.items():
        if name == "logit_bias":
            value = ",".join(f"{t}:{b}" for t, b in value)
        elif name == "dry_breakers":
            value = ",".join(b.hex() for b in value)
        words.append(f"{name}={value}")
    return " ".join(words)


def answers(text):
    """(candidates {id: p}, draws, mu) of each request."""
    lines = iter(text.splitlines())
    for line in lines:
        n = int(line.removeprefix("candidates "))
        pairs = (next(lines).split() for _ in range(n))
        candidates = {int(i): float(p) for i, p in pairs}
        draws = [int(word) for word in next(lines).split()[1:]]
        yield candidates, draws, float(next(lines).split()[1])


class Source:
    """Rows of logits, with the context before each; texts: of tokens, by id."""

    def __init__(self, rows, contexts, texts):
        self.rows, self.contexts, self.texts = rows, contexts, texts
        self.vocab = len(rows[0])

    def run(self, cases, draws):
        """cases: (row, context, options)."""
        with tempfile.TemporaryDirectory() as folder:
            logits, texts = pathlib.Path(folder, "logits"), pathlib.Path(folder, "texts")
            logits.write_bytes(b"".join(row.tobytes() for row in self.rows))
            lines = (self.texts.get(i, b"").hex() + "\n" for i in range(self.vocab))
            texts.write_text("".join(lines))
            done = subprocess.run([PROGRAM, logits, str(self.vocab), texts], text=True, check=True,
                                  capture_output=True, timeout=200,
                                  input="\n".join(request(*case, draws) for case in cases) + "\n")
        return list(answers(done.stdout))


def real():
    data = (DATA / "sampler_logits.bin").read_bytes()
    records, vocab = struct.unpack_from("<II", data)
    at, rows, contexts, texts = 8, [], [], {}
    for _ in range(records):
        count, = struct.unpack_from("<I", data, at)
        at += 4
        contexts.append([])
        for _ in range(count):
            token, size = struct.unpack_from("<IB", data, at)
            texts[token] = data[at + 5:at + 5 + size]
            contexts[-1].append(token)
            at += 5 + size
        upper = array.array("H", data[at:at + 2 * vocab])
        rows.append(array.array("f", array.array("I", (h << 16 for h in upper)).tobytes()))
        at += 2 * vocab
    return Source(rows, contexts, texts)


def tiny():
    data = (DATA / "conformance_tiny.bin").read_bytes()
    tokens, vocab = struct.unpack_from("<II", data)
    floats = array.array("f", data[8 + 4 * tokens:8 + 4 * tokens + 4 * tokens * vocab])
    rows = [floats[i * vocab:(i + 1) * vocab] for i in range(tokens)]
    letters = {i: bytes([97 + i % 7, 97 + i % 3])[:1 + i % 2] for i in range(vocab)}
    return Source(rows, [[]] * tokens, letters)


# ---- the comparison -----------------------------------------------------------------------------

class Case(unittest.TestCase):
    def hold(self, source, cases, draws):
        boundary = 0
        for case, (candidates, drawn, mu) in zip(cases, source.run(cases, draws), strict=True):
            row, context, options = case
            model = Model(source.rows[row], context, source.texts, options)
            expected = model.candidates()
            with self.subTest(row=row, **options):
                self.compare(expected, softmax(expected, model.o["temperature"] or 1), candidates)
                model.random = Generator(model.o["seed"])
                verdicts = [model.draw(token) for token in drawn]
                self.assertEqual(len(drawn), draws)
                self.assertNotIn("no", verdicts)
                self.assertAlmostEqual(mu, model.mu, delta=1e-4)
                boundary += verdicts.count("boundary")
        self.assertLessEqual(boundary, len(cases) * draws / 200)

    def compare(self, expected, probabilities, candidates):
        self.assertEqual({token for _, token in expected}, set(candidates))
        off = [(token, candidates[token], p) for (_, token), p in zip(expected, probabilities)
               if abs(candidates[token] - p) > min(1e-5, 2e-5 * p + 1e-30)]
        self.assertEqual(off, [])


BREAKERS = (b"\n", b":", b'"', b"*")
ALONE = [
    dict(temperature=0.0), dict(temperature=0.3), dict(temperature=3.0),
    dict(top_k=1), dict(top_k=2), dict(top_k=40), dict(top_k=1000), dict(top_k=1 << 24),
    dict(top_p=0.1), dict(top_p=0.9), dict(top_p=0.999),
    dict(min_p=0.001), dict(min_p=0.2), dict(min_p=1.0),
    dict(typical_p=0.1), dict(typical_p=0.5), dict(typical_p=0.95),
    dict(xtc_probability=1.0), dict(xtc_probability=0.5),
    dict(xtc_probability=0.5, xtc_threshold=0.01), dict(xtc_probability=1.0, xtc_threshold=0.6),
    dict(mirostat=1), dict(mirostat=1, mirostat_tau=1.0, mirostat_eta=0.5),
    dict(mirostat=1, mirostat_tau=9.0, temperature=2.0),
    dict(mirostat=2), dict(mirostat=2, mirostat_tau=1.0, mirostat_eta=0.5),
    dict(mirostat=2, mirostat_tau=9.0, temperature=2.0),
] + [dict(o, top_k=300) for o in (
    dict(repeat_penalty=1.3), dict(repeat_penalty=0.7, repeat_last=5), dict(presence_penalty=1.5),
    dict(frequency_penalty=-0.7), dict(frequency_penalty=0.9, repeat_last=9),
    dict(dry_multiplier=0.8), dict(dry_multiplier=0.8, dry_breakers=BREAKERS),
    dict(dry_multiplier=2.0, dry_breakers=(b"at on",), dry_base=3.0),
    dict(dry_multiplier=1.0, dry_allowed_length=0),
    dict(dry_multiplier=1.0, dry_allowed_length=5, dry_penalty_last=20),
)]
TOGETHER = [
    DEFAULTS, dict(DEFAULTS, top_k=0), dict(DEFAULTS, temperature=0.0),
    dict(DEFAULTS, dry_multiplier=0.8, dry_breakers=BREAKERS, xtc_probability=0.5, typical_p=0.95,
         presence_penalty=0.3, frequency_penalty=0.2),
    dict(DEFAULTS, top_k=0, xtc_probability=1.0, xtc_threshold=0.02),
    dict(temperature=0.0, typical_p=0.3), dict(temperature=0.0, xtc_probability=1.0),
    dict(DEFAULTS, mirostat=2, dry_multiplier=0.8),
]


class Samplers(Case):
    def test_each_alone_and_together_on_real_logits(self):
        source = real()
        cases = [(i % len(source.rows), source.contexts[i % len(source.rows)], dict(o, seed=i))
                 for i, o in enumerate(ALONE + TOGETHER)]
        self.hold(source, cases, 8)

    def test_bias_and_ban(self):
        source = real()
        best = [Model(row, [], {}, {}).all[:3] for row in source.rows]
        cases = [(row, [], dict(top_k=k, logit_bias=((best[row][0][1], -math.inf), (5, 12.5),
                                                     (best[row][1][1], -2.0), (5, -0.5))))
                 for row, k in ((0, 0), (1, 3), (2, 40))]
        self.hold(source, cases, 10)

    def test_where_the_repetition_ends_a_breaker(self):
        source = real()
        for breakers in (BREAKERS, (b"the dog",), (b" mat: the",), (b"zzz",), ()):
            options = dict(dry_multiplier=3.0, dry_breakers=breakers, top_k=50)
            self.hold(source, [(0, source.contexts[0], options)], 5)

    def test_any_options_on_tiny_logits(self):
        source, draw = tiny(), random.Random(5)
        self.hold(source, [self.random_case(source, draw) for _ in range(300)], 20)

    def random_case(self, source, draw):
        """Each option is off half of the time; contexts repeat themselves."""
        options = dict(
            temperature=draw.choice((0.0, 0.5, 0.8, 1.0, 1.7)), top_k=draw.choice((3, 40, 200)),
            top_p=draw.uniform(0.05, 1), min_p=draw.uniform(0, 0.5),
            typical_p=draw.uniform(0.05, 1),
            repeat_penalty=draw.uniform(0.5, 2), presence_penalty=draw.uniform(-2, 2),
            frequency_penalty=draw.uniform(-1, 1), repeat_last=draw.randrange(100),
            dry_multiplier=draw.uniform(0, 3), dry_base=draw.uniform(1, 3),
            dry_allowed_length=draw.randrange(5), dry_penalty_last=draw.randrange(-1, 90),
            dry_breakers=tuple(draw.choice((b"a", b"cb", b"gag", b"ebf", b"q")) for _ in range(2)),
            xtc_probability=draw.uniform(0, 1), xtc_threshold=draw.uniform(0, 0.6),
            mirostat=draw.choice((0, 0, 1, 2)), mirostat_tau=draw.uniform(0.5, 8),
            mirostat_eta=draw.uniform(0, 1),
            logit_bias=tuple((draw.randrange(source.vocab), draw.choice((-math.inf, 3.0, -1.5)))
                             for _ in range(5)))
        options = {name: value for name, value in options.items() if draw.random() < 0.5}
        few = [draw.randrange(source.vocab) for _ in range(draw.choice((2, 3, 9)))]
        context = [draw.choice(few) for _ in range(draw.randrange(120))]
        return draw.randrange(len(source.rows)), context, dict(options, seed=draw.getrandbits(53))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
