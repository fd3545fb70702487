/*
 * vocab_pack.c: see vocab_pack.h. Both directions go through the tokens in the order of their ids,
 * run by run, with one pointer into the merges.
 */
#include "format/vocab_pack.h"

#include <stdbool.h>
#include <string.h>

#include "format/checks.h"

enum { REACH = 64 }; /* merges looked at for one that makes the next token */

/* Tokens of one type: first those made by the merges that follow the ones passed over, then those
 * whose bytes are written out. */
typedef struct run {
    uint32_t type, skipped, joined, spelled;
} run;

/* ---- packing ---------------------------------------------------------------------------- */

typedef struct sink {
    uint8_t *to; /* NULL: only count */
    uint64_t count;
} sink;

static void put_bytes(sink *s, const uint8_t *bytes, size_t n)
{
    if (s->to && n > 0) memcpy(s->to + s->count, bytes, n);
    s->count += n;
}

static void put_number(sink *s, uint32_t number)
{
    for (; number >= 0x80; number >>= 7) {
        const uint8_t low = (uint8_t)(number | 0x80);
        put_bytes(s, &low, 1);
    }
    const uint8_t last = (uint8_t)number;
    put_bytes(s, &last, 1);
}

static uint32_t length_of(const el_vocab *v, uint32_t id)
{
    return v->starts[id + 1] - v->starts[id];
}

/* Does the merge make the token, of tokens that come before it? */
static bool makes(const el_vocab *v, uint32_t merge, uint32_t id)
{
    const uint32_t left = v->merges[merge].left, right = v->merges[merge].right;
    if (left >= id || right >= id) return false;
    const uint32_t n = length_of(v, left);
    const uint8_t *token = v->bytes + v->starts[id];
    return length_of(v, id) == n + length_of(v, right) &&
           memcmp(token, v->bytes + v->starts[left], n) == 0 &&
           memcmp(token + n, v->bytes + v->starts[right], length_of(v, right)) == 0;
}

/* Merges to pass over until one makes the token; EL_TOKEN_NONE if none within reach does. */
static uint32_t distance(const el_vocab *v, uint32_t merge, uint32_t id)
{
    for (uint32_t i = 0; i < REACH && i < v->n_merges - merge; i++)
        if (makes(v, merge + i, id)) return i;
    return EL_TOKEN_NONE;
}

static run find_run(const el_vocab *v, uint32_t merge, uint32_t id)
{
    run r = {.type = v->types[id], .skipped = distance(v, merge, id)};
    if (r.skipped == EL_TOKEN_NONE) r.skipped = 0;
    merge += r.skipped;
    for (; id < v->n_tokens && v->types[id] == r.type; id++, merge++, r.joined++)
        if (merge == v->n_merges || !makes(v, merge, id)) break;
    for (; id < v->n_tokens && v->types[id] == r.type; id++, r.spelled++)
        if (distance(v, merge, id) != EL_TOKEN_NONE) break;
    return r;
}

/* Runs of ranks that grow by one from token to token: the first of them, and how many. */
static void put_ranks(sink *s, const el_vocab *v)
{
    for (uint32_t id = 0, end; id < v->n_tokens; id = end) {
        for (end = id + 1; end < v->n_tokens; end++)
            if (v->ranks[end - 1] == UINT32_MAX || v->ranks[end] != v->ranks[end - 1] + 1) break;
        put_number(s, v->ranks[id]);
        put_number(s, end - id);
    }
}

/* Of those that have any: how far it is from the one before, and the flags. */
static void put_flags(sink *s, const el_vocab *v)
{
    for (uint32_t id = 0, next = 0; id < v->n_tokens; id++) {
        if (el_vocab_flags(v, id) == 0) continue;
        put_number(s, id - next);
        put_number(s, el_vocab_flags(v, id));
        next = id + 1;
    }
}

uint32_t el_vocab_flagged(const el_vocab *v)
{
    uint32_t n = 0;
    for (uint32_t id = 0; v->flags && id < v->n_tokens; id++)
        n += v->flags[id] != 0;
    return n;
}

