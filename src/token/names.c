/* names.c: see names.h. */
#include "token/names.h"

#include <string.h>

#include "token/lookup.h"

/* ---- building ---- */

static bool is_name(const el_vocab *vocab, uint32_t id, el_names_kind *kind)
{
    return vocab->starts[id + 1] != vocab->starts[id] && kind(vocab, id);
}

/* Does name a sort before name b? */
static bool before(const el_vocab *vocab, uint32_t a, uint32_t b)
{
    size_t a_len, b_len;
    const uint8_t *a_bytes = el_vocab_bytes(vocab, a, &a_len);
    const uint8_t *b_bytes = el_vocab_bytes(vocab, b, &b_len);
    int order = memcmp(a_bytes, b_bytes, a_len < b_len ? a_len : b_len);
    if (order != 0) return order < 0;
    return a_len != b_len ? a_len < b_len : a < b;
}

/* Sinks the root of a heap whose first is the last in order. */
static void sink(const el_names *names, uint32_t root, uint32_t count)
{
    uint32_t *ids = names->ids;
    for (;;) {
        uint32_t child = 2 * root + 1;
        if (child >= count) return;
        if (child + 1 < count && before(names->vocab, ids[child], ids[child + 1])) child++;
        if (!before(names->vocab, ids[root], ids[child])) return;
        uint32_t id = ids[root];
        ids[root] = ids[child];
        ids[child] = id;
        root = child;
    }
}

/* Heap sort: a hostile file cannot make it slow. */
static void sort(el_names *names)
{
    for (uint32_t i = names->count / 2; i-- > 0;)
        sink(names, i, names->count);
    for (uint32_t end = names->count; end-- > 1;) {
        uint32_t id = names->ids[0];
        names->ids[0] = names->ids[end];
        names->ids[end] = id;
        sink(names, 0, end);
    }
}

void el_names_build(el_names *names, const el_vocab *vocab, el_names_kind *kind, el_arena *arena)
{
    uint32_t count = 0;
    for (uint32_t id = 0; id < vocab->n_tokens; id++)
        count += is_name(vocab, id, kind);
    uint32_t *ids = el_arena_take(arena, count, sizeof *ids);
    if (arena->base == NULL) return;

    *names = (el_names){.vocab = vocab, .ids = ids};
    for (uint32_t id = 0; id < vocab->n_tokens; id++) {
        if (!is_name(vocab, id, kind)) continue;
        uint8_t first = vocab->bytes[vocab->starts[id]];
        names->first[first / 8] |= (uint8_t)(1u << first % 8);
        ids[names->count++] = id;
    }
    sort(names);
}

/* ---- finding ---- */

/* Byte `depth` of a name; -1 just past its end, so a name sorts before its continuations. */
static int key_at(const el_names *names, uint32_t index, size_t depth)
{
    size_t len;
    const uint8_t *bytes = el_vocab_bytes(names->vocab, names->ids[index], &len);
    return depth < len ? bytes[depth] : -1;
}

/* First index in [low, high) whose byte at `depth` is not below `key`. */
static uint32_t lower_bound(const el_names *names, uint32_t low, uint32_t high, size_t depth,
                            int key)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (key_at(names, middle, depth) < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void el_names_narrow(const el_names *names, el_name_range *range, uint8_t byte)
{
    const uint32_t high = range->high;
    range->low = lower_bound(names, range->low, high, range->depth, byte);
    range->high = lower_bound(names, range->low, high, range->depth, byte + 1);
    range->depth++;
}

uint32_t el_names_whole(const el_names *names, const el_name_range *range)
{
    return key_at(names, range->low, range->depth) < 0 ? names->ids[range->low] : EL_TOKEN_NONE;
}

/* The longest name that the text begins with. */
static uint32_t longest(const el_names *names, const uint8_t *text, size_t len, size_t *name_len)
{
    el_name_range range = {0, names->count, 0};
    uint32_t best = EL_TOKEN_NONE;
    while (range.depth < len) {
        el_names_narrow(names, &range, text[range.depth]);
        if (range.low == range.high) break;
        const uint32_t whole = el_names_whole(names, &range);
        if (whole == EL_TOKEN_NONE) continue;
        best = whole;
        *name_len = range.depth;
    }
    return best;
}

uint32_t el_names_find(const el_names *names, const uint8_t *text, size_t len, size_t pos,
                       size_t *begin, size_t *end)
{
    const size_t skip = names->behind_space;
    for (size_t at = pos + skip; at < len && names->count > 0; at++) {
        if (!(names->first[text[at] / 8] >> text[at] % 8 & 1)) continue;
        if (skip > 0 && text[at - 1] != ' ') continue;
        size_t name_len = 0;
        uint32_t id = longest(names, text + at, len - at, &name_len);
        if (id == EL_TOKEN_NONE) continue;
        *begin = at - skip;
        *end = at + name_len;
        return id;
    }
    *begin = *end = len;
    return EL_TOKEN_NONE;
}
