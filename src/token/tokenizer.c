/* tokenizer.c: see tokenizer.h. Text is cut at names, then into pieces, then merged. */
#include "token/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "token/added.h"
#include "token/bpe.h"
#include "token/chars.h"
#include "token/nfc.h"
#include "token/pretoken.h"
#include "token/spm.h"
#include "token/unigram.h"

#define MOST_ENTRIES     (1u << 24) /* tokens, and merges: ids and hashes stay far from 2^32 */
#define MOST_TEXT        0x7FFFFFFFu
#define MOST_TOKEN_BYTES (EDGELLM_STREAM_BYTES - 4) /* a push may add 4 held bytes */

struct el_tokenizer {
    const el_vocab *vocab;
    const el_pretokenizer *pretokenizer; /* NULL: SentencePiece's pieces with scores */
    bool is_unigram;                     /* of those: not its BPE */
    el_bpe bpe;                          /* with a pre-tokenizer */
    el_spm spm;                          /* without */
    el_unigram unigram;                  /* or this */
    uint32_t byte_ids[256]; /* of pieces with scores, the token of each byte, or EL_TOKEN_NONE */
    el_lookup lookup;       /* only with pretokenizer->whole_pieces */
    el_added added[2];      /* without special tokens, and with them */
};

/* ---- init ---- */

static edgellm_status check_vocab(const el_vocab *vocab, edgellm_error *err)
{
    if (vocab->n_tokens == 0 || vocab->n_tokens > MOST_ENTRIES || vocab->n_merges > MOST_ENTRIES)
        return el_fail(err, EDGELLM_ERR_FORMAT, "tokenizer: %u tokens and %u merges, not 1 to %u",
                       vocab->n_tokens, vocab->n_merges, MOST_ENTRIES);
    for (uint32_t id = 0; id < vocab->n_tokens; id++) {
        uint32_t start = vocab->starts[id], end = vocab->starts[id + 1];
        if (end < start)
            return el_fail(err, EDGELLM_ERR_FORMAT, "tokenizer: token %u ends before it starts",
                           id);
        if (end - start > MOST_TOKEN_BYTES && !el_vocab_is_special(vocab, id))
            return el_fail(err, EDGELLM_ERR_FORMAT,
                           "tokenizer: token %u has %u bytes, more than %u", id, end - start,
                           MOST_TOKEN_BYTES);
    }
    return EDGELLM_OK;
}

/* The bytes' lookup lies in the arena if encoding needs it, else in *temporary. */
static edgellm_status build_lookup(el_lookup *lookup, const el_pretokenizer *row,
                                   const el_vocab *vocab, el_arena *arena, uint32_t **temporary,
                                   edgellm_error *err)
{
    uint32_t n_slots = el_lookup_slots(vocab->n_tokens);
    uint32_t *slots;
    if (row->whole_pieces)
        slots = el_arena_take(arena, n_slots, sizeof *slots);
    else
        slots = *temporary = arena->base != NULL ? calloc(n_slots, sizeof *slots) : NULL;
    if (arena->base == NULL) return EDGELLM_OK;
    if (slots == NULL)
        return el_fail(err, EDGELLM_ERR_MEMORY, "tokenizer: no memory for %u slots", n_slots);
    *lookup = el_lookup_build(vocab, slots);
    return EDGELLM_OK;
}

static void build_scored(el_tokenizer *t, el_arena *arena)
{
    if (t->is_unigram)
        el_unigram_build(&t->unigram, t->vocab, arena);
    else
        el_spm_build(&t->spm, t->vocab, arena);
    for (unsigned i = 0; i < 256; i++)
        t->byte_ids[i] = EL_TOKEN_NONE;
    for (uint32_t id = t->vocab->n_tokens; id-- > 0;) { /* of equal ones the lowest id counts */
        size_t len;
        const uint8_t *bytes = el_vocab_bytes(t->vocab, id, &len);
        if (t->vocab->types[id] == EL_TOKEN_BYTE && len == 1) t->byte_ids[bytes[0]] = id;
    }
}

/* The tables for merging. */
static edgellm_status build_merges(el_tokenizer *t, el_arena *arena, edgellm_error *err)
{
    el_lookup lookup = {0};
    uint32_t *temporary = NULL;
    if (!t->pretokenizer) {
        build_scored(t, arena);
        return EDGELLM_OK;
    }
    edgellm_status status =
        build_lookup(&lookup, t->pretokenizer, t->vocab, arena, &temporary, err);
    if (status == EDGELLM_OK) status = el_bpe_build(&t->bpe, t->vocab, &lookup, arena, err);
    free(temporary);
    if (t->pretokenizer->whole_pieces) t->lookup = lookup;
    return status;
}

