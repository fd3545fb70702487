/*
 * fuzz_token.c: any text over any sound vocabulary: encode with every flag, decode, stream. The
 * result is compared with merges done the slow way.
 *
 * Input: pre-tokenizer, or SentencePiece's BPE with ranks of its own making; bytes without a token
 * (a count, then each); named tokens (a count, then type and name); merges (a count, then left and
 * right); the text. What is read makes a sound vocabulary; unsound ones are for fuzz_tm2 and
 * fuzz_gguf.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "fuzz/fuzz.h"
#include "token/chars.h"
#include "token/lookup.h"
#include "token/pretoken.h"
#include "token/tokenizer.h"

enum {
    MOST_SLOW = 256,
    MOST_TOKENS = 512,
    MOST_MERGES = 96,
    MOST_NAME = 300,
    MOST_BYTES = 1 << 16
};

/* ---- a vocabulary ---------------------------------------------------------------------- */

typedef struct words {
    el_vocab vocab;
    uint8_t bytes[MOST_BYTES];
    uint32_t starts[MOST_TOKENS + 1];
    uint8_t types[MOST_TOKENS];
    el_merge merges[MOST_MERGES];
    uint32_t ranks[MOST_TOKENS];
    uint32_t byte_ids[256]; /* the token of each byte, or EL_TOKEN_NONE */
    uint8_t flags[MOST_TOKENS];
} words;

static bool add_token(words *w, unsigned type, const uint8_t *bytes, size_t len)
{
    uint32_t id = w->vocab.n_tokens;
    if (id == MOST_TOKENS || len > MOST_NAME || len > MOST_BYTES - w->starts[id]) return false;
    if (len > 0) memcpy(w->bytes + w->starts[id], bytes, len);
    w->starts[id + 1] = w->starts[id] + (uint32_t)len;
    w->types[id] = (uint8_t)type;
    w->vocab.n_tokens++;
    return true;
}

/* The lowest id with these bytes; a special one only if there is no other. */
static uint32_t find_token(const el_vocab *v, const uint8_t *bytes, size_t len)
{
    uint32_t found = EL_TOKEN_NONE;
    for (uint32_t id = 0; id < v->n_tokens; id++) {
        size_t n;
        const uint8_t *own = el_vocab_bytes(v, id, &n);
        if (n != len || n == 0 || memcmp(own, bytes, n) != 0) continue;
        if (!el_vocab_is_special(v, id)) return id;
        if (found == EL_TOKEN_NONE) found = id;
    }
    return found;
}

static void add_bytes(words *w, fuzz_input *in)
{
    bool missing[256] = {false};
    for (uint8_t n = fuzz_byte(in) % 8; n > 0; n--)
        missing[fuzz_byte(in)] = true;
    for (unsigned i = 0; i < 256; i++) {
        uint8_t byte = (uint8_t)i;
        if (!missing[i]) add_token(w, EL_TOKEN_NORMAL, &byte, 1);
    }
}

static void add_names(words *w, fuzz_input *in)
{
    for (uint8_t n = fuzz_byte(in) % 16; n > 0; n--) {
        unsigned type = EL_TOKEN_NORMAL + fuzz_byte(in) % EL_TOKEN_BYTE;
        size_t len;
        const uint8_t *name = fuzz_piece(in, &len);
        add_token(w, type, name, len);
    }
}

/* The joined bytes become a token, if they are none yet. */
static void add_merges(words *w, fuzz_input *in)
{
    for (uint8_t n = fuzz_byte(in) % MOST_MERGES; n > 0; n--) {
        uint32_t left = (fuzz_byte(in) | (uint32_t)fuzz_byte(in) << 8) % w->vocab.n_tokens;
        uint32_t right = (fuzz_byte(in) | (uint32_t)fuzz_byte(in) << 8) % w->vocab.n_tokens;
        uint8_t joined[2 * MOST_NAME];
        size_t left_len, right_len;
        const uint8_t *bytes = el_vocab_bytes(&w->vocab, left, &left_len);
        memcpy(joined, bytes, left_len);
        bytes = el_vocab_bytes(&w->vocab, right, &right_len);
        memcpy(joined + left_len, bytes, right_len);
        size_t len = left_len + right_len;
        if (len == 0) continue;
        if (find_token(&w->vocab, joined, len) == EL_TOKEN_NONE &&
            !add_token(w, EL_TOKEN_NORMAL, joined, len))
            continue;
        w->merges[w->vocab.n_merges++] = (el_merge){left, right};
    }
}

