/* session_mutator.c: session files (mutate.h): parts are the sections of docs/SESSION.md. */
#include <string.h>

#include "format/tm2_layout.h"
#include "fuzz/mutate.h"

/* As docs/SESSION.md says; written down again, so that a change there is noticed here. */
enum {
    AT_POSITION = 56,
    AT_SIZES = 64,
    AT_HEADER_CRC = 124,
    HEADER_BYTES = 128,
    TOKENS = 1,
    CACHE = 2,
    SECTIONS = 5
};

static bool take_apart(const uint8_t *data, size_t size, size_t max_size, fuzz_parts *p)
{
    uint64_t at = HEADER_BYTES;
    *p = (fuzz_parts){.room = max_size};
    if (size < HEADER_BYTES) return false;
    for (unsigned i = 0; i < SECTIONS; i++) {
        uint64_t n = el_load64(data + AT_SIZES + 8 * i);
        if (!fuzz_take_part(p, data, size, at, n)) {
            fuzz_release_parts(p);
            return false;
        }
        at = el_tm2_aligned(at + n);
    }
    return true;
}

static void seal(uint8_t *data, size_t size)
{
    fuzz_seal("\x93"
              "ELS\r\n\x1a\n",
              data, size);
}

/* Writes the file behind the header that is there; 0 if it would be longer than max_size. */
static size_t put_together(const fuzz_parts *p, uint8_t *data, size_t max_size)
{
    uint64_t end = HEADER_BYTES;
    for (unsigned i = 0; i < SECTIONS; i++)
        end = el_tm2_aligned(end) + p->part[i].size;
    if (end > max_size) return 0;
    size_t size = (size_t)end;
    memset(data + HEADER_BYTES, 0, size - HEADER_BYTES);
    end = HEADER_BYTES;
    for (unsigned i = 0; i < SECTIONS; i++) {
        end = el_tm2_aligned(end);
        memcpy(data + end, p->part[i].bytes, p->part[i].size);
        el_store64(data + AT_SIZES + 8 * i, p->part[i].size);
        end += p->part[i].size;
    }
    seal(data, size);
    return size;
}

/* More or fewer positions: tokens and cache repeat what they held. */
static void stretch(fuzz_parts *p, uint8_t *data, uint32_t *state)
{
    static const unsigned parts[] = {TOKENS, CACHE};
    uint32_t old = el_load32(data + AT_POSITION), position = fuzz_draw(state, 40);
    if (old == 0 || old > p->part[TOKENS].size) return;
    for (unsigned k = 0; k < 2; k++) {
        fuzz_part *part = &p->part[parts[k]];
        size_t one = part->size / old, size = one * position;
        if (one == 0 || size > p->room) return;
        for (size_t i = part->size; i < size; i++)
            part->bytes[i] = part->bytes[i - one];
        part->size = size;
    }
    el_store32(data + AT_POSITION, position);
}

static size_t mutate_parts(uint8_t *data, size_t size, size_t max_size, uint32_t *state)
{
    fuzz_parts p;
    if (!take_apart(data, size, max_size, &p)) return 0;
    switch (fuzz_draw(state, 8)) {
    case 0:
        stretch(&p, data, state);
        break;
    case 1: /* the header, less what seal() writes */
        LLVMFuzzerMutate(data, AT_HEADER_CRC, AT_HEADER_CRC);
        break;
    default:
        fuzz_mutate_part(&p, state);
    }
    size_t made = put_together(&p, data, max_size);
    fuzz_release_parts(&p);
    return made;
}

const fuzz_format fuzz_mutated = {.mutate = mutate_parts, .seal = seal, .least = HEADER_BYTES};
