/*
 * pretoken.h: cuts text into the pieces inside which tokens are merged. Each pre-tokenizer is a
 * row of a table: a scanner written by hand for the regular expression that the model family
 * publishes, and what is done before. Text is taken as it is; that some tokenizers normalise
 * it first (nfc.h) is a fact of the vocabulary, not of the row.
 */
#ifndef EL_TOKEN_PRETOKEN_H
#define EL_TOKEN_PRETOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct el_pretokenizer el_pretokenizer;

struct el_pretokenizer {
    const char *name;
    /* Length of the first piece of a text of len >= 1 bytes. */
    size_t (*scan)(const el_pretokenizer *row, const uint8_t *text, size_t len);
    uint8_t number_run; /* not gpt2's: numbers in one piece */
    bool split_digits;  /* first make each numeric character a text of its own */
    bool whole_pieces;  /* a piece that is a token needs no merges ("ignore_merges") */
    bool contractions;  /* words by case end in them */
};

/* The row of that name (or another name in use for it); NULL if there is none. */
const el_pretokenizer *el_pretoken_find(const char *name);

/* Row by index, for messages and tests; NULL past the last. */
const el_pretokenizer *el_pretoken_row(size_t index);

/* Where the cutting of a text has got to. */
typedef struct el_cutter {
    const el_pretokenizer *row;
    const uint8_t *text;
    size_t len;
    size_t pos;   /* start of the next piece */
    size_t limit; /* end of the part in which it lies: split_digits */
} el_cutter;

el_cutter el_pretoken_start(const el_pretokenizer *row, const uint8_t *text, size_t len);

/* The next piece and its length; NULL when the text is used up. */
const uint8_t *el_pretoken_next(el_cutter *cutter, size_t *len);

#endif