static void find_bytes(words *w)
{
    for (unsigned i = 0; i < 256; i++)
        w->byte_ids[i] = EL_TOKEN_NONE;
    for (uint32_t id = w->vocab.n_tokens; id-- > 0;) { /* the lowest id counts */
        bool one = w->starts[id + 1] - w->starts[id] == 1;
        if (one && !el_vocab_is_special(&w->vocab, id)) w->byte_ids[w->bytes[w->starts[id]]] = id;
    }
}

/* Makes a vocabulary of pieces with scores: the same tokens, with ranks in place of merges, or with
 * scores, some of them equal. */
static void score(words *w, unsigned seed, bool is_unigram)
{
    for (uint32_t id = 0; id < w->vocab.n_tokens; id++) {
        const uint32_t rank = (id * 2654435761u + seed) >> 24;
        w->ranks[id] = is_unigram ? el_bits_of_float(-(float)rank / 16) : rank;
    }
    w->vocab.ranks = w->ranks;
    w->vocab.n_merges = 0;
    w->vocab.pretokenizer = is_unigram ? "unigram" : "spm";
}

/* Flags of tokens that are matched whole, where a space is put, and NFC: texts do not come back
 * then. */
static void add_flags(words *w, unsigned seed)
{
    for (uint32_t id = 0; id < w->vocab.n_tokens; id++) {
        const bool whole = el_vocab_is_special(&w->vocab, id) || w->types[id] == EL_TOKEN_USER;
        if (whole) w->flags[id] = (uint8_t)((id * 2654435761u + seed) >> 28);
    }
    w->vocab.flags = w->flags;
    if (w->vocab.ranks)
        w->vocab.space_first = (uint8_t)(seed % (EL_SPACE_EACH + 1));
    else
        w->vocab.nfc = seed & 1;
}

static words *make_words(fuzz_input *in)
{
    words *w = calloc(1, sizeof *w);
    FUZZ_CHECK(w != NULL);
    uint8_t pick = fuzz_byte(in);
    size_t rows = 1;
    while (el_pretoken_row(rows) != NULL)
        rows++;
    w->vocab = (el_vocab){.bytes = w->bytes,
                          .starts = w->starts,
                          .types = w->types,
                          .merges = w->merges,
                          .pretokenizer = el_pretoken_row(pick % (rows + 2) % rows)->name,
                          .chat_template = "",
                          .bos = EL_TOKEN_NONE,
                          .eos = pick,
                          .unk = EL_TOKEN_NONE,
                          .pad = EL_TOKEN_NONE};
    add_bytes(w, in);
    add_names(w, in);
    add_merges(w, in);
    find_bytes(w);
    if (pick % (rows + 2) >= rows) score(w, pick, pick % (rows + 2) > rows);
    if (pick >= 0x80) add_flags(w, pick);
    return w;
}

static el_tokenizer *make_tokenizer(const words *w, el_arena *arena)
{
    el_tokenizer *t = NULL;
    edgellm_error err = {0};
    el_arena measure = el_arena_measure();
    FUZZ_CHECK(fuzz_status(el_tokenizer_init(&t, &w->vocab, &measure, &err), &err));
    FUZZ_CHECK(t == NULL && el_arena_reserve(arena, measure.used, &err) == EDGELLM_OK);
    FUZZ_CHECK(fuzz_status(el_tokenizer_init(&t, &w->vocab, arena, &err), &err));
    FUZZ_CHECK(t != NULL && arena->used == measure.used);
    return t;
}

/* ---- the slow way ---------------------------------------------------------------------- */

/* The token that a pair becomes, and the rank of its merge; of equal pairs the last counts. */
static uint32_t slow_rank(const el_vocab *v, uint32_t left, uint32_t right, uint32_t *merged)
{
    for (uint32_t rank = v->n_merges; rank-- > 0;) {
        if (v->merges[rank].left != left || v->merges[rank].right != right) continue;
        uint8_t joined[2 * MOST_NAME];
        size_t a, b;
        const uint8_t *bytes = el_vocab_bytes(v, left, &a);
        memcpy(joined, bytes, a);
        bytes = el_vocab_bytes(v, right, &b);
        memcpy(joined + a, bytes, b);
        *merged = find_token(v, joined, a + b);
        if (!el_vocab_is_special(v, *merged)) return rank;
    }
    return EL_TOKEN_NONE;
}

