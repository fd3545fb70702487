"""Vocabularies of pieces with scores, trained by the sentencepiece package on texts that
token_texts.py makes: what tools/pieces_vectors.py and tools/conformance_pieces.py judge by."""
import io
import random
import struct

import sentencepiece

import token_texts

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # types of tokens, as in GGUF
CONTROLS = ["<start_of_turn>", "<end_of_turn>"]
USERS = ["\n\n", "\u2581\u2581", "\u2581\u2581\u2581", "<table>", "<tab"]
SPACE = "\u2581"


def texts_to_learn(count=6000):
    r = random.Random(1)
    makers = [token_texts.prose, token_texts.prose, token_texts.code, token_texts.numbers]
    return [makers[i % 4](r) for i in range(count)]


class Pieces:
    """One trained vocabulary. `prefix`: a space is put before a text; `fallback`: what is no piece
    becomes bytes, else the unknown token; `kind`: bpe or unigram. A unigram model of sentencepiece
    may cut a user's symbol, which other programs and EdgeLLM always match whole: it has none here.
    """

    def __init__(self, size, prefix, fallback, kind="bpe", controls=CONTROLS, users=USERS):
        model = io.BytesIO()
        self.kind, self.controls = kind, controls
        self.users = users if kind == "bpe" else []
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts_to_learn()), model_writer=model, model_type=kind,
            vocab_size=size, byte_fallback=fallback, add_dummy_prefix=prefix,
            normalization_rule_name="identity", remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True, character_coverage=0.999, split_digits=True,
            pad_id=0, eos_id=1, bos_id=2, unk_id=3, control_symbols=controls,
            user_defined_symbols=self.users, num_threads=1, minloglevel=2)
        self.prefix = prefix
        self.made = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        count = self.made.get_piece_size()
        self.names = [self.made.id_to_piece(i) for i in range(count)]
        self.scores = [self.made.get_score(i) for i in range(count)]
        self.types = [self.type_of(i) for i in range(count)]

    def type_of(self, i):
        for kind, is_kind in ((CONTROL, self.made.is_control), (UNKNOWN, self.made.is_unknown),
                              (BYTE, self.made.is_byte), (UNUSED, self.made.is_unused)):
            if is_kind(i):
                return kind
        return USER if self.names[i] in self.users else NORMAL

    def raw(self, i):
        if self.types[i] == BYTE:
            return bytes([int(self.names[i][3:5], 16)])
        text = self.names[i]
        return (text.replace(SPACE, " ") if self.types[i] in (NORMAL, USER) else text).encode()

    def ranks(self):
        """As the engine keeps them: 0 for the best score of normal pieces, equal for equal ones; of
        a unigram model the scores' bits."""
        if self.kind == "unigram":
            return [struct.unpack("<I", struct.pack("<f", s))[0] for s in self.scores]
        normal = [i for i, kind in enumerate(self.types) if kind == NORMAL]
        order = {s: r for r, s in enumerate(sorted({self.scores[i] for i in normal}, reverse=True))}
        return [order[s] if kind == NORMAL else 0 for s, kind in zip(self.scores, self.types)]

    def encode(self, text):
        return self.made.encode(text)