edgellm_status el_tokenizer_init(el_tokenizer **tokenizer, const el_vocab *vocab, el_arena *arena,
                                 edgellm_error *err)
{
    const el_pretokenizer *row = vocab->ranks ? NULL : el_pretoken_find(vocab->pretokenizer);
    if (row == NULL && vocab->ranks == NULL)
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "tokenizer: unknown pre-tokenizer \"%.40s\"; known are smollm, gpt2, "
                       "llama3, qwen2, tekken, gpt-4o, and spm and unigram (with scores)",
                       vocab->pretokenizer);
    EL_TRY(check_vocab(vocab, err));

    el_tokenizer *t = el_arena_take(arena, 1, sizeof *t);
    el_tokenizer build = {.vocab = vocab, .pretokenizer = row};
    build.is_unigram = row == NULL && el_vocab_is_unigram(vocab);
    for (int special = 0; special < 2; special++)
        el_added_build(&build.added[special], vocab, special, arena);
    edgellm_status status = build_merges(&build, arena, err);
    if (status != EDGELLM_OK || arena->base == NULL) return status;
    *t = build;
    *tokenizer = t;
    return EDGELLM_OK;
}

/* ---- encode ---- */

typedef struct encoding {
    const el_tokenizer *t;
    bool keep; /* bytes without a token */
    uint32_t *tokens;
    size_t capacity, count;
    el_bpe_work work;
    const el_added *added;
    const uint8_t *text;
    uint8_t *own; /* of vocabularies that put a space before a text: `text`, to be changed */
} encoding;

static void put(encoding *e, uint32_t token)
{
    if (e->count < e->capacity) e->tokens[e->count] = token;
    e->count++;
}

static edgellm_status encode_piece(encoding *e, const uint8_t *piece, size_t len,
                                   edgellm_error *err)
{
    const el_tokenizer *t = e->t;
    if (t->pretokenizer->whole_pieces) {
        uint32_t id = el_lookup_bytes(&t->lookup, piece, len);
        if (id != EL_TOKEN_NONE && !el_vocab_is_special(t->vocab, id)) {
            put(e, id);
            return EDGELLM_OK;
        }
    }
    EL_TRY(el_bpe_merge(&t->bpe, &e->work, piece, len, e->keep, err));
    uint32_t at = e->work.n_symbols > 0 ? 0 : EL_TOKEN_NONE;
    for (; at != EL_TOKEN_NONE; at = e->work.symbols[at].next)
        put(e, e->work.symbols[at].id);
    return EDGELLM_OK;
}

/* Bytes that are in no token: those of bytes, or one for the unknown, or nothing. */
static void put_bytes(encoding *e, const uint8_t *bytes, size_t size, bool *unknown)
{
    const el_vocab *vocab = e->t->vocab;
    for (size_t i = 0; i < size; i++) {
        uint32_t id = e->t->byte_ids[bytes[i]];
        if (id == EL_TOKEN_NONE && e->keep) id = vocab->n_tokens + bytes[i];
        if (id == EL_TOKEN_NONE && !*unknown && vocab->unk != EL_TOKEN_NONE) put(e, vocab->unk);
        *unknown = id == EL_TOKEN_NONE;
        if (id != EL_TOKEN_NONE) put(e, id);
    }
}

static edgellm_status encode_scored(encoding *e, const uint8_t *text, size_t len,
                                    edgellm_error *err)
{
    const el_tokenizer *t = e->t;
    bool unknown = false;
    EL_TRY(t->is_unigram ? el_unigram_cut(&t->unigram, &e->work, text, len, err)
                         : el_spm_merge(&t->spm, &e->work, text, len, err));
    for (size_t at = 0, begin = 0, size; at < len; begin = at) {
        const uint32_t id = t->is_unigram ? el_unigram_next(&e->work, &at, &size)
                                          : el_spm_next(&t->spm, &e->work, text, &at, &size);
        if (id == EL_TOKEN_NONE) {
            put_bytes(e, text + begin, size, &unknown);
            continue;
        }
        put(e, id);
        unknown = false;
    }
    return EDGELLM_OK;
}