/* Merges n ids in place: again and again the best pair, of several the leftmost. */
static size_t slow_merge(const el_vocab *v, uint32_t *ids, size_t n)
{
    for (;;) {
        uint32_t best = EL_TOKEN_NONE, best_id = 0;
        size_t best_at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            uint32_t id, rank = slow_rank(v, ids[i], ids[i + 1], &id);
            if (rank >= best) continue;
            best = rank;
            best_id = id;
            best_at = i;
        }
        if (best == EL_TOKEN_NONE) return n;
        ids[best_at] = best_id;
        memmove(ids + best_at + 1, ids + best_at + 2, (n - best_at - 2) * sizeof *ids);
        n--;
    }
}

static size_t slow_piece(const words *w, const el_pretokenizer *row, const uint8_t *piece,
                         size_t len, uint32_t *ids)
{
    const el_vocab *v = &w->vocab;
    uint32_t whole = row->whole_pieces ? find_token(v, piece, len) : EL_TOKEN_NONE;
    if (whole != EL_TOKEN_NONE && !el_vocab_is_special(v, whole)) {
        ids[0] = whole;
        return 1;
    }
    for (size_t i = 0; i < len; i++) {
        ids[i] = w->byte_ids[piece[i]];
        if (ids[i] == EL_TOKEN_NONE) ids[i] = v->n_tokens + piece[i];
    }
    return slow_merge(v, ids, len);
}

/* The lowest id of the normal tokens with these bytes. */
static uint32_t find_normal(const el_vocab *v, const uint8_t *bytes, size_t len)
{
    for (uint32_t id = 0; id < v->n_tokens; id++) {
        size_t n;
        const uint8_t *own = el_vocab_bytes(v, id, &n);
        if (v->types[id] == EL_TOKEN_NORMAL && n == len && memcmp(own, bytes, n) == 0) return id;
    }
    return EL_TOKEN_NONE;
}

/* Joins n pieces of the text, given by their sizes, again and again: the best pair, of several the
 * leftmost. Returns how many are left. */
static size_t slow_join(const el_vocab *v, const uint8_t *text, size_t *sizes, size_t n)
{
    for (;;) {
        size_t best_at = n, at = 0;
        uint64_t best = UINT64_MAX;
        for (size_t i = 0; i + 1 < n; at += sizes[i++]) {
            uint32_t id = find_normal(v, text + at, sizes[i] + sizes[i + 1]);
            if (id == EL_TOKEN_NONE || v->ranks[id] >= best) continue;
            best = v->ranks[id];
            best_at = i;
        }
        if (best_at == n) return n;
        sizes[best_at] += sizes[best_at + 1];
        memmove(sizes + best_at + 1, sizes + best_at + 2, (n - best_at - 2) * sizeof *sizes);
        n--;
    }
}

static uint32_t byte_token(const el_vocab *v, uint8_t byte)
{
    for (uint32_t id = 0; id < v->n_tokens; id++)
        if (v->types[id] == EL_TOKEN_BYTE && v->starts[id + 1] - v->starts[id] == 1 &&
            v->bytes[v->starts[id]] == byte)
            return id;
    return v->n_tokens + byte;
}

static void check_scored_slowly(const el_vocab *v, const uint8_t *text, size_t len,
                                const uint32_t *ids, size_t count)
{
    size_t *sizes = fuzz_room((len + 1) * sizeof *sizes), n = 0, at = 0, done = 0;
    while (at < len) {
        uint32_t code;
        const int size = el_chars_decode(text + at, len - at, &code);
        sizes[n++] = size > 0 ? (size_t)size : 1;
        at += sizes[n - 1];
    }
    n = slow_join(v, text, sizes, n);
    at = 0;
    for (size_t i = 0; i < n; at += sizes[i++]) {
        const uint32_t id = find_normal(v, text + at, sizes[i]);
        FUZZ_CHECK(id == EL_TOKEN_NONE || (done < count && ids[done] == id));
        done += id != EL_TOKEN_NONE;
        for (size_t k = 0; id == EL_TOKEN_NONE && k < sizes[i]; k++, done++)
            FUZZ_CHECK(done < count && ids[done] == byte_token(v, text[at + k]));
    }
    FUZZ_CHECK(done == count);
    free(sizes);
}

static float score_of(const el_vocab *v, uint32_t id)
{
    return el_float_of_bits(v->ranks[id]);
}

/* The best that the first `end` bytes can have, if the first ones can have best[]. */
static float slow_best(const el_vocab *v, const uint8_t *text, const float *best, size_t end)
{
    float sum = -INFINITY;
    for (size_t begin = 0; begin < end; begin++) {
        const uint32_t id = find_normal(v, text + begin, end - begin);
        if (id == EL_TOKEN_NONE || best[begin] == -INFINITY) continue;
        const float found = (float)((double)best[begin] + (double)score_of(v, id));
        if (found > sum) sum = found;
    }
    return sum;
}

