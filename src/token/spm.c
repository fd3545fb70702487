/*
 * spm.c: see spm.h. A symbol stands at the place of its first byte; its id is its size in bytes, 0
 * for places inside of one.
 */
#include "token/spm.h"

#include "token/chars.h"

void el_spm_build(el_spm *spm, const el_vocab *vocab, el_arena *arena)
{
    uint32_t *slots = el_arena_take(arena, el_lookup_slots(vocab->n_tokens), sizeof *slots);
    if (arena->base == NULL) return;
    *spm = (el_spm){.lookup = el_lookup_build_normal(vocab, slots)};
    for (uint32_t id = 0; id < vocab->n_tokens; id++) {
        const uint32_t len = vocab->starts[id + 1] - vocab->starts[id];
        if (vocab->types[id] == EL_TOKEN_NORMAL && len > spm->longest) spm->longest = len;
    }
}

/* The token that the symbol at `at` and the one after it join to, or EL_TOKEN_NONE. */
static uint32_t joined(const el_spm *spm, const el_bpe_work *work, const uint8_t *text, uint32_t at)
{
    const el_symbol *left = &work->symbols[at];
    if (left->id == 0 || left->next == EL_TOKEN_NONE) return EL_TOKEN_NONE;
    const uint32_t size = left->id + work->symbols[left->next].id;
    return size > spm->longest ? EL_TOKEN_NONE : el_lookup_bytes(&spm->lookup, text + at, size);
}

/* Puts the symbol and the one after it on the heap, if they join to a token. */
static void propose(const el_spm *spm, el_bpe_work *work, const uint8_t *text, uint32_t at)
{
    if (at == EL_TOKEN_NONE) return;
    const uint32_t id = joined(spm, work, text, at);
    if (id != EL_TOKEN_NONE)
        el_bpe_work_push(work, (uint64_t)spm->lookup.vocab->ranks[id] << 32 | at);
}

static void fill_symbols(el_bpe_work *work, const uint8_t *text, size_t len)
{
    uint32_t prev = EL_TOKEN_NONE;
    for (size_t at = 0; at < len;) {
        uint32_t code;
        const int decoded = el_chars_decode(text + at, len - at, &code);
        const uint32_t size = decoded > 0 ? (uint32_t)decoded : 1;
        const bool last = at + size == len;
        work->symbols[at] = (el_symbol){size, prev, last ? EL_TOKEN_NONE : (uint32_t)at + size};
        for (uint32_t i = 1; i < size; i++)
            work->symbols[at + i].id = 0;
        prev = (uint32_t)at;
        at += size;
    }
}

static void join(const el_spm *spm, el_bpe_work *work, const uint8_t *text, uint32_t at)
{
    el_symbol *left = &work->symbols[at], *right = &work->symbols[left->next];
    left->id += right->id;
    left->next = right->next;
    if (right->next != EL_TOKEN_NONE) work->symbols[right->next].prev = at;
    right->id = 0;
    propose(spm, work, text, left->prev);
    propose(spm, work, text, at);
}

edgellm_status el_spm_merge(const el_spm *spm, el_bpe_work *work, const uint8_t *text, size_t len,
                            edgellm_error *err)
{
    EL_TRY(el_bpe_work_room(work, len, err));
    fill_symbols(work, text, len);
    work->n_heap = 0;
    for (uint32_t at = 0; at < len; at += work->symbols[at].id)
        propose(spm, work, text, at);
    /* As in el_bpe_merge(): never more than two entries a symbol. A symbol may have been merged
     * since: what counts is whether those that are there now join to a token of this rank. */
    while (work->n_heap > 0) {
        const uint64_t entry = el_bpe_work_pop(work);
        const uint32_t at = (uint32_t)entry, id = joined(spm, work, text, at);
        if (id != EL_TOKEN_NONE && spm->lookup.vocab->ranks[id] == entry >> 32)
            join(spm, work, text, at);
    }
    return EDGELLM_OK;
}

uint32_t el_spm_next(const el_spm *spm, const el_bpe_work *work, const uint8_t *text, size_t *at,
                     size_t *size)
{
    const uint8_t *piece = text + *at;
    *size = work->symbols[*at].id;
    *at += *size;
    return el_lookup_bytes(&spm->lookup, piece, *size);
}
