/*
 * tm2.c: the reader. From the outside in: header, section table, small sections by checksum and
 * by value, then every tensor. What a later step relies on was checked by an earlier one.
 */
#include "format/tm2.h"

#include <stdlib.h>

#include "base/crc32.h"
#include "format/checks.h"
#include "format/tm2_layout.h"
#include "format/vocab_pack.h"

#define MAKE_AGAIN "make it again with 'edgellm quantize'"

static edgellm_status bad(edgellm_error *err, const char *section, uint64_t offset,
                          const char *field, const char *what)
{
    return el_fail(err, EDGELLM_ERR_FORMAT, "section %s, offset %llu, %s: %s", section,
                   (unsigned long long)offset, field, what);
}

/* ---- header and section table ---------------------------------------------------------- */

static edgellm_status check_magic(const el_mapfile *map, edgellm_error *err)
{
    size_t shown = map->size < EL_TM2_MAGIC_BYTES ? map->size : EL_TM2_MAGIC_BYTES;
    if (memcmp(map->data, EL_TM2_MAGIC, shown) == 0) {
        if (map->size >= EL_TM2_FIRST) return EDGELLM_OK;
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "header: the file is cut off after %zu bytes: copy it again", map->size);
    }
    if (map->size >= 4 && memcmp(map->data, "GGUF", 4) == 0) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "this is a GGUF file: turn it into a TM2 file with 'edgellm quantize'");
    }
    if (map->size >= 4 && memcmp(map->data + 1, "TM2", 3) == 0) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "header, offset 0, magic: damaged, as by a transfer in text mode: copy the "
                       "file again in binary mode");
    }
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "header, offset 0, magic: this is not a TM2 file; make one with "
                   "'edgellm quantize'");
}

static edgellm_status check_version(uint32_t version, edgellm_error *err)
{
    if (version >= EL_TM2_OLDEST && version <= EL_TM2_VERSION) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                   "the file has TM2 version %u, this program reads versions %d to %d: " MAKE_AGAIN,
                   version, EL_TM2_OLDEST, EL_TM2_VERSION);
}

static edgellm_status check_header(const el_mapfile *map, uint32_t *version, edgellm_error *err)
{
    const uint8_t *h = map->data;
    EL_TRY(check_magic(map, err));
    if (el_crc32(0, h, EL_TM2_AT_HEADER_CRC) != el_load32(h + EL_TM2_AT_HEADER_CRC)) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "header, offset 0: the checksum is wrong, the file is damaged: copy it "
                       "again");
    }
    *version = el_load32(h + EL_TM2_AT_VERSION);
    EL_TRY(check_version(*version, err));
    uint64_t size = el_load64(h + EL_TM2_AT_FILE_BYTES);
    if (size != map->size) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "header, offset %d, file size: the file should have %llu bytes and has "
                       "%zu: copy it again",
                       EL_TM2_AT_FILE_BYTES, (unsigned long long)size, map->size);
    }
    if (el_load32(h + EL_TM2_AT_SECTIONS) != EL_TM2_SECTIONS ||
        !el_all_zero(h + EL_TM2_AT_HEADER_ZERO, EL_TM2_AT_HEADER_CRC - EL_TM2_AT_HEADER_ZERO)) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "header, offset %d: the section count is not %d or a reserved byte not 0",
                       EL_TM2_AT_SECTIONS, EL_TM2_SECTIONS);
    }
    if (el_crc32(0, h + EL_TM2_HEADER_BYTES, EL_TM2_TABLE_BYTES) !=
        el_load32(h + EL_TM2_AT_TABLE_CRC)) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "section table, offset %d: the checksum is wrong, the file is damaged: "
                       "copy it again",
                       EL_TM2_HEADER_BYTES);
    }
    return EDGELLM_OK;
}

/* An entry of the section table. */
static const uint8_t *entry_of(const el_mapfile *map, int index)
{
    return map->data + EL_TM2_HEADER_BYTES + (size_t)index * EL_TM2_ENTRY_BYTES;
}

typedef struct section {
    const uint8_t *data;
    uint64_t offset, size;
} section;

