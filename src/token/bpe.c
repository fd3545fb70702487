/* bpe.c: see bpe.h. */
#include "token/bpe.h"

#include <stdlib.h>
#include <string.h>

/* ---- tables ---- */

static uint32_t hash_pair(uint32_t left, uint32_t right)
{
    uint64_t hash = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
    return (uint32_t)(hash >> 32);
}

/* The slot that holds the pair, or the free one where it would be. */
static uint32_t find_slot(const el_bpe *bpe, uint32_t left, uint32_t right)
{
    uint32_t slot = hash_pair(left, right) & bpe->mask;
    while (bpe->slots[slot] != 0) {
        const el_merge *merge = &bpe->vocab->merges[bpe->slots[slot] - 1];
        if (merge->left == left && merge->right == right) break;
        slot = (slot + 1) & bpe->mask;
    }
    return slot;
}

/* Rank of the pair's merge; EL_TOKEN_NONE if it has none. */
static uint32_t rank_of(const el_bpe *bpe, uint32_t left, uint32_t right)
{
    uint32_t entry = bpe->slots[find_slot(bpe, left, right)];
    return entry == 0 ? EL_TOKEN_NONE : entry - 1;
}

static edgellm_status add_merge(el_bpe *bpe, const el_lookup *lookup, uint32_t rank,
                                edgellm_error *err)
{
    const el_vocab *vocab = bpe->vocab;
    el_merge merge = vocab->merges[rank];
    if (merge.left >= vocab->n_tokens || merge.right >= vocab->n_tokens)
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tokenizer: merge %u joins tokens %u and %u, but there are only %u tokens",
                       rank, merge.left, merge.right, vocab->n_tokens);

    size_t left_len, right_len;
    const uint8_t *left = el_vocab_bytes(vocab, merge.left, &left_len);
    const uint8_t *right = el_vocab_bytes(vocab, merge.right, &right_len);
    uint32_t id = el_lookup_pair(lookup, left, left_len, right, right_len);
    if (id == EL_TOKEN_NONE)
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tokenizer: merge %u of tokens %u and %u makes bytes that are no token",
                       rank, merge.left, merge.right);
    bpe->merged[rank] = id;
    if (el_vocab_is_special(vocab, id)) return EDGELLM_OK;
    /* Of equal pairs the last counts, as in the reference tokenizers. */
    bpe->slots[find_slot(bpe, merge.left, merge.right)] = rank + 1;
    return EDGELLM_OK;
}

edgellm_status el_bpe_build(el_bpe *bpe, const el_vocab *vocab, const el_lookup *lookup,
                            el_arena *arena, edgellm_error *err)
{
    uint32_t n_slots = el_lookup_slots(vocab->n_merges);
    uint32_t *slots = el_arena_take(arena, n_slots, sizeof *slots);
    uint32_t *merged = el_arena_take(arena, vocab->n_merges, sizeof *merged);
    if (arena->base == NULL) return EDGELLM_OK;

    *bpe = (el_bpe){.vocab = vocab, .slots = slots, .merged = merged, .mask = n_slots - 1};
    for (unsigned i = 0; i < 256; i++) {
        uint8_t byte = (uint8_t)i;
        uint32_t id = el_lookup_bytes(lookup, &byte, 1);
        bool is_text = id != EL_TOKEN_NONE && !el_vocab_is_special(vocab, id);
        bpe->byte_ids[i] = is_text ? id : EL_TOKEN_NONE;
    }
    for (uint32_t rank = 0; rank < vocab->n_merges; rank++)
        EL_TRY(add_merge(bpe, lookup, rank, err));
    return EDGELLM_OK;
}

/* ---- working memory ---- */

void el_bpe_work_release(el_bpe_work *work)
{
    free(work->symbols);
    free(work->heap);
    memset(work, 0, sizeof *work);
}

edgellm_status el_bpe_work_room(el_bpe_work *work, size_t n, edgellm_error *err)
{
    if (n <= work->capacity) return EDGELLM_OK;
    el_bpe_work_release(work);
    size_t capacity = n < 1024 ? 1024 : n + n / 4;
    if (capacity <= SIZE_MAX / sizeof(el_symbol) / 2) { /* a symbol and two entries of the heap */
        work->symbols = malloc(capacity * sizeof *work->symbols);
        work->heap = malloc(2 * capacity * sizeof *work->heap);
    }
    if (work->symbols == NULL || work->heap == NULL) {
        el_bpe_work_release(work);
        return el_fail(err, EDGELLM_ERR_MEMORY,
                       "tokenizer: no memory to merge a piece of %zu bytes", n);
    }
    work->capacity = capacity;
    return EDGELLM_OK;
}

