/*
 * added.h: the tokens that are matched whole, before a text is merged, as their flags say
 * (el_token_flag): they may take in the white space beside them, or stand only where a word does
 * not go on. There are two stages: names in the text as it is, then in each part that is left, as
 * it is made ready for merging, those that are to be found there.
 */
#ifndef EL_TOKEN_ADDED_H
#define EL_TOKEN_ADDED_H

#include "token/names.h"

enum { EL_ADDED_STAGES = 2 };

typedef struct el_added {
    el_names stages[EL_ADDED_STAGES];
} el_added;

/* The USER tokens, and the special ones too if `special`. The room as with el_names_build(). */
void el_added_build(el_added *added, const el_vocab *vocab, bool special, el_arena *arena);

/* Where the cutting of a part of a text has got to. */
typedef struct el_added_cut {
    const el_names *names;
    const uint8_t *text;
    size_t begin, end; /* of the part */
    size_t from;       /* names are looked for */
    size_t done;       /* what stands before belongs to tokens */
} el_added_cut;

el_added_cut el_added_start(const el_names *names, const uint8_t *text, size_t begin, size_t end);

/* The next token, and the text before it, which may be empty: [*gap, *gap_end). EL_TOKEN_NONE once
 * there is no more, with the text that is left. */
uint32_t el_added_next(el_added_cut *cut, size_t *gap, size_t *gap_end);

#endif