/* Valid for a file whose table was checked. */
static section section_of(const el_mapfile *map, int index)
{
    const uint8_t *entry = entry_of(map, index);
    uint64_t offset = el_load64(entry + EL_TM2_AT_OFFSET);
    return (section){map->data + offset, offset, el_load64(entry + EL_TM2_AT_SIZE)};
}

/* The sections follow each other without gaps, in the order of their types, to the file's end. */
static edgellm_status check_table(const el_mapfile *map, edgellm_error *err)
{
    uint64_t end = EL_TM2_FIRST;
    for (int i = 0; i < EL_TM2_SECTIONS; i++) {
        const uint8_t *entry = entry_of(map, i);
        const char *name = el_tm2_section_names[i];
        uint64_t at = (uint64_t)(entry - map->data);
        uint64_t offset = el_load64(entry + EL_TM2_AT_OFFSET);
        uint64_t size = el_load64(entry + EL_TM2_AT_SIZE);
        if (el_load32(entry + EL_TM2_AT_TYPE) != (uint32_t)i + 1 ||
            memcmp(entry + EL_TM2_AT_NAME, name, EL_TM2_SECTION_NAME_BYTES) != 0) {
            return bad(err, name, at, "type and name", "another section stands here");
        }
        if (offset != el_tm2_aligned(end)) {
            return bad(err, name, at, "offset",
                       "it does not begin where the one before ends (rounded up to 64)");
        }
        if (offset > map->size || size > map->size - offset) {
            return bad(err, name, at, "size", "runs past the end of the file");
        }
        end = offset + size;
    }
    if (end == map->size) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "section table: the last section ends at %llu, the file at %zu",
                   (unsigned long long)end, map->size);
}

static edgellm_status check_section_sums(const el_mapfile *map, edgellm_error *err)
{
    for (int i = 0; i < EL_TM2_SECTIONS; i++) {
        section s = section_of(map, i);
        uint32_t crc = i == EL_TM2_WEIGHTS ? 0 : el_crc32(0, s.data, (size_t)s.size);
        if (crc != el_load32(entry_of(map, i) + EL_TM2_AT_CRC)) {
            return bad(err, el_tm2_section_names[i], s.offset, "checksum",
                       "wrong, the file is damaged: copy it again");
        }
    }
    return EDGELLM_OK;
}

/* Bytes that belong to nothing are 0: between sections, after the table. Only with `verify`. */
static edgellm_status check_section_padding(const el_mapfile *map, edgellm_error *err)
{
    uint64_t end = EL_TM2_HEADER_BYTES + EL_TM2_TABLE_BYTES;
    for (int i = 0; i < EL_TM2_SECTIONS; i++) {
        section s = section_of(map, i);
        if (!el_all_zero(map->data + end, s.offset - end)) {
            return bad(err, el_tm2_section_names[i], end, "padding before it", "is not 0");
        }
        end = s.offset + s.size;
    }
    return EDGELLM_OK;
}

void el_tm2_identity(const el_tm2 *file, uint32_t identity[EL_TM2_IDENTITY])
{
    static const int sections[EL_TM2_IDENTITY] = {EL_TM2_MODEL, EL_TM2_VOCAB, EL_TM2_TENSORS};
    for (int i = 0; i < EL_TM2_IDENTITY; i++)
        identity[i] = el_load32(entry_of(&file->map, sections[i]) + EL_TM2_AT_CRC);
}

/* ---- small sections -------------------------------------------------------------------- */

static edgellm_status read_model(el_tm2 *file, edgellm_error *err)
{
    section s = section_of(&file->map, EL_TM2_MODEL);
    el_config *c = &file->config;
    const int numbers = el_tm2_number_count(file->version, s.size);
    if (!numbers)
        return bad(err, "model", s.offset, "size",
                   file->version < 5   ? "is not 164"
                   : file->version < 6 ? "is not 192"
                   : file->version < 7 ? "is not 208"
                                       : "is not 164, 192 or 208");
    memset(c, 0, sizeof *c);
    memcpy(c->architecture, s.data + EL_TM2_AT_ARCHITECTURE, sizeof c->architecture);
    memcpy(c->name, s.data + EL_TM2_AT_MODEL_NAME, sizeof c->name);
    for (int i = 0; i < numbers; i++) {
        memcpy((char *)c + el_tm2_numbers[i], s.data + EL_TM2_AT_NUMBERS + (size_t)i * 4, 4);
    }
    return el_config_check(c, "section model", err);
}

