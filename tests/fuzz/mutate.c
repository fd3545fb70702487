/* mutate.c: see mutate.h. */
#include "fuzz/mutate.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32.h"
#include "format/tm2_layout.h"

enum { GROWTH = 64 };

/* As docs/SESSION.md and docs/ADAPTERS.md say; written down again, so that a change is noticed. */
enum {
    AT_VERSION = 8,
    AT_FILE_BYTES = 16,
    AT_BODY_CRC = 24,
    AT_HEADER_CRC = 124,
    HEADER_BYTES = 128
};

uint32_t fuzz_draw(uint32_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state % below;
}

void fuzz_seal(const char magic[8], uint8_t *data, size_t size)
{
    memcpy(data, magic, 8);
    el_store32(data + AT_VERSION, 1);
    el_store64(data + AT_FILE_BYTES, size);
    el_store32(data + AT_BODY_CRC, el_crc32(0, data + HEADER_BYTES, size - HEADER_BYTES));
    el_store32(data + AT_HEADER_CRC, el_crc32(0, data, AT_HEADER_CRC));
}

bool fuzz_take_part(fuzz_parts *parts, const uint8_t *data, size_t size, uint64_t at, uint64_t n)
{
    if (parts->n == FUZZ_PARTS || at > size || n > size - at || n > parts->room) return false;
    fuzz_part *part = &parts->part[parts->n++];
    *part = (fuzz_part){fuzz_room(parts->room), (size_t)n};
    if (n > 0) memcpy(part->bytes, data + at, (size_t)n);
    return true;
}

void fuzz_release_parts(fuzz_parts *parts)
{
    for (unsigned i = 0; i < parts->n; i++)
        free(parts->part[i].bytes);
    parts->n = 0;
}

void fuzz_mutate_part(fuzz_parts *parts, uint32_t *state)
{
    fuzz_part *part = &parts->part[fuzz_draw(state, parts->n)];
    size_t limit = fuzz_draw(state, 2) ? part->size : part->size + GROWTH; /* half keep the size */
    if (limit > parts->room) limit = parts->room;
    if (limit > 0) part->size = LLVMFuzzerMutate(part->bytes, part->size, limit);
}

/* Mostly a change that keeps the format; else any, sealed or not. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    uint32_t state = seed | 1;
    if (fuzz_draw(&state, 8) > 0) {
        size_t made = fuzz_mutated.mutate(data, size, max_size, &state);
        if (made > 0) return made;
    }
    size_t made = LLVMFuzzerMutate(data, size, max_size);
    if (made >= fuzz_mutated.least && fuzz_draw(&state, 2)) fuzz_mutated.seal(data, made);
    return made;
}