static edgellm_status encode_segment(encoding *e, const uint8_t *text, size_t len,
                                     edgellm_error *err)
{
    if (e->t->pretokenizer == NULL) return encode_scored(e, text, len, err);
    el_cutter cutter = el_pretoken_start(e->t->pretokenizer, text, len);
    size_t piece_len;
    const uint8_t *piece;
    while ((piece = el_pretoken_next(&cutter, &piece_len)) != NULL)
        EL_TRY(encode_piece(e, piece, piece_len, err));
    return EDGELLM_OK;
}

/* A space is put before a part once the names of a stage are found. */
static const struct space_rule {
    int stage;
    bool unless, once; /* unless there is one; only where the text begins */
} space_rules[] = {
    [EL_SPACE_NEVER] = {-1, false, false},
    [EL_SPACE_BEFORE] = {0, false, false},
    [EL_SPACE_UNLESS] = {EL_ADDED_STAGES - 1, true, false},
    [EL_SPACE_UNLESS_ONCE] = {EL_ADDED_STAGES - 1, true, true},
    [EL_SPACE_EACH] = {0, false, false},
};

/* Before place `pos`, where something stands that is done with. */
static size_t put_space(encoding *e, int stage, size_t pos)
{
    const struct space_rule *rule = &space_rules[e->t->vocab->space_first];
    if (e->own == NULL || rule->stage != stage) return pos;
    if ((rule->unless && e->text[pos] == ' ') || (rule->once && pos > 1)) return pos;
    e->own[pos - 1] = ' ';
    return pos - 1;
}

/* What is done with a part between names. */
typedef edgellm_status take_part(encoding *e, size_t begin, size_t end, edgellm_error *err);

static edgellm_status cut_at_names(encoding *e, int stage, size_t begin, size_t end,
                                   take_part *take, edgellm_error *err)
{
    el_added_cut cut = el_added_start(&e->added->stages[stage], e->text, begin, end);
    for (;;) {
        size_t gap, gap_end;
        const uint32_t id = el_added_next(&cut, &gap, &gap_end);
        if (gap < gap_end) EL_TRY(take(e, gap, gap_end, err));
        if (id == EL_TOKEN_NONE) return EDGELLM_OK;
        put(e, id);
    }
}

static edgellm_status take_last(encoding *e, size_t begin, size_t end, edgellm_error *err)
{
    begin = put_space(e, 1, begin);
    return encode_segment(e, e->text + begin, end - begin, err);
}

/* Of a vocabulary that has NFC: a part in that form. */
static edgellm_status take_normalized(encoding *e, size_t begin, size_t end, edgellm_error *err)
{
    const uint8_t *text = e->text;
    uint8_t *made;
    size_t len;
    EL_TRY(el_nfc(text + begin, end - begin, &made, &len, err));
    if (made == NULL) return cut_at_names(e, 1, begin, end, take_last, err);
    e->text = made;
    const edgellm_status status = cut_at_names(e, 1, 0, len, take_last, err);
    e->text = text;
    free(made);
    return status;
}

static edgellm_status take_first(encoding *e, size_t begin, size_t end, edgellm_error *err)
{
    if (e->t->vocab->nfc && !e->keep) return take_normalized(e, begin, end, err);
    return cut_at_names(e, 1, put_space(e, 0, begin), end, take_last, err);
}

/* U+2581 is what SentencePiece writes for a space, and cannot tell from one. */
#define SPACE       "\xe2\x96\x81"
#define SPACE_BYTES 3

/* Copies the text with spaces where it has U+2581; returns the number of bytes. */
static size_t plain_spaces(uint8_t *copy, const uint8_t *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        const bool is = len - i >= SPACE_BYTES && memcmp(text + i, SPACE, SPACE_BYTES) == 0;
        copy[n++] = is ? ' ' : text[i];
        i += is ? SPACE_BYTES : 1;
    }
    return n;
}

static bool has_marked_space(const uint8_t *text, size_t len)
{
    for (size_t i = 0; i + SPACE_BYTES <= len; i++)
        if (memcmp(text + i, SPACE, SPACE_BYTES) == 0) return true;
    return false;
}

/* Text of pieces with scores may have to be changed: then there is a copy, with room before it. */
static edgellm_status encode_any(encoding *e, const uint8_t *text, size_t len, edgellm_error *err)
{
    const bool space_first = e->t->vocab->space_first;
    e->text = text;
    if (e->t->pretokenizer != NULL || (!space_first && !has_marked_space(text, len)))
        return cut_at_names(e, 0, 0, len, take_first, err);
    uint8_t *copy = calloc(len + 1, 1);
    if (copy == NULL)
        return el_fail(err, EDGELLM_ERR_MEMORY, "tokenizer: no memory for %zu bytes", len + 1);
    e->text = copy;
    e->own = space_first ? copy : NULL;
    len = 1 + plain_spaces(copy + 1, text, len);
    edgellm_status status = cut_at_names(e, 0, 1, len, take_first, err);
    free(copy);
    return status;
}