static edgellm_status read_vocab_head(el_tm2 *file, const section *s, uint32_t *bytes,
                                      uint32_t *flagged, edgellm_error *err)
{
    el_vocab *v = &file->vocab;
    const uint8_t *h = s->data;
    if (s->size < EL_TM2_VOCAB_HEAD_BYTES) return bad(err, "vocab", s->offset, "size", "too small");
    v->n_tokens = el_load32(h + EL_TM2_AT_TOKENS);
    v->n_merges = el_load32(h + EL_TM2_AT_MERGES);
    *bytes = el_load32(h + EL_TM2_AT_TOKEN_BYTES);
    v->bos = el_load32(h + EL_TM2_AT_SPECIAL);
    v->eos = el_load32(h + EL_TM2_AT_SPECIAL + 4);
    v->unk = el_load32(h + EL_TM2_AT_SPECIAL + 8);
    v->pad = el_load32(h + EL_TM2_AT_SPECIAL + 12);
    v->add_bos = h[EL_TM2_AT_ADD_BOS];
    v->pretokenizer = (const char *)h + EL_TM2_AT_PRETOKENIZER;
    size_t len = strnlen(v->pretokenizer, EL_TM2_PRETOKENIZER_BYTES);
    if (len == 0 || len == EL_TM2_PRETOKENIZER_BYTES || !el_text_is_valid(v->pretokenizer, len) ||
        !el_all_zero(h + EL_TM2_AT_PRETOKENIZER + len, EL_TM2_PRETOKENIZER_BYTES - len)) {
        return bad(err, "vocab", s->offset + EL_TM2_AT_PRETOKENIZER, "pre-tokenizer",
                   "is not a NUL-padded name");
    }
    const bool scored = file->version >= 5 && el_vocab_is_scored(v);
    v->nfc = h[EL_TM2_AT_NFC];
    v->space_first = scored ? h[EL_TM2_AT_SPACE_FIRST] : 0;
    if (!el_all_zero(h + EL_TM2_AT_ADD_BOS + 1, 3) || (!scored && h[EL_TM2_AT_SPACE_FIRST]) ||
        !el_all_zero(h + EL_TM2_AT_VOCAB_ZERO, EL_TM2_AT_FLAGGED - EL_TM2_AT_VOCAB_ZERO) ||
        !el_all_zero(h + EL_TM2_AT_VOCAB_ZERO2, EL_TM2_VOCAB_HEAD_BYTES - EL_TM2_AT_VOCAB_ZERO2)) {
        return bad(err, "vocab", s->offset + EL_TM2_AT_ADD_BOS, "reserved bytes", "are not 0");
    }
    *flagged = el_load32(h + EL_TM2_AT_FLAGGED);
    if (*flagged > v->n_tokens)
        return bad(err, "vocab", s->offset + EL_TM2_AT_FLAGGED, "n_flagged", "is above n_tokens");
    return EDGELLM_OK;
}

static edgellm_status read_vocab(el_tm2 *file, edgellm_error *err)
{
    section s = section_of(&file->map, EL_TM2_VOCAB);
    el_vocab *v = &file->vocab;
    uint32_t bytes = 0, flagged = 0;
    EL_TRY(read_vocab_head(file, &s, &bytes, &flagged, err));
    if (v->n_tokens != file->config.vocab) {
        return bad(err, "vocab", s.offset, "n_tokens", "differs from vocab in section model");
    }
    EL_TRY(el_vocab_unpack(v, file->version >= 5, flagged, bytes, s.data + EL_TM2_VOCAB_HEAD_BYTES,
                           s.size - EL_TM2_VOCAB_HEAD_BYTES, s.offset + EL_TM2_VOCAB_HEAD_BYTES,
                           &file->vocab_memory, err));
    return el_vocab_check(v, bytes, "section vocab", err);
}

