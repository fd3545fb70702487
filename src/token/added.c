/* added.c: see added.h. */
#include "token/added.h"

#include "token/chars.h"
#include "token/lookup.h"

/* ---- which tokens ---- */

/* SentencePiece finds a user's tokens behind the space that it puts before a text. */
static bool is_later(const el_vocab *vocab, uint32_t id)
{
    const bool is_user = vocab->types[id] == EL_TOKEN_USER;
    return (el_vocab_flags(vocab, id) & EL_TOKEN_NORMALIZED) ||
           (is_user && vocab->space_first == EL_SPACE_BEFORE);
}

static bool is_user_first(const el_vocab *vocab, uint32_t id)
{
    return vocab->types[id] == EL_TOKEN_USER && !is_later(vocab, id);
}

static bool is_user_later(const el_vocab *vocab, uint32_t id)
{
    return vocab->types[id] == EL_TOKEN_USER && is_later(vocab, id);
}

static bool is_any_first(const el_vocab *vocab, uint32_t id)
{
    return is_user_first(vocab, id) || (el_vocab_is_special(vocab, id) && !is_later(vocab, id));
}

static bool is_any_later(const el_vocab *vocab, uint32_t id)
{
    return is_user_later(vocab, id) || (el_vocab_is_special(vocab, id) && is_later(vocab, id));
}

void el_added_build(el_added *added, const el_vocab *vocab, bool special, el_arena *arena)
{
    static el_names_kind *const kinds[2][EL_ADDED_STAGES] = {{is_user_first, is_user_later},
                                                             {is_any_first, is_any_later}};
    for (int stage = 0; stage < EL_ADDED_STAGES; stage++)
        el_names_build(&added->stages[stage], vocab, kinds[special][stage], arena);
    /* There a name is made ready as a text is. */
    added->stages[1].behind_space = vocab->space_first == EL_SPACE_EACH;
}

/* ---- finding them ---- */

el_added_cut el_added_start(const el_names *names, const uint8_t *text, size_t begin, size_t end)
{
    return (el_added_cut){names, text, begin, end, begin, begin};
}

static bool is_in_word(const el_added_cut *cut, size_t begin, size_t end)
{
    return el_chars_is_word(el_chars_before(cut->text, cut->begin, begin)) ||
           el_chars_is_word(el_chars_at(cut->text + end, cut->end - end));
}

/* The next name that may stand where it does. What another one would begin in is passed over too.
 */
static uint32_t find(el_added_cut *cut, size_t *begin, size_t *end)
{
    for (;; cut->from = *end) {
        const uint32_t id = el_names_find(cut->names, cut->text, cut->end, cut->from, begin, end);
        if (id == EL_TOKEN_NONE) return id;
        const unsigned flags = el_vocab_flags(cut->names->vocab, id);
        if (!(flags & EL_TOKEN_SINGLE_WORD) || !is_in_word(cut, *begin, *end)) return id;
    }
}

/* Where the white space begins that ends at `end`. */
static size_t space_before(const el_added_cut *cut, size_t end)
{
    while (end > cut->done) {
        const el_char c = el_chars_before(cut->text, cut->done, end);
        if (c.kind != EL_CHAR_SPACE) break;
        end -= c.size;
    }
    return end;
}

/* Where the white space ends that begins at `begin`. */
static size_t space_behind(const el_added_cut *cut, size_t begin)
{
    el_char c = el_chars_at(cut->text + begin, cut->end - begin);
    for (; c.kind == EL_CHAR_SPACE; c = el_chars_at(cut->text + begin, cut->end - begin))
        begin += c.size;
    return begin;
}

uint32_t el_added_next(el_added_cut *cut, size_t *gap, size_t *gap_end)
{
    size_t begin, end;
    const uint32_t id = find(cut, &begin, &end);
    const unsigned flags = id != EL_TOKEN_NONE ? el_vocab_flags(cut->names->vocab, id) : 0;
    *gap = cut->done;
    *gap_end = flags & EL_TOKEN_LSTRIP ? space_before(cut, begin) : begin;
    if (*gap_end < *gap) *gap_end = *gap; /* a name in white space that is taken in already */
    cut->from = end;
    cut->done = flags & EL_TOKEN_RSTRIP ? space_behind(cut, end) : end;
    return id;
}