edgellm_status el_tokenizer_encode(const el_tokenizer *t, const char *text, size_t len,
                                   unsigned flags, uint32_t *tokens, size_t capacity, size_t *count,
                                   edgellm_error *err)
{
    if (len > MOST_TEXT)
        return el_fail(err, EDGELLM_ERR_MEMORY, "tokenizer: a text of %zu bytes, more than %u", len,
                       MOST_TEXT);
    encoding e = {.t = t, .tokens = tokens, .capacity = capacity};
    e.keep = flags & EDGELLM_TOKENIZE_KEEP_BYTES;
    e.added = &t->added[(flags & EDGELLM_TOKENIZE_SPECIAL) != 0];
    edgellm_status status = encode_any(&e, (const uint8_t *)text, len, err);
    el_bpe_work_release(&e.work);
    if (status == EDGELLM_OK) *count = e.count;
    return status;
}

/* ---- tokens ---- */

#define ROW_4(n)  (n), (n) + 1, (n) + 2, (n) + 3
#define ROW_16(n) ROW_4(n), ROW_4((n) + 4), ROW_4((n) + 8), ROW_4((n) + 12)
#define ROW_64(n) ROW_16(n), ROW_16((n) + 16), ROW_16((n) + 32), ROW_16((n) + 48)

/* Every byte, at its own index: what kept bytes point to. */
static const uint8_t every_byte[256] = {ROW_64(0), ROW_64(64), ROW_64(128), ROW_64(192)};

const uint8_t *el_tokenizer_bytes(const el_tokenizer *t, uint32_t token, size_t *len)
{
    uint32_t n_tokens = t->vocab->n_tokens;
    if (token < n_tokens) return el_vocab_bytes(t->vocab, token, len);
    if (token - n_tokens >= 256) return NULL;
    *len = 1;
    return &every_byte[token - n_tokens];
}

bool el_tokenizer_is_special(const el_tokenizer *t, uint32_t token)
{
    return token < t->vocab->n_tokens && el_vocab_is_special(t->vocab, token);
}

bool el_tokenizer_name_ends(const uint8_t *name, size_t len)
{
    static const char *const ends[] = {
        "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|eom_id|>",
        "<|end|>",    "</s>",          "<eos>",      "<end_of_turn>",   "<|eot|>",
        "<|return|>", "<EOT>",         "<|EOT|>",    "<|end_of_turn|>", "<|endofturn|>",
    };
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (len == strlen(ends[i]) && memcmp(name, ends[i], len) == 0) return true;
    }
    return false;
}

bool el_tokenizer_is_end(const el_tokenizer *t, uint32_t token)
{
    if (!el_tokenizer_is_special(t, token))
        return token == t->vocab->eos && token < t->vocab->n_tokens;
    if (token == t->vocab->eos) return true;
    size_t len;
    const uint8_t *name = el_vocab_bytes(t->vocab, token, &len);
    return el_tokenizer_name_ends(name, len);
}

/* ---- streaming ---- */

/* Length of the part of the text that ends with a whole character, or with bytes that can never
 * become one. What is left is at most 3 bytes. */
static size_t whole_characters(const uint8_t *text, size_t len)
{
    size_t pos = 0;
    while (pos < len) {
        uint32_t code;
        int size = el_chars_decode(text + pos, len - pos, &code);
        if (size < 0) break;
        pos += size > 0 ? (size_t)size : 1;
    }
    return pos;
}

size_t el_tokenizer_stream_push(const el_tokenizer *t, edgellm_stream *stream, uint32_t token,
                                char *text)
{
    size_t len;
    const uint8_t *bytes = el_tokenizer_bytes(t, token, &len);
    if (bytes == NULL || el_tokenizer_is_special(t, token)) return 0;
    size_t held = el_tokenizer_stream_flush(stream, text);
    memcpy(text + held, bytes, len);
    size_t whole = whole_characters((const uint8_t *)text, held + len);
    stream->count = (uint8_t)(held + len - whole);
    memcpy(stream->pending, text + whole, stream->count);
    return whole;
}

size_t el_tokenizer_stream_flush(edgellm_stream *stream, char *text)
{
    size_t count = stream->count <= sizeof stream->pending ? stream->count : 0;
    memcpy(text, stream->pending, count);
    stream->count = 0;
    return count;
}