/* A section of text: UTF-8 with one NUL, at its end. */
static edgellm_status read_text(const el_tm2 *file, int index, const char **text,
                                edgellm_error *err)
{
    section s = section_of(&file->map, index);
    if (s.size == 0 || s.data[s.size - 1] != 0 || !el_text_is_valid(s.data, (size_t)(s.size - 1))) {
        return bad(err, el_tm2_section_names[index], s.offset, "text",
                   "is not UTF-8 with a NUL at its end");
    }
    *text = (const char *)s.data;
    return EDGELLM_OK;
}

/* ---- tensors --------------------------------------------------------------------------- */

static const uint8_t *directory_entry(const el_tm2 *file, uint32_t index)
{
    return section_of(&file->map, EL_TM2_TENSORS).data + (size_t)index * EL_TM2_TENSOR_BYTES;
}

/* Everything but `data`, which may point anywhere before it is checked. */
static el_tensor parse_entry(const uint8_t *entry)
{
    return (el_tensor){
        .name = (const char *)entry + EL_TM2_AT_TENSOR_NAME,
        .rows = el_load32(entry + EL_TM2_AT_ROWS),
        .cols = el_load32(entry + EL_TM2_AT_COLS),
        .group = el_load32(entry + EL_TM2_AT_GROUP),
        .codec = entry[EL_TM2_AT_CODEC],
        .scale_kind = entry[EL_TM2_AT_SCALE_KIND],
        .rotation = entry[EL_TM2_AT_ROTATION],
        .bytes = el_load64(entry + EL_TM2_AT_DATA_BYTES),
    };
}

void el_tm2_tensor(const el_tm2 *file, uint32_t index, el_tensor *tensor)
{
    const uint8_t *entry = directory_entry(file, index);
    *tensor = parse_entry(entry);
    tensor->data = file->map.data + el_load64(entry + EL_TM2_AT_DATA);
}

/* A file has no codec that came after its version: a reader of that version would refuse it. */
static edgellm_status check_codec(const el_tm2 *file, const el_tensor *t, uint64_t at,
                                  edgellm_error *err)
{
    /* below it, from OLDEST on */
    static const uint8_t codecs[] = {EL_CODEC_B1, EL_CODEC_C2, EL_CODEC_C2, EL_CODEC_C2,
                                     EL_CODEC_C3 + 1};
    _Static_assert(sizeof codecs == EL_TM2_VERSION - EL_TM2_OLDEST + 1, "one for each version");
    _Static_assert(EL_CODEC_COUNT == EL_CODEC_C3 + 1, "a new codec is a new version");
    if (t->codec < codecs[file->version - EL_TM2_OLDEST]) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "section tensors, offset %llu, %s: codec %s is not in version %u of the format, "
                   "which the file has: " MAKE_AGAIN,
                   (unsigned long long)at, t->name, el_codecs[t->codec].name, file->version);
}

/* Name after the one before, shape, codec, reserved bytes, place inside section weights. */
static edgellm_status check_entry(const el_tm2 *file, uint32_t index, edgellm_error *err)
{
    const uint8_t *entry = directory_entry(file, index);
    uint64_t at = (uint64_t)(entry - file->map.data);
    el_tensor t = parse_entry(entry);
    section w = section_of(&file->map, EL_TM2_WEIGHTS);
    size_t len = strnlen(t.name, EL_TENSOR_NAME_BYTES);
    EL_TRY(el_tensor_check_shape(&t, err));
    EL_TRY(check_codec(file, &t, at, err));
    if (!el_all_zero(entry + len, EL_TENSOR_NAME_BYTES - len) ||
        !el_all_zero(entry + EL_TM2_AT_TENSOR_ZERO2, EL_TM2_AT_DATA - EL_TM2_AT_TENSOR_ZERO2) ||
        !el_all_zero(entry + EL_TM2_AT_TENSOR_ZERO, EL_TM2_TENSOR_BYTES - EL_TM2_AT_TENSOR_ZERO)) {
        return bad(err, "tensors", at, t.name, "a reserved byte is not 0");
    }
    if (index && strcmp((const char *)entry - EL_TM2_TENSOR_BYTES, t.name) >= 0) {
        return bad(err, "tensors", at, t.name, "the names are not sorted, or one is there twice");
    }
    uint64_t data = el_load64(entry + EL_TM2_AT_DATA);
    if (data % EL_TM2_ALIGN || data < w.offset || data - w.offset > w.size ||
        t.bytes > w.size - (data - w.offset)) {
        return bad(err, "tensors", at, t.name,
                   "its data is not aligned to 64 or not inside section weights");
    }
    return EDGELLM_OK;
}