uint64_t el_vocab_pack(const el_vocab *v, uint8_t *packed)
{
    sink s = {.to = packed};
    for (uint32_t i = 0; i < v->n_merges; i++) {
        put_number(&s, v->merges[i].left);
        put_number(&s, v->merges[i].right);
    }
    for (uint32_t id = 0, merge = 0; id < v->n_tokens;) {
        const run r = find_run(v, merge, id);
        put_number(&s, r.type);
        put_number(&s, r.skipped);
        put_number(&s, r.joined);
        put_number(&s, r.spelled);
        merge += r.skipped + r.joined;
        id += r.joined;
        for (const uint32_t end = id + r.spelled; id < end; id++) {
            put_number(&s, length_of(v, id));
            put_bytes(&s, v->bytes + v->starts[id], length_of(v, id));
        }
    }
    if (v->ranks) put_ranks(&s, v);
    put_flags(&s, v);
    return s.count;
}

/* ---- unpacking -------------------------------------------------------------------------- */

typedef struct source {
    const uint8_t *at, *end, *begin;
    uint64_t offset; /* of `begin` in the file */
    edgellm_error *err;
} source;

static edgellm_status bad(const source *s, const char *what)
{
    return el_fail(s->err, EDGELLM_ERR_FORMAT, "section vocab, offset %llu, tokens: %s",
                   (unsigned long long)s->offset + (uint64_t)(s->at - s->begin), what);
}

/* A number of 32 bits in at most 5 bytes, and not more of them than it needs. */
static edgellm_status take_number(source *s, uint32_t *number)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift <= 28; shift += 7) {
        if (s->at == s->end) return bad(s, "the section ends within them");
        const uint8_t byte = *s->at++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte & 0x80) continue;
        if (value > UINT32_MAX || (byte == 0 && shift > 0)) break;
        *number = (uint32_t)value;
        return EDGELLM_OK;
    }
    return bad(s, "a number is longer than 32 bits, or than it needs to be");
}

static edgellm_status take_merges(source *s, el_merge *merges, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        EL_TRY(take_number(s, &merges[i].left));
        EL_TRY(take_number(s, &merges[i].right));
    }
    return EDGELLM_OK;
}

/* What is being filled in, and how far. */
typedef struct target {
    el_merge *merges;
    uint32_t *starts, *ranks;             /* ranks: NULL if there are none */
    uint8_t *types, *bytes, *flags;       /* flags: NULL if there are none */
    uint32_t n_tokens, n_merges, n_bytes; /* room */
    uint32_t flagged;
    uint32_t id, merge; /* the next */
} target;

static edgellm_status take_run(source *s, const target *t, run *r)
{
    EL_TRY(take_number(s, &r->type));
    EL_TRY(take_number(s, &r->skipped));
    EL_TRY(take_number(s, &r->joined));
    EL_TRY(take_number(s, &r->spelled));
    if (r->type < EL_TOKEN_NORMAL || r->type > EL_TOKEN_BYTE)
        return bad(s, "a run has an unknown type");
    const uint64_t tokens = (uint64_t)r->joined + r->spelled;
    if (tokens == 0 || tokens > t->n_tokens - t->id)
        return bad(s, "a run has none, or more than there are left");
    if ((uint64_t)r->skipped + r->joined > t->n_merges - t->merge)
        return bad(s, "a run has more merges than there are left");
    return EDGELLM_OK;
}

/* Appends bytes to those of the next token. */
static edgellm_status append(const source *s, target *t, const uint8_t *bytes, uint32_t n)
{
    const uint32_t used = t->starts[t->id + 1];
    if (n > t->n_bytes - used) return bad(s, "they have more than n_bytes bytes");
    if (n > 0) memcpy(t->bytes + used, bytes, n);
    t->starts[t->id + 1] = used + n;
    return EDGELLM_OK;
}

static void begin_token(target *t, uint32_t type)
{
    t->types[t->id] = (uint8_t)type;
    t->starts[t->id + 1] = t->starts[t->id];
}

static edgellm_status join(const source *s, target *t, uint32_t type)
{
    const uint32_t parts[2] = {t->merges[t->merge].left, t->merges[t->merge].right};
    begin_token(t, type);
    for (int i = 0; i < 2; i++) {
        if (parts[i] >= t->id) return bad(s, "one is joined from a token after it");
        const uint32_t start = t->starts[parts[i]];
        EL_TRY(append(s, t, t->bytes + start, t->starts[parts[i] + 1] - start));
    }
    t->merge++;
    t->id++;
    return EDGELLM_OK;
}