/* Where each byte of the text is a token's: no other cut has a greater sum, as far as rounding lets
 * it be told. (What has none is judged by sentencepiece: tools/conformance_pieces.py.) */
static void check_unigram_slowly(const el_vocab *v, const uint8_t *text, size_t len,
                                 const uint32_t *ids, size_t count)
{
    float *best = fuzz_room((len + 1) * sizeof *best);
    double sum = 0;
    bool all = true;
    best[0] = 0;
    for (size_t end = 1; end <= len; end++) {
        best[end] = slow_best(v, text, best, end);
        all &= text[end - 1] < 0x80 && find_normal(v, text + end - 1, 1) != EL_TOKEN_NONE;
    }
    for (size_t i = 0; all && i < count; i++) {
        FUZZ_CHECK(ids[i] < v->n_tokens && v->types[ids[i]] == EL_TOKEN_NORMAL);
        sum += (double)score_of(v, ids[i]);
    }
    FUZZ_CHECK(!all || fabs(sum - (double)best[len]) < 1e-3);
    free(best);
}

/* For vocabularies without tokens that are matched whole; bytes without a token are kept. */
static void check_slowly(const words *w, const uint8_t *text, size_t len, const uint32_t *ids,
                         size_t count)
{
    if (el_vocab_is_unigram(&w->vocab)) {
        check_unigram_slowly(&w->vocab, text, len, ids, count);
        return;
    }
    if (w->vocab.ranks) {
        check_scored_slowly(&w->vocab, text, len, ids, count);
        return;
    }
    const el_pretokenizer *row = el_pretoken_find(w->vocab.pretokenizer);
    el_cutter cutter = el_pretoken_start(row, text, len);
    uint32_t *slow = fuzz_room(len * sizeof *slow);
    size_t done = 0, piece_len;
    const uint8_t *piece, *expected = text;
    while ((piece = el_pretoken_next(&cutter, &piece_len)) != NULL) {
        FUZZ_CHECK(piece == expected && piece_len > 0); /* pieces leave nothing out */
        expected += piece_len;
        size_t n = slow_piece(w, row, piece, piece_len, slow);
        FUZZ_CHECK(n <= count - done && memcmp(slow, ids + done, n * sizeof *slow) == 0);
        done += n;
    }
    FUZZ_CHECK(done == count && expected == text + len);
    free(slow);
}

/* ---- encode, decode, stream ------------------------------------------------------------ */

/* Encodes into room for `capacity`; nothing beyond it is touched. */
static size_t encode(const el_tokenizer *t, const uint8_t *text, size_t len, unsigned flags,
                     uint32_t *ids, size_t capacity)
{
    size_t count = SIZE_MAX;
    edgellm_error err = {0};
    FUZZ_CHECK(fuzz_status(
        el_tokenizer_encode(t, (const char *)text, len, flags, ids, capacity, &count, &err), &err));
    FUZZ_CHECK(count <= len);
    return count;
}

static bool text_has_all_bytes(const words *w, const uint8_t *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (w->byte_ids[text[i]] == EL_TOKEN_NONE) return false;
    }
    return true;
}

/* The tokens' bytes, joined, are the text; or, where bytes were dropped, a part of it in order. */
static void check_bytes(const el_tokenizer *t, const uint32_t *ids, size_t count,
                        const uint8_t *text, size_t len, bool whole)
{
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n;
        const uint8_t *bytes = el_tokenizer_bytes(t, ids[i], &n);
        FUZZ_CHECK(bytes != NULL && n > 0);
        for (size_t k = 0; k < n; k++, at++) {
            while (!whole && at < len && text[at] != bytes[k])
                at++;
            FUZZ_CHECK(at < len && text[at] == bytes[k]);
        }
    }
    FUZZ_CHECK(!whole || at == len);
}

/* What comes out is what the tokens hold; of a valid text, whole characters at every step. */
static void check_stream(const el_tokenizer *t, const uint32_t *ids, size_t count,
                         const uint8_t *text, size_t len, bool valid)
{
    edgellm_stream stream = {{0}, 0};
    size_t at = 0;
    char *out = fuzz_room(EDGELLM_STREAM_BYTES);
    for (size_t i = 0; i <= count; i++) {
        size_t n = i < count ? el_tokenizer_stream_push(t, &stream, ids[i], out)
                             : el_tokenizer_stream_flush(&stream, out);
        FUZZ_CHECK(n <= EDGELLM_STREAM_BYTES && stream.count <= 3 && n <= len - at);
        FUZZ_CHECK(n == 0 || memcmp(out, text + at, n) == 0);
        uint32_t code;
        FUZZ_CHECK(!valid || at + n == len ||
                   el_chars_decode(text + at + n, len - at - n, &code) > 0);
        at += n;
    }
    FUZZ_CHECK(at == len);
    free(out);
}

