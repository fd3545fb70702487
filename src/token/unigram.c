/*
 * unigram.c: see unigram.h. A symbol stands at each place of a text, 0 to its length: what best
 * ends there. Its id is the token, `prev` where that begins, `next` the bits of the sum of scores
 * up to there; in the end `next` is where the token ends that begins there.
 */
#include "token/unigram.h"

#include <string.h>

#include "base/half.h"
#include "token/chars.h"

#define UNKNOWN_PENALTY 10.0f

static float score_of(const el_vocab *vocab, uint32_t id)
{
    return el_float_of_bits(vocab->ranks[id]);
}

static float unknown_score(const el_vocab *vocab)
{
    float least = 0;
    bool has_any = false;
    for (uint32_t id = 0; id < vocab->n_tokens; id++) {
        if (vocab->types[id] != EL_TOKEN_NORMAL) continue;
        const float score = score_of(vocab, id);
        if (!has_any || score < least) least = score;
        has_any = true;
    }
    return least - UNKNOWN_PENALTY;
}

static bool is_normal(const el_vocab *vocab, uint32_t id)
{
    return vocab->types[id] == EL_TOKEN_NORMAL;
}

void el_unigram_build(el_unigram *unigram, const el_vocab *vocab, el_arena *arena)
{
    el_names_build(&unigram->names, vocab, is_normal, arena);
    if (arena->base == NULL) return;
    memset(unigram->first, 0, sizeof unigram->first);
    for (uint32_t i = 0; i < unigram->names.count; i++)
        unigram->first[vocab->bytes[vocab->starts[unigram->names.ids[i]]] + 1]++;
    for (unsigned byte = 0; byte < 256; byte++)
        unigram->first[byte + 1] += unigram->first[byte];
    unigram->unknown = unknown_score(vocab);
}

/* ---- cutting ---- */

static bool is_reached(const el_bpe_work *work, size_t at)
{
    return work->symbols[at].prev != EL_TOKEN_NONE;
}

/* The piece from `begin` to `end` takes the place of another that ends there, if it is better. */
static void offer(el_bpe_work *work, size_t begin, size_t end, uint32_t id, float sum)
{
    el_symbol *best = &work->symbols[end];
    if (is_reached(work, end) && sum <= el_float_of_bits(best->next)) return;
    *best = (el_symbol){.id = id, .prev = (uint32_t)begin, .next = el_bits_of_float(sum)};
}

static uint32_t size_of_character(const uint8_t *text, size_t len)
{
    uint32_t code;
    const int size = el_chars_decode(text, len, &code);
    return size > 0 ? (uint32_t)size : 1;
}

/* All pieces that begin at a place, which is the beginning of a character; returns its bytes. */
static uint32_t offer_from(const el_unigram *unigram, el_bpe_work *work, const uint8_t *text,
                           size_t len, size_t at)
{
    const el_names *names = &unigram->names;
    const uint32_t character = size_of_character(text + at, len - at);
    const float sum = el_float_of_bits(work->symbols[at].next);
    el_name_range range = {unigram->first[text[at]], unigram->first[text[at] + 1], 1};
    bool is_token = false;
    while (range.low < range.high) {
        const uint32_t id = el_names_whole(names, &range);
        const size_t end = at + range.depth;
        if (id != EL_TOKEN_NONE) offer(work, at, end, id, sum + score_of(names->vocab, id));
        is_token |= id != EL_TOKEN_NONE && range.depth == character;
        if (end == len) break;
        el_names_narrow(names, &range, text[end]);
    }
    if (!is_token) offer(work, at, at + character, EL_TOKEN_NONE, sum + unigram->unknown);
    return character;
}

edgellm_status el_unigram_cut(const el_unigram *unigram, el_bpe_work *work, const uint8_t *text,
                              size_t len, edgellm_error *err)
{
    EL_TRY(el_bpe_work_room(work, len + 1, err));
    for (size_t at = 0; at <= len; at++)
        work->symbols[at] = (el_symbol){.prev = EL_TOKEN_NONE};
    work->symbols[0].next = el_bits_of_float(0);
    for (size_t at = 0; at < len;)
        at += offer_from(unigram, work, text, len, at);
    for (size_t at = len; at > 0;) {
        const uint32_t begin = work->symbols[at].prev;
        work->symbols[begin].next = (uint32_t)at;
        at = begin;
    }
    return EDGELLM_OK;
}

uint32_t el_unigram_next(const el_bpe_work *work, size_t *at, size_t *size)
{
    const uint32_t end = work->symbols[*at].next;
    *size = end - *at;
    *at = end;
    return work->symbols[end].id;
}
