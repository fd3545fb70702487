/* tma_mutator.c: adapters (mutate.h): entries change, and the matrices follow in the sizes that the
 * entries then ask for. */
#include <stdlib.h>
#include <string.h>

#include "format/tm2_layout.h"
#include "fuzz/mutate.h"

/* As docs/ADAPTERS.md says; written down again, so that a change there is noticed here. */
enum {
    AT_ENTRIES = 12,
    AT_HEADER_CRC = 124,
    HEADER_BYTES = 128,
    AT_PART = 4,
    AT_RANK = 8,
    ENTRY_BYTES = 16,
    LAYERS = 2, /* of the model that session_model.c makes */
    PARTS = 7,
    WIDTH = 32,
    KV = 16
};

static void seal(uint8_t *data, size_t size)
{
    fuzz_seal("\x93"
              "TMA\r\n\x1a\n",
              data, size);
}

/* Bytes of A, or of B, of an entry. */
static uint64_t matrix_bytes(const uint8_t *entry, bool is_b)
{
    const uint32_t part = el_load32(entry + AT_PART);
    const uint32_t rows = part == 1 || part == 2 ? KV : WIDTH;
    return (uint64_t)el_load32(entry + AT_RANK) * (is_b ? rows : WIDTH) * sizeof(float);
}

/* Where the file ends that has these entries. */
static uint64_t end_of(const uint8_t *entries, uint32_t n)
{
    uint64_t end = HEADER_BYTES + (uint64_t)n * ENTRY_BYTES;
    for (uint32_t i = 0; i < 2 * n; i++)
        end = el_tm2_aligned(end) + matrix_bytes(entries + (size_t)(i / 2) * ENTRY_BYTES, i % 2);
    return end;
}

/* Lays the file out anew: what was in the matrices comes again and again. */
static size_t lay_out(uint8_t *data, size_t size, size_t max_size, uint32_t n)
{
    const uint8_t *entries = data + HEADER_BYTES;
    const uint64_t end = end_of(entries, n);
    uint64_t at = HEADER_BYTES + (uint64_t)n * ENTRY_BYTES;
    if (end > max_size || at > size) return 0;
    const size_t old = size - (size_t)at;
    uint8_t *floats = fuzz_room(old + 1);
    memcpy(floats, data + at, old);
    memset(data + at, 0, (size_t)(end - at));
    for (uint32_t i = 0; i < 2 * n; i++) {
        const uint64_t bytes = matrix_bytes(entries + (size_t)(i / 2) * ENTRY_BYTES, i % 2);
        at = el_tm2_aligned(at);
        for (uint64_t k = 0; k < bytes && old >= sizeof(float); k++)
            data[at + k] = floats[(at + k) % (old / sizeof(float) * sizeof(float))];
        at += bytes;
    }
    free(floats);
    return (size_t)end;
}

static void change_entry(uint8_t *entry, uint32_t *state)
{
    switch (fuzz_draw(state, 4)) {
    case 0:
        el_store32(entry, fuzz_draw(state, LAYERS + 1));
        break;
    case 1:
        el_store32(entry + AT_PART, fuzz_draw(state, PARTS + 1));
        break;
    case 2:
        el_store32(entry + AT_RANK, fuzz_draw(state, 6));
        break;
    default:
        LLVMFuzzerMutate(entry, ENTRY_BYTES, ENTRY_BYTES);
    }
}

static size_t mutate(uint8_t *data, size_t size, size_t max_size, uint32_t *state)
{
    uint32_t n = size >= HEADER_BYTES ? el_load32(data + AT_ENTRIES) : 0;
    if (n == 0 || n > LAYERS * PARTS || HEADER_BYTES + (size_t)n * ENTRY_BYTES > size) return 0;
    const size_t body = HEADER_BYTES + (size_t)n * ENTRY_BYTES;
    size_t made = size;
    switch (fuzz_draw(state, 8)) {
    case 0: /* the header, less what seal() writes */
        LLVMFuzzerMutate(data, AT_HEADER_CRC, AT_HEADER_CRC);
        break;
    case 1: /* fewer entries */
        el_store32(data + AT_ENTRIES, n = 1 + fuzz_draw(state, n));
        made = lay_out(data, size, max_size, n);
        break;
    case 2:
    case 3:
    case 4:
        change_entry(data + HEADER_BYTES + (size_t)fuzz_draw(state, n) * ENTRY_BYTES, state);
        made = lay_out(data, size, max_size, n);
        break;
    default:
        if (size > body) LLVMFuzzerMutate(data + body, size - body, size - body);
    }
    if (made > 0) seal(data, made);
    return made;
}

const fuzz_format fuzz_mutated = {.mutate = mutate, .seal = seal, .least = HEADER_BYTES};