static bool is_valid(const uint8_t *text, size_t len)
{
    uint32_t code;
    int size = 1;
    for (size_t at = 0; at < len && size > 0; at += (size_t)size)
        size = el_chars_decode(text + at, len - at, &code);
    return size > 0;
}

static bool has_user_tokens(const el_vocab *v)
{
    return memchr(v->types, EL_TOKEN_USER, v->n_tokens) != NULL;
}

static void check_flags(const words *w, const el_tokenizer *t, const uint8_t *text, size_t len,
                        unsigned flags)
{
    uint32_t *ids = fuzz_room((len + 1) * sizeof *ids), *some = fuzz_room((len + 1) * sizeof *some);
    bool keep = flags & EDGELLM_TOKENIZE_KEEP_BYTES, special = flags & EDGELLM_TOKENIZE_SPECIAL;
    ids[len] = EL_TOKEN_NONE;
    size_t count = encode(t, text, len, flags, ids, len);
    FUZZ_CHECK(ids[len] == EL_TOKEN_NONE);
    FUZZ_CHECK(encode(t, text, len, flags, NULL, 0) == count);
    some[count / 2] = EL_TOKEN_NONE;
    FUZZ_CHECK(encode(t, text, len, flags, some, count / 2) == count);
    FUZZ_CHECK(memcmp(some, ids, count / 2 * sizeof *ids) == 0 && some[count / 2] == EL_TOKEN_NONE);
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(ids[i] < w->vocab.n_tokens + (keep ? 256 : 0));
        FUZZ_CHECK(special || !el_tokenizer_is_special(t, ids[i]));
        (void)el_tokenizer_is_end(t, ids[i]);
    }
    const bool whole = keep || (!w->vocab.ranks && text_has_all_bytes(w, text, len));
    check_bytes(t, ids, count, text, len, whole);
    if (keep && !special) check_stream(t, ids, count, text, len, is_valid(text, len));
    if (keep && !special && len <= MOST_SLOW && !has_user_tokens(&w->vocab))
        check_slowly(w, text, len, ids, count);
    free(ids);
    free(some);
}

static void check_loosely(const words *w, const el_tokenizer *t, const uint8_t *text, size_t len,
                          unsigned flags)
{
    const size_t room = 3 * len + 1;
    uint32_t *ids = fuzz_room(room * sizeof *ids);
    size_t count = 0, again = 0;
    edgellm_error err = {0};
    FUZZ_CHECK(fuzz_status(
        el_tokenizer_encode(t, (const char *)text, len, flags, ids, room, &count, &err), &err));
    FUZZ_CHECK(count <= room);
    FUZZ_CHECK(fuzz_status(
        el_tokenizer_encode(t, (const char *)text, len, flags, NULL, 0, &again, &err), &err));
    FUZZ_CHECK(again == count);
    for (size_t i = 0; i < count; i++)
        FUZZ_CHECK(ids[i] < w->vocab.n_tokens + 256);
    free(ids);
}

/* The text with spaces where it has U+2581, which a vocabulary with scores cannot tell from them.
 * That it cannot, test_pieces.c shows. */
static fuzz_input plain_spaces(fuzz_input in, uint8_t *to)
{
    size_t n = 0;
    for (size_t i = 0; i < in.size;) {
        const bool is = in.size - i >= 3 && memcmp(in.data + i, "\xe2\x96\x81", 3) == 0;
        to[n++] = is ? ' ' : in.data[i];
        i += is ? 3 : 1;
    }
    return (fuzz_input){to, n};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    el_arena arena = {0};
    words *w = make_words(&in);
    el_tokenizer *t = make_tokenizer(w, &arena);
    uint8_t *plain = fuzz_room(in.size + 1);
    if (w->vocab.ranks) in = plain_spaces(in, plain);
    for (unsigned flags = 0; flags < 4; flags++)
        (w->vocab.flags ? check_loosely : check_flags)(w, t, in.data, in.size, flags);
    size_t len;
    FUZZ_CHECK(el_tokenizer_bytes(t, w->vocab.n_tokens + 256, &len) == NULL);
    el_arena_release(&arena);
    free(plain);
    free(w);
    return 0;
}