typedef struct extent {
    uint64_t offset, bytes;
    uint32_t index;
} extent;

static int compare_extents(const void *a, const void *b)
{
    const extent *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* The tensors fill the section, one after the other, each rounded up to 64. `verify`: with 0. */
static edgellm_status check_extents(const el_tm2 *file, extent *extents, bool verify,
                                    edgellm_error *err)
{
    section w = section_of(&file->map, EL_TM2_WEIGHTS);
    uint64_t end = w.offset;
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        const uint8_t *entry = directory_entry(file, i);
        extents[i] =
            (extent){el_load64(entry + EL_TM2_AT_DATA), el_load64(entry + EL_TM2_AT_DATA_BYTES), i};
    }
    qsort(extents, file->n_tensors, sizeof *extents, compare_extents);
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        const char *name = (const char *)directory_entry(file, extents[i].index);
        if (extents[i].offset != el_tm2_aligned(end)) {
            return bad(err, "weights", extents[i].offset, name,
                       "overlaps the tensor before it, or leaves a gap");
        }
        if (verify && !el_all_zero(file->map.data + end, extents[i].offset - end)) {
            return bad(err, "weights", end, name, "the padding before it is not 0");
        }
        end = extents[i].offset + extents[i].bytes;
    }
    if (end == w.offset + w.size) return EDGELLM_OK;
    return bad(err, "weights", end, "size", "bytes that belong to no tensor");
}

static edgellm_status check_tensor_data(const el_tm2 *file, uint32_t index, bool verify,
                                        edgellm_error *err)
{
    el_tensor t;
    el_tm2_tensor(file, index, &t);
    if (verify) {
        uint32_t crc = el_load32(directory_entry(file, index) + EL_TM2_AT_DATA_CRC);
        if (el_crc32(0, t.data, (size_t)t.bytes) != crc) {
            return bad(err, "weights", (uint64_t)(t.data - file->map.data), t.name,
                       "the checksum is wrong, the file is damaged: copy it again");
        }
        EL_TRY(el_tensor_check_codes(&t, err));
    }
    return el_tensor_check_floats(&t, err);
}

static edgellm_status read_tensors(el_tm2 *file, bool verify, edgellm_error *err)
{
    section s = section_of(&file->map, EL_TM2_TENSORS);
    uint64_t n = s.size / EL_TM2_TENSOR_BYTES;
    if (s.size % EL_TM2_TENSOR_BYTES || n > EL_MAX_TENSORS) {
        return bad(err, "tensors", s.offset, "size", "is not that of 0..65536 entries");
    }
    file->n_tensors = (uint32_t)n;
    for (uint32_t i = 0; i < file->n_tensors; i++)
        EL_TRY(check_entry(file, i, err));
    extent *extents = malloc((n + 1) * sizeof *extents);
    if (!extents) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for the directory");
    edgellm_status status = check_extents(file, extents, verify, err);
    free(extents);
    for (uint32_t i = 0; i < file->n_tensors && status == EDGELLM_OK; i++) {
        const uint8_t *entry = directory_entry(file, i);
        status = check_tensor_data(file, i, verify, err);
        file->parameters +=
            (uint64_t)el_load32(entry + EL_TM2_AT_ROWS) * el_load32(entry + EL_TM2_AT_COLS);
    }
    return status;
}

/* ---- the file -------------------------------------------------------------------------- */