static edgellm_status spell(source *s, target *t, uint32_t type)
{
    uint32_t length;
    EL_TRY(take_number(s, &length));
    if (length > (size_t)(s->end - s->at)) return bad(s, "one runs past the end of the section");
    begin_token(t, type);
    EL_TRY(append(s, t, s->at, length));
    s->at += length;
    t->id++;
    return EDGELLM_OK;
}

static edgellm_status take_tokens(source *s, target *t)
{
    while (t->id < t->n_tokens) {
        run r;
        EL_TRY(take_run(s, t, &r));
        t->merge += r.skipped;
        while (r.joined-- > 0)
            EL_TRY(join(s, t, r.type));
        while (r.spelled-- > 0)
            EL_TRY(spell(s, t, r.type));
    }
    if (t->starts[t->n_tokens] != t->n_bytes) return bad(s, "they have less than n_bytes bytes");
    return EDGELLM_OK;
}

static edgellm_status take_ranks(source *s, const target *t)
{
    for (uint32_t id = 0; id < t->n_tokens;) {
        uint32_t rank, count;
        EL_TRY(take_number(s, &rank));
        EL_TRY(take_number(s, &count));
        if (count == 0 || count > t->n_tokens - id)
            return bad(s, "a run of ranks has none, or more than there are tokens left");
        if (rank > UINT32_MAX - (count - 1)) return bad(s, "a rank is longer than 32 bits");
        for (; count > 0; count--)
            t->ranks[id++] = rank++;
    }
    return EDGELLM_OK;
}

static edgellm_status take_flags(source *s, const target *t)
{
    for (uint32_t i = 0, id = 0; i < t->flagged; i++, id++) {
        uint32_t skipped, flags;
        EL_TRY(take_number(s, &skipped));
        if (skipped >= t->n_tokens - id) return bad(s, "flags are of one that there is not");
        EL_TRY(take_number(s, &flags));
        if (flags == 0 || flags > EL_TOKEN_FLAGS)
            return bad(s, "the flags of one are not known to this version (1 to 15 are)");
        id += skipped;
        t->flags[id] = (uint8_t)flags;
    }
    return EDGELLM_OK;
}

static edgellm_status take_all(source *s, target *t)
{
    EL_TRY(take_merges(s, t->merges, t->n_merges));
    EL_TRY(take_tokens(s, t));
    if (t->ranks) EL_TRY(take_ranks(s, t));
    EL_TRY(take_flags(s, t));
    return s->at == s->end ? EDGELLM_OK : bad(s, "bytes follow the last one");
}

static void layout(target *t, bool ranks, el_arena *arena)
{
    if (ranks) t->ranks = el_arena_take(arena, t->n_tokens, sizeof *t->ranks);
    t->merges = el_arena_take(arena, t->n_merges, sizeof *t->merges);
    t->starts = el_arena_take(arena, (size_t)t->n_tokens + 1, sizeof *t->starts);
    t->types = el_arena_take(arena, t->n_tokens, 1);
    t->bytes = el_arena_take(arena, t->n_bytes, 1);
    if (t->flagged > 0) t->flags = el_arena_take(arena, t->n_tokens, 1);
}

edgellm_status el_vocab_unpack(el_vocab *v, bool ranks, uint32_t flagged, uint32_t token_bytes,
                               const uint8_t *packed, uint64_t size, uint64_t offset,
                               el_arena *memory, edgellm_error *err)
{
    const bool scored = ranks && el_vocab_is_scored(v);
    source s = {packed, packed + size, packed, offset, err};
    target t = {.n_tokens = v->n_tokens,
                .n_merges = v->n_merges,
                .n_bytes = token_bytes,
                .flagged = flagged};
    el_arena measure = el_arena_measure(), arena;
    /* What cannot be true asks for no memory: a merge takes two bytes. */
    if (v->n_tokens > EL_MAX_VOCAB || v->n_merges > size / 2 || token_bytes > EL_MAX_VOCAB_BYTES)
        return bad(&s, "there cannot be as many tokens, merges or bytes as the section says");
    layout(&t, scored, &measure);
    EL_TRY(el_arena_reserve(&arena, measure.used, err));
    layout(&t, scored, &arena);

    edgellm_status status = take_all(&s, &t);
    if (status != EDGELLM_OK) {
        el_arena_release(&arena);
        return status;
    }
    v->merges = t.merges;
    v->starts = t.starts;
    v->types = t.types;
    v->ranks = t.ranks;
    v->flags = t.flags;
    v->bytes = t.bytes;
    *memory = arena;
    return EDGELLM_OK;
}
