/* tm2_mutator.c: TM2 files (mutate.h): parts are the sections; weights are laid out again too. */
#include <stdlib.h>
#include <string.h>

#include "base/crc32.h"
#include "format/tm2_layout.h"
#include "fuzz/mutate.h"
#include "kernel/matrix.h"

typedef struct pieces {
    fuzz_parts sections;
    uint32_t version;
    uint64_t weights_at; /* where section weights was: data offsets count from the file's start */
} pieces;

static bool take_apart(const uint8_t *data, size_t size, size_t max_size, pieces *p)
{
    *p = (pieces){.sections = {.room = max_size}};
    if (size < EL_TM2_FIRST) return false;
    p->version = el_load32(data + EL_TM2_AT_VERSION);
    for (int i = 0; i < EL_TM2_SECTIONS; i++) {
        const uint8_t *entry = data + EL_TM2_HEADER_BYTES + i * EL_TM2_ENTRY_BYTES;
        uint64_t at = el_load64(entry + EL_TM2_AT_OFFSET), n = el_load64(entry + EL_TM2_AT_SIZE);
        if (i == EL_TM2_WEIGHTS) p->weights_at = at;
        if (fuzz_take_part(&p->sections, data, size, at, n)) continue;
        fuzz_release_parts(&p->sections);
        return false;
    }
    return true;
}

/* ---- the tensors ----------------------------------------------------------------------- */

static uint32_t tensor_count(const pieces *p)
{
    return (uint32_t)(p->sections.part[EL_TM2_TENSORS].size / EL_TM2_TENSOR_BYTES);
}

static uint8_t *tensor_entry(const pieces *p, uint32_t index)
{
    return p->sections.part[EL_TM2_TENSORS].bytes + (size_t)index * EL_TM2_TENSOR_BYTES;
}

static uint64_t tensor_bytes(const uint8_t *entry)
{
    uint32_t rows = el_load32(entry + EL_TM2_AT_ROWS), cols = el_load32(entry + EL_TM2_AT_COLS);
    el_matrix_layout layout;
    if (entry[EL_TM2_AT_CODEC] == EL_CODEC_F32) return (uint64_t)rows * cols * sizeof(float);
    if (el_matrix_measure(rows, cols, (el_codec)entry[EL_TM2_AT_CODEC],
                          (el_scale_kind)entry[EL_TM2_AT_SCALE_KIND],
                          el_load32(entry + EL_TM2_AT_GROUP), &layout)) {
        return el_load64(entry + EL_TM2_AT_DATA_BYTES);
    }
    return layout.bytes;
}

/* Gives one tensor another codec, scale kind, group, rotation or shape. */
static void retype_tensor(pieces *p, uint32_t *state)
{
    static const uint32_t groups[] = {0, 32, 64, 128};
    if (tensor_count(p) == 0) return;
    uint8_t *entry = tensor_entry(p, fuzz_draw(state, tensor_count(p)));
    switch (fuzz_draw(state, 5)) {
    case 0:
        entry[EL_TM2_AT_CODEC] = (uint8_t)fuzz_draw(state, EL_CODEC_COUNT);
        break;
    case 1:
        entry[EL_TM2_AT_SCALE_KIND] = (uint8_t)fuzz_draw(state, EL_SCALE_KINDS);
        break;
    case 2:
        el_store32(entry + EL_TM2_AT_GROUP, groups[fuzz_draw(state, 4)]);
        break;
    case 3:
        entry[EL_TM2_AT_ROTATION] ^= EL_ROTATION_HADAMARD64;
        break;
    default:
        el_store32(entry + (fuzz_draw(state, 2) ? EL_TM2_AT_ROWS : EL_TM2_AT_COLS),
                   fuzz_draw(state, 80) + 1);
    }
}

/* Lays the weights out again in the order of the directory: each tensor keeps what it had of its
 * new size. False: no room. */
