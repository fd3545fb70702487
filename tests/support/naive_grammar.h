/*
 * naive_grammar.h: random grammars for tests, as GBNF and as a tree that a slow matcher walks: for
 * a text and a place in it, all places where an item can end, by trying everything.
 */
#ifndef EL_TEST_NAIVE_GRAMMAR_H
#define EL_TEST_NAIVE_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NAIVE_RULES = 4, NAIVE_ITEMS = 400, NAIVE_TEXT = 60 };

typedef enum naive_kind {
    NAIVE_CHAR,   /* one of the characters in `chars`, or with `negated` one that is not in it */
    NAIVE_RULE,   /* rule `a` */
    NAIVE_PAIR,   /* item a, then item b */
    NAIVE_EITHER, /* item a, or item b */
    NAIVE_REPEAT, /* item a, least .. most times */
    NAIVE_NOTHING
} naive_kind;

typedef struct naive_item {
    naive_kind kind;
    int a, b;
    uint32_t chars; /* bits over naive_chars */
    bool negated;
    int least, most; /* most -1: any number */
} naive_item;

typedef struct naive_grammar {
    naive_item items[NAIVE_ITEMS];
    int n_items, rules[NAIVE_RULES], n_rules;
    char text[1 << 16]; /* GBNF */
    size_t len;
} naive_grammar;

/* The characters that random grammars and texts are made of. */
#define NAIVE_CHARS 9
extern const char *const naive_chars[NAIVE_CHARS];

void naive_random(naive_grammar *g, uint64_t *random);

typedef struct naive_answer {
    bool whole;  /* the text is one that the grammar allows */
    bool begins; /* or the beginning of a longer one */
} naive_answer;

/* len <= NAIVE_TEXT. Rules must be productive and without left recursion. */
naive_answer naive_match(const naive_grammar *g, const uint8_t *text, size_t len);

#endif