/* ---- the heap ---- */

void el_bpe_work_push(el_bpe_work *work, uint64_t entry)
{
    uint64_t *heap = work->heap;
    uint32_t at = work->n_heap++;
    while (at > 0 && heap[(at - 1) / 2] > entry) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = entry;
}

uint64_t el_bpe_work_pop(el_bpe_work *work)
{
    uint64_t *heap = work->heap;
    uint64_t top = heap[0], last = heap[--work->n_heap];
    uint32_t at = 0;
    for (;;) {
        uint64_t child = 2 * (uint64_t)at + 1;
        if (child >= work->n_heap) break;
        if (child + 1 < work->n_heap && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= last) break;
        heap[at] = heap[child];
        at = (uint32_t)child;
    }
    heap[at] = last;
    return top;
}

/* ---- merging ---- */

/* Puts the symbol and the one after it on the heap, if they have a merge. */
static void propose(const el_bpe *bpe, el_bpe_work *work, uint32_t at)
{
    if (at == EL_TOKEN_NONE) return;
    const el_symbol *symbol = &work->symbols[at];
    if (symbol->next == EL_TOKEN_NONE) return;
    uint32_t rank = rank_of(bpe, symbol->id, work->symbols[symbol->next].id);
    if (rank != EL_TOKEN_NONE) el_bpe_work_push(work, (uint64_t)rank << 32 | at);
}

static void fill_symbols(const el_bpe *bpe, el_bpe_work *work, const uint8_t *piece, size_t len,
                         bool keep)
{
    uint32_t n = 0;
    for (size_t i = 0; i < len; i++) {
        uint32_t id = bpe->byte_ids[piece[i]];
        if (id == EL_TOKEN_NONE && !keep) continue;
        if (id == EL_TOKEN_NONE) id = bpe->vocab->n_tokens + piece[i];
        work->symbols[n] = (el_symbol){.id = id, .prev = n - 1, .next = n + 1};
        n++;
    }
    work->n_symbols = n;
    if (n == 0) return;
    work->symbols[0].prev = EL_TOKEN_NONE;
    work->symbols[n - 1].next = EL_TOKEN_NONE;
}

/* Does the merge still fit the symbols there? One of them may have been merged since. */
static bool still_fits(const el_bpe *bpe, const el_bpe_work *work, uint32_t rank, uint32_t at)
{
    const el_symbol *left = &work->symbols[at];
    const el_merge *merge = &bpe->vocab->merges[rank];
    return left->id == merge->left && left->next != EL_TOKEN_NONE &&
           work->symbols[left->next].id == merge->right;
}

static void join(const el_bpe *bpe, el_bpe_work *work, uint32_t rank, uint32_t at)
{
    el_symbol *left = &work->symbols[at];
    el_symbol *right = &work->symbols[left->next];
    left->id = bpe->merged[rank];
    left->next = right->next;
    if (right->next != EL_TOKEN_NONE) work->symbols[right->next].prev = at;
    right->id = EL_TOKEN_NONE;
    propose(bpe, work, left->prev);
    propose(bpe, work, at);
}

edgellm_status el_bpe_merge(const el_bpe *bpe, el_bpe_work *work, const uint8_t *piece, size_t len,
                            bool keep, edgellm_error *err)
{
    EL_TRY(el_bpe_work_room(work, len, err));
    fill_symbols(bpe, work, piece, len, keep);
    work->n_heap = 0;
    for (uint32_t at = 0; at < work->n_symbols; at++)
        propose(bpe, work, at);
    /* At most n - 1 entries now; each merge takes one and adds two, so never more than 2n. */
    while (work->n_heap > 0) {
        uint64_t entry = el_bpe_work_pop(work);
        uint32_t rank = (uint32_t)(entry >> 32), at = (uint32_t)entry;
        if (still_fits(bpe, work, rank, at)) join(bpe, work, rank, at);
    }
    return EDGELLM_OK;
}