static bool pack_weights(pieces *p, uint64_t weights_at)
{
    fuzz_part old = p->sections.part[EL_TM2_WEIGHTS], fresh = {fuzz_room(p->sections.room), 0};
    bool fits = true;
    for (uint32_t i = 0; i < tensor_count(p) && fits; i++) {
        uint8_t *entry = tensor_entry(p, i);
        uint64_t from = el_load64(entry + EL_TM2_AT_DATA) - p->weights_at; /* may be nonsense */
        uint64_t bytes = tensor_bytes(entry), at = el_tm2_aligned(fresh.size);
        fits = bytes <= p->sections.room && at + bytes <= p->sections.room;
        if (!fits) break;
        memset(fresh.bytes + fresh.size, 0, (size_t)(at + bytes) - fresh.size);
        uint64_t left = from < old.size ? old.size - from : 0;
        uint64_t kept = left < bytes ? left : bytes;
        if (kept > 0) memcpy(fresh.bytes + at, old.bytes + from, (size_t)kept);
        el_store64(entry + EL_TM2_AT_DATA, weights_at + at);
        el_store64(entry + EL_TM2_AT_DATA_BYTES, bytes);
        el_store32(entry + EL_TM2_AT_DATA_CRC, el_crc32(0, fresh.bytes + at, (size_t)bytes));
        fresh.size = (size_t)(at + bytes);
    }
    if (!fits) {
        free(fresh.bytes);
        return false;
    }
    free(old.bytes);
    p->sections.part[EL_TM2_WEIGHTS] = fresh;
    return true;
}

/* ---- together again -------------------------------------------------------------------- */

/* Where section `index` begins. */
static uint64_t place_of(const pieces *p, int index)
{
    uint64_t at = EL_TM2_FIRST;
    for (int i = 0; i < index; i++)
        at = el_tm2_aligned(at + p->sections.part[i].size);
    return at;
}

/* A version that is read stays. */
static void seal(uint8_t *data, size_t size)
{
    const uint32_t version = el_load32(data + EL_TM2_AT_VERSION);
    memcpy(data, EL_TM2_MAGIC, EL_TM2_MAGIC_BYTES);
    if (version < EL_TM2_OLDEST || version > EL_TM2_VERSION)
        el_store32(data + EL_TM2_AT_VERSION, EL_TM2_USUAL);
    el_store32(data + EL_TM2_AT_SECTIONS, EL_TM2_SECTIONS);
    el_store64(data + EL_TM2_AT_FILE_BYTES, size);
    el_store32(data + EL_TM2_AT_TABLE_CRC,
               el_crc32(0, data + EL_TM2_HEADER_BYTES, EL_TM2_TABLE_BYTES));
    el_store32(data + EL_TM2_AT_HEADER_CRC, el_crc32(0, data, EL_TM2_AT_HEADER_CRC));
}

/* Writes the file; 0 if it would be longer than max_size. */
static size_t put_together(const pieces *p, uint8_t *data, size_t max_size)
{
    int last = EL_TM2_SECTIONS - 1;
    uint64_t size = place_of(p, last) + p->sections.part[last].size;
    if (size > max_size) return 0;
    memset(data, 0, (size_t)size);
    for (int i = 0; i < EL_TM2_SECTIONS; i++) {
        const fuzz_part *s = &p->sections.part[i];
        uint8_t *entry = data + EL_TM2_HEADER_BYTES + i * EL_TM2_ENTRY_BYTES;
        uint32_t crc = i == EL_TM2_WEIGHTS ? 0 : el_crc32(0, s->bytes, s->size);
        memcpy(data + place_of(p, i), s->bytes, s->size);
        el_store32(entry + EL_TM2_AT_TYPE, (uint32_t)i + 1);
        el_store32(entry + EL_TM2_AT_CRC, crc);
        el_store64(entry + EL_TM2_AT_OFFSET, place_of(p, i));
        el_store64(entry + EL_TM2_AT_SIZE, s->size);
        memcpy(entry + EL_TM2_AT_NAME, el_tm2_section_names[i], EL_TM2_SECTION_NAME_BYTES);
    }
    el_store32(data + EL_TM2_AT_VERSION, p->version);
    seal(data, (size_t)size);
    return (size_t)size;
}

/* ---- mutations ------------------------------------------------------------------------- */

static size_t mutate_parts(uint8_t *data, size_t size, size_t max_size, uint32_t *state)
{
    pieces p;
    if (!take_apart(data, size, max_size, &p)) return 0;
    bool retype = fuzz_draw(state, 4) == 0;
    if (retype)
        retype_tensor(&p, state);
    else
        fuzz_mutate_part(&p.sections, state);
    bool pack = retype || fuzz_draw(state, 4) > 0; /* else the directory stays as it was made */
    bool packed = !pack || pack_weights(&p, place_of(&p, EL_TM2_WEIGHTS));
    size_t made = packed ? put_together(&p, data, max_size) : 0;
    fuzz_release_parts(&p.sections);
    return made;
}

const fuzz_format fuzz_mutated = {.mutate = mutate_parts, .seal = seal, .least = EL_TM2_FIRST};
