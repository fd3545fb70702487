/*
 * gbnf.h: the text of a grammar, as llama.cpp's users write it (docs/GRAMMAR.md), to a tree of
 * items. Knows nothing of tokens. The text may come from anybody: size, rules, nesting and counts
 * are bounded, and every error says line, column and what to do.
 *
 *   gbnf.c        the text to items
 *   gbnf_chars.c  characters, escapes, classes
 *   program.c     items to a program
 */
#ifndef EL_GRAMMAR_GBNF_H
#define EL_GRAMMAR_GBNF_H

#include "base/error.h"

#define EL_GBNF_TEXT_MAX   (1u << 20) /* bytes */
#define EL_GBNF_RULES_MAX  4096
#define EL_GBNF_ITEMS_MAX  (1u << 18)
#define EL_GBNF_DEPTH_MAX  64      /* groups in groups */
#define EL_GBNF_COUNT_MAX  1000000 /* of {m,n} */
#define EL_GBNF_NAMES      8192    /* twice as many */
#define EL_GBNF_NAME_SHOWN 60
#define EL_GBNF_NONE       UINT32_MAX
#define EL_GBNF_NO_LIMIT   UINT32_MAX

typedef enum el_gbnf_kind {
    EL_GBNF_TEXT,     /* bytes [first, first + count) */
    EL_GBNF_CLASS,    /* one character of ranges [first, first + count) */
    EL_GBNF_RULE,     /* what rule `first` is */
    EL_GBNF_SEQUENCE, /* items one after the other: `first` is the last of them */
    EL_GBNF_CHOICE,   /* one of the items */
    EL_GBNF_REPEAT    /* item `first`, least .. most times */
} el_gbnf_kind;

typedef struct el_gbnf_item {
    el_gbnf_kind kind;
    uint32_t first, count;
    uint32_t before; /* the item before this one among its siblings; EL_GBNF_NONE */
    uint32_t least, most;
} el_gbnf_item;

typedef struct el_gbnf_range {
    uint32_t low, high; /* code points */
} el_gbnf_range;

typedef struct el_gbnf_rule {
    uint32_t name, name_bytes; /* in the text, where it is defined or else first used */
    uint32_t item;             /* EL_GBNF_NONE: used, but not defined */
} el_gbnf_rule;

/* A growing array. */
typedef struct el_gbnf_list {
    void *data;
    uint32_t n, room;
} el_gbnf_list;

typedef struct el_gbnf {
    const char *text;
    uint32_t len, at; /* where the parser is */
    el_gbnf_list items, ranges, bytes, rules;
    uint32_t root;
    uint32_t factor;               /* of the hash of names */
    uint16_t names[EL_GBNF_NAMES]; /* rules by the hash of their names, + 1; 0: free */
} el_gbnf;

/* Reads a text of `len` bytes, which must outlive *g; release it also after an error. Errors:
 * FORMAT, MEMORY. */
edgellm_status el_gbnf_parse(el_gbnf *g, const char *text, size_t len, edgellm_error *err);
void el_gbnf_release(el_gbnf *g);

static inline const el_gbnf_item *el_gbnf_item_at(const el_gbnf *g, uint32_t i)
{
    return (const el_gbnf_item *)g->items.data + i;
}

static inline const el_gbnf_rule *el_gbnf_rule_at(const el_gbnf *g, uint32_t i)
{
    return (const el_gbnf_rule *)g->rules.data + i;
}

/* "line 3, column 7: ...": what is wrong at byte `at` of the text. */
edgellm_status el_gbnf_fail(const el_gbnf *g, uint32_t at, edgellm_error *err, const char *format,
                            ...) __attribute__((format(printf, 4, 5)));
#ifdef __clang_analyzer__
#define el_gbnf_fail(g, at, err, ...)                                                              \
    el_failure(el_gbnf_fail(g, at, err, __VA_ARGS__), EDGELLM_ERR_FORMAT)
#endif

/* Appends n entries; their index in *first. Errors: MEMORY; FORMAT (more than `most`). */
edgellm_status el_gbnf_append(el_gbnf *g, el_gbnf_list *list, const void *entries, size_t size,
                              uint32_t n, uint32_t most, uint32_t *first, edgellm_error *err);

/* ---- gbnf_chars.c: from g->at on, which goes on behind what was read ---- */

/* Is the text UTF-8, without NUL? */
edgellm_status el_gbnf_check_text(el_gbnf *g, edgellm_error *err);
/* "...": the bytes of a literal. */
edgellm_status el_gbnf_literal(el_gbnf *g, el_gbnf_item *item, edgellm_error *err);
/* [...] or a dot: the ranges of a class, ascending and apart. */
edgellm_status el_gbnf_class(el_gbnf *g, el_gbnf_item *item, edgellm_error *err);

#endif
