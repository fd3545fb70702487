/*
 * mutate.h: for formats with checksums. Random changes to such a file would all end at the
 * checksum; a custom mutator takes the file apart, changes a part and puts it together again with
 * offsets, sizes and checksums that fit, so that the parser behind them gets to see the change.
 */
#ifndef EL_FUZZ_MUTATE_H
#define EL_FUZZ_MUTATE_H

#include "fuzz/fuzz.h"

enum { FUZZ_PARTS = 8 };

typedef struct fuzz_part {
    uint8_t *bytes; /* (room) */
    size_t size;
} fuzz_part;

typedef struct fuzz_parts {
    fuzz_part part[FUZZ_PARTS];
    unsigned n;
    size_t room; /* of each part */
} fuzz_parts;

/* xorshift: 0 .. below-1. The state starts as libFuzzer's seed, and not 0. */
uint32_t fuzz_draw(uint32_t *state, uint32_t below);

/* Adds the bytes [at, at + n) of a file as a part; false if they are not inside. */
bool fuzz_take_part(fuzz_parts *parts, const uint8_t *data, size_t size, uint64_t at, uint64_t n);
void fuzz_release_parts(fuzz_parts *parts);

/* Version 1, size and checksums in a header of 128 bytes, which sessions and adapters both have. */
void fuzz_seal(const char magic[8], uint8_t *data, size_t size);

/* Makes one part longer, shorter or different. */
void fuzz_mutate_part(fuzz_parts *parts, uint32_t *state);

/* What the fuzzer's mutator, in mutate.c, needs to know of a format: each has one of these. */
typedef struct fuzz_format {
    /* Changes a part of the file and puts it together again; its new size, or 0 if it is no file
     * of the format. */
    size_t (*mutate)(uint8_t *data, size_t size, size_t max_size, uint32_t *state);
    void (*seal)(uint8_t *data, size_t size); /* makes the checksums fit */
    size_t least;                             /* bytes of a file that can be sealed */
} fuzz_format;

extern const fuzz_format fuzz_mutated;

#endif
