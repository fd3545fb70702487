/*
 * names.h: finds names of tokens in a text: the leftmost one, and of several that begin there the
 * longest. The ids lie sorted by name, so a name is looked up by
 * narrowing a range of them byte by byte.
 */
#ifndef EL_TOKEN_NAMES_H
#define EL_TOKEN_NAMES_H

#include "base/arena.h"
#include "format/vocab.h"

typedef struct el_names {
    const el_vocab *vocab;
    uint32_t *ids; /* (count) in order of their bytes, then of id */
    uint32_t count;
    uint8_t first[32]; /* bit set: the bytes that a name begins with */
    bool behind_space; /* a name is found with a space before it, which belongs to it */
} el_names;

/* Of which tokens names are collected. */
typedef bool el_names_kind(const el_vocab *vocab, uint32_t id);

/* Collects the names of a kind. Takes the room from `arena`; fills nothing in while it measures. */
void el_names_build(el_names *names, const el_vocab *vocab, el_names_kind *kind, el_arena *arena);

/*
 * The first name at or after `pos`: its id, and its place in *begin and *end.
 * EL_TOKEN_NONE if there is none, with *begin = *end = len.
 */
uint32_t el_names_find(const el_names *names, const uint8_t *text, size_t len, size_t pos,
                       size_t *begin, size_t *end);

/* Names that begin with the same `depth` bytes: ids[low] to ids[high - 1]. */
typedef struct el_name_range {
    uint32_t low, high;
    size_t depth;
} el_name_range;

/* Leaves those in which `byte` comes next. */
void el_names_narrow(const el_names *names, el_name_range *range, uint8_t byte);

/* The name that has no more bytes; EL_TOKEN_NONE if there is none. The range is not empty. */
uint32_t el_names_whole(const el_names *names, const el_name_range *range);

#endif
