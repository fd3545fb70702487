"""Small vocabularies whose added tokens have flags (`rstrip`, `lstrip`, `single_word`, `normalized`), and
texts full of white space around them, judged by Hugging Face's `tokenizers`: what tools/added_vectors.py
and tools/conformance_added.py work with."""
import random

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from conformance_tokens import BYTE_TO_CHAR, CONTROL, NORMAL, PRETOKENIZERS, USER

RSTRIP, LSTRIP, SINGLE_WORD, NORMALIZED = 1, 2, 4, 8
NEVER, UNLESS, UNLESS_ONCE, EACH = 0, 2, 3, 4  # where a space is put before a text
SPACE = "\u2581"
WHITE = [" ", " ", " ", "  ", "\n", "\n\n", "\t", "\r\n", "\u00a0", "\u3000", "\u2003", "\u0085", "\u2028"]
BESIDE = [*"ab.a9_", "\u00e9", "\u0301", "\u4e16", "\u00b2", "\u24b6", "\u200d", "\u203f", "\x1c", "\u200b"]
# name, special, flags: every flag alone, and those that real models have together
FEW = [("<|end|>", True, RSTRIP), ("<|user|>", True, RSTRIP | LSTRIP), ("</s>", False, RSTRIP),
       ("<mask>", True, LSTRIP), ("<|plain|>", True, 0)]
WORDS = [("abba", False, SINGLE_WORD), ("<w>", True, SINGLE_WORD | RSTRIP), ("ab", False, SINGLE_WORD | LSTRIP),
         ("<|end|>", True, RSTRIP), ("\n\n", False, 0), ("a.b", False, 0)]
LATER = [("<|n|>", True, NORMALIZED), ("a.a", False, NORMALIZED | SINGLE_WORD), ("<|end|>", True, RSTRIP),
         ("<t>", False, 0), (".a", False, NORMALIZED), ("</s>", False, RSTRIP | LSTRIP)]
STRIPPED = LATER + [("<n>", False, NORMALIZED | RSTRIP | LSTRIP), ("\n ", False, NORMALIZED)]
LETTERS = sorted(set("".join(WHITE + BESIDE + [name for name, _, _ in FEW + WORDS + STRIPPED])) - {" "})
KINDS = {  # pre-tokenizer, where a space is put, added tokens
    "bytes": ("gpt2", NEVER, FEW), "bytes, words": ("llama3", NEVER, WORDS),
    "bytes, normalized": ("gpt2", NEVER, STRIPPED), "bytes, NFC": ("qwen2", NEVER, LATER),
    "pieces": ("spm", NEVER, FEW), "pieces, words": ("spm", NEVER, WORDS),
    "pieces, prepended": ("spm", EACH, FEW), "pieces, prepended, normalized": ("spm", EACH, LATER),
    "pieces, first": ("spm", UNLESS_ONCE, STRIPPED), "pieces, always": ("spm", UNLESS, WORDS + STRIPPED[:2]),
}


NFC = ("bytes, NFC",)  # kinds of which a text is normalised
MARKS = ["\u0301", "\u0323", "\u0327", "\u0345", "\u0334", "\u3099", "\u05b8", "\u0f74", "\u0308", "\u20d0", "\U0001d165",
         "\u0300\u0316\u0301", "\u09be", "\u1161", "\u11a8"]
BASES = ["a", "e", "\u00fc", "\u1100", "\uac00", "\uac01", "\u304b", "\u212b", "\u0958", "\u09c7", "\ufb1d", "\u0344", "\u1e69",
         "\u0f71", "\U0001d15e", "\u2126", "\uf900", "\u01d5"]


class Added:
    """One vocabulary: `tokens` as they stand in a GGUF file, `types`, `flags`, `merges`, of pieces
    `scores`; and the tokenizer that judges."""

    def __init__(self, kind):
        self.pretokenizer, self.space_first, rows = KINDS[kind]
        self.pieces, self.nfc = self.pretokenizer == "spm", kind in NFC
        space = SPACE if self.pieces else BYTE_TO_CHAR[32]
        base = [SPACE, *LETTERS] if self.pieces else list(BYTE_TO_CHAR.values())
        self.merges = [(space, "a"), ("a", "b"), (space, space), ("b", "a")]
        made = [left + right for left, right in self.merges]
        self.names = [name for name, _, _ in rows]
        normal = [t for t in base + made if t not in self.names]
        self.merges = [pair for pair in self.merges if "".join(pair) in normal]
        self.tokens = normal + self.names
        self.types = [NORMAL] * len(normal) + [CONTROL if special else USER for _, special, _ in rows]
        self.flags = [0] * len(normal) + [flags for _, _, flags in rows]
        self.scores = [-float(made.index(t)) if t in made else -100.0 for t in self.tokens]
        self.judge = self.tokenizer(rows)

    def tokenizer(self, rows):
        judge = Tokenizer(models.BPE({t: i for i, t in enumerate(self.tokens)}, self.merges,
                                     ignore_merges=self.pretokenizer == "llama3"))
        replace = normalizers.Replace(" ", SPACE)
        if self.nfc:
            judge.normalizer = normalizers.NFC()
        if not self.pieces:
            judge.pre_tokenizer = PRETOKENIZERS[self.pretokenizer]()
        elif self.space_first == EACH:
            judge.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), replace])
        elif self.space_first == NEVER:
            judge.normalizer = replace
        else:
            scheme = "first" if self.space_first == UNLESS_ONCE else "always"
            judge.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
        for name, special, flags in rows:
            judge.add_tokens([AddedToken(
                name, special=special, rstrip=bool(flags & RSTRIP), lstrip=bool(flags & LSTRIP),
                single_word=bool(flags & SINGLE_WORD), normalized=bool(flags & NORMALIZED))])
        return judge

    def expect(self, texts, special):
        self.judge.encode_special_tokens = not special
        return [e.ids for e in self.judge.encode_batch(texts, add_special_tokens=False)]

    def texts(self, count, seed):
        """White space, names, letters and parts of names in random order."""
        r = random.Random(seed)
        parts = [name[:r.randint(1, len(name))] for name in self.names]
        pools = [WHITE, WHITE, self.names, self.names, self.names, BESIDE, parts]
        pools += [BASES, MARKS, BASES, MARKS, MARKS, MARKS] if self.nfc else []
        return ["".join(r.choice(r.choice(pools)) for _ in range(r.randint(1, 9))) for _ in range(count)]