static edgellm_status read_all(el_tm2 *file, bool verify, edgellm_error *err)
{
    EL_TRY(check_header(&file->map, &file->version, err));
    EL_TRY(check_table(&file->map, err));
    EL_TRY(check_section_sums(&file->map, err));
    if (verify) EL_TRY(check_section_padding(&file->map, err));
    EL_TRY(read_model(file, err));
    EL_TRY(read_vocab(file, err));
    EL_TRY(read_text(file, EL_TM2_TEMPLATE, &file->vocab.chat_template, err));
    EL_TRY(read_text(file, EL_TM2_MANIFEST, &file->manifest, err));
    EL_TRY(read_tensors(file, verify, err));
    file->small_bytes = file->map.size - section_of(&file->map, EL_TM2_WEIGHTS).size;
    return EDGELLM_OK;
}

/* Takes the map over. */
static edgellm_status open_map(el_tm2 *file, el_mapfile map, const char *path, bool verify,
                               edgellm_error *err)
{
    el_tm2 fresh;
    memset(&fresh, 0, sizeof fresh);
    fresh.map = map;
    edgellm_status status = read_all(&fresh, verify, err);
    if (status != EDGELLM_OK) {
        el_tm2_close(&fresh);
        return el_fail_in_file(err, status, path);
    }
    *file = fresh;
    return EDGELLM_OK;
}

edgellm_status el_tm2_open(el_tm2 *file, const char *path, bool verify, edgellm_error *err)
{
    el_mapfile map;
    EL_TRY(el_mapfile_open(&map, path, err));
    return open_map(file, map, path, verify, err);
}

edgellm_status el_tm2_copy(el_tm2 *file, const char *path, uint64_t room, bool verify,
                           edgellm_error *err)
{
    el_mapfile map;
    EL_TRY(el_mapfile_copy_within(&map, path, room, err));
    return open_map(file, map, path, verify, err);
}

void el_tm2_close(el_tm2 *file)
{
    el_mapfile_close(&file->map);
    el_arena_release(&file->vocab_memory);
    memset(file, 0, sizeof *file);
}

/* ---- by name --------------------------------------------------------------------------- */

bool el_tm2_find(const el_tm2 *file, const char *name, el_tensor *tensor)
{
    uint32_t low = 0, high = file->n_tensors;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(name, (const char *)directory_entry(file, middle));
        if (order == 0) {
            el_tm2_tensor(file, middle, tensor);
            return true;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return false;
}

/* A tensor of a shape, quantised or not. */
static edgellm_status need(const el_tm2 *file, const char *name, uint32_t rows, uint32_t cols,
                           bool quantised, el_tensor *t, edgellm_error *err)
{
    if (!el_tm2_find(file, name, t)) {
        return el_fail(err, EDGELLM_ERR_FORMAT, "tensor '%s' is missing: " MAKE_AGAIN, name);
    }
    if (t->rows == rows && t->cols == cols && (t->codec != EL_CODEC_F32) == quantised) {
        return EDGELLM_OK;
    }
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "tensor '%s' is (%u, %u) in codec %s; the model needs (%u, %u) %s", name,
                   t->rows, t->cols, el_codecs[t->codec].name, rows, cols,
                   quantised ? "in a quantised codec" : "in codec f32");
}

edgellm_status el_tm2_matrix(const el_tm2 *file, const char *name, uint32_t rows, uint32_t cols,
                             el_matrix *matrix, edgellm_error *err)
{
    el_tensor t = {0};
    EL_TRY(need(file, name, rows, cols, true, &t, err));
    if (el_matrix_view(matrix, t.data, rows, cols, (el_codec)t.codec, (el_scale_kind)t.scale_kind,
                       t.group)) {
        return el_fail(err, EDGELLM_ERR_INTERNAL, "tensor '%s' was not checked", name);
    }
    matrix->rotation = t.rotation;
    return EDGELLM_OK;
}

edgellm_status el_tm2_vector(const el_tm2 *file, const char *name, uint32_t cols,
                             const float **vector, edgellm_error *err)
{
    el_tensor t = {0};
    EL_TRY(need(file, name, 1, cols, false, &t, err));
    *vector = (const float *)(const void *)t.data;
    return EDGELLM_OK;
}
