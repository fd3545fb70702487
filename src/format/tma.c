/* tma.c: see tma.h. The reader checks from the outside in; offsets are computed, not read, so that
 * none can lie. */
#include "format/tma.h"

#include <string.h>

#include "base/crc32.h"
#include "base/outfile.h"
#include "format/checks.h"
#include "format/tm2_layout.h"
#include "kernel/matrix.h"

#define MAGIC                                                                                      \
    "\x93"                                                                                         \
    "TMA\r\n\x1a\n"
#define MAGIC_BYTES   8
#define VERSION       1u
#define ALIGN         64
#define MAKE_AGAIN    "make it again with 'edgellm quantize --lora'"
#define COPY_AGAIN    "the file is damaged: copy it again"
#define EXPONENT_BITS 0x7f800000u

/* header */
enum {
    AT_VERSION = 8,
    AT_ENTRIES = 12,
    AT_FILE_BYTES = 16,
    AT_BODY_CRC = 24,
    AT_ARCHITECTURE = 28,
    AT_SHAPE = 52,
    AT_ZERO = 76,
    AT_HEADER_CRC = 124,
    HEADER_BYTES = 128
};

/* entry */
enum { AT_LAYER = 0, AT_PART = 4, AT_RANK = 8, AT_GAIN = 12, ENTRY_BYTES = 16 };

const char *const el_lora_part_names[EL_LORA_PARTS] = {
    "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down",
};

/* What a model and its adapter must have in common, in the order of the header. */
enum { SHAPE = 6 };

static const char *const shape_names[SHAPE] = {"layers", "dim",      "ffn_dim",
                                               "heads",  "kv_heads", "head_dim"};

static void shape_of(const el_config *c, uint32_t shape[SHAPE])
{
    const uint32_t all[SHAPE] = {c->layers, c->dim, c->ffn_dim, c->heads, c->kv_heads, c->head_dim};
    memcpy(shape, all, sizeof all);
}

void el_lora_shape(const el_config *c, el_lora_part part, uint32_t *rows, uint32_t *cols)
{
    const uint32_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const uint32_t shapes[EL_LORA_PARTS][2] = {
        {q, c->dim},          {kv, c->dim},         {kv, c->dim},        {c->dim, q},
        {c->ffn_dim, c->dim}, {c->ffn_dim, c->dim}, {c->dim, c->ffn_dim}};
    *rows = shapes[part][0];
    *cols = shapes[part][1];
}

static uint64_t tiles_of(uint32_t rows)
{
    return (rows + (EL_TILE - 1)) / EL_TILE;
}

static uint64_t a_bytes(const el_lora_matrix *m)
{
    return (uint64_t)m->rank * m->cols * sizeof(float);
}

static uint64_t b_bytes(const el_lora_matrix *m)
{
    return tiles_of(m->rows) * m->rank * EL_TILE * sizeof(float);
}

/* ---- reading --------------------------------------------------------------------------------- */

static edgellm_status bad(edgellm_error *err, const char *section, uint64_t offset,
                          const char *what)
{
    return el_fail(err, EDGELLM_ERR_FORMAT, "%s, offset %llu: %s", section,
                   (unsigned long long)offset, what);
}

static edgellm_status check_magic(const el_mapfile *map, edgellm_error *err)
{
    const size_t shown = map->size < MAGIC_BYTES ? map->size : MAGIC_BYTES;
    if (memcmp(map->data, MAGIC, shown) != 0)
        return bad(err, "header", 0,
                   "this is not an adapter file: make one of a PEFT folder or a GGUF adapter with "
                   "'edgellm quantize --lora'");
    if (map->size < HEADER_BYTES) return bad(err, "header", map->size, "the file is cut off here");
    return EDGELLM_OK;
}

static edgellm_status check_header(const el_mapfile *map, edgellm_error *err)
{
    const uint8_t *h = map->data;
    EL_TRY(check_magic(map, err));
    if (el_crc32(0, h, AT_HEADER_CRC) != el_load32(h + AT_HEADER_CRC))
        return bad(err, "header", AT_HEADER_CRC, "the checksum is wrong: " COPY_AGAIN);
    if (el_load32(h + AT_VERSION) != VERSION)
        return el_fail(
            err, EDGELLM_ERR_UNSUPPORTED,
            "the file has adapter version %u, this program reads version %u: " MAKE_AGAIN,
            el_load32(h + AT_VERSION), VERSION);
    if (el_load64(h + AT_FILE_BYTES) != map->size)
        return bad(err, "header", AT_FILE_BYTES, "the file has another size: " COPY_AGAIN);
    if (!el_all_zero(h + AT_ZERO, AT_HEADER_CRC - AT_ZERO))
        return bad(err, "header", AT_ZERO, "reserved bytes are not 0");
    const uint8_t *body = h + HEADER_BYTES;
    if (el_crc32(0, body, map->size - HEADER_BYTES) != el_load32(h + AT_BODY_CRC))
        return bad(err, "body", HEADER_BYTES, "the checksum is wrong: " COPY_AGAIN);
    return EDGELLM_OK;
}

static edgellm_status check_model(const uint8_t *h, const el_config *c, edgellm_error *err)
{
    const char *architecture = (const char *)h + AT_ARCHITECTURE;
    uint32_t shape[SHAPE];
    shape_of(c, shape);
    if (memcmp(architecture, c->architecture, EL_ARCHITECTURE_BYTES) != 0)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "the adapter is for a model of architecture %.24s, this one is of %s",
                       architecture, c->architecture);
    for (int i = 0; i < SHAPE; i++) {
        const uint32_t has = el_load32(h + AT_SHAPE + (size_t)i * 4);
        if (has == shape[i]) continue;
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "the adapter is for a model with %s %u, this one has %u", shape_names[i],
                       has, shape[i]);
    }
    return EDGELLM_OK;
}

/* Where the next matrix lies; *at is moved behind it. Errors: it runs past the end, or is padded
 * with something. */
static edgellm_status place(const el_mapfile *map, uint64_t *at, uint64_t bytes,
                            const float **floats, edgellm_error *err)
{
    const uint64_t begin = el_tm2_aligned(*at);
    if (begin > map->size || bytes > map->size - begin)
        return bad(err, "matrices", *at, "they run past the end of the file");
    if (!el_all_zero(map->data + *at, begin - *at))
        return bad(err, "matrices", *at, "padding is not 0");
    *floats = (const float *)(const void *)(map->data + begin);
    for (uint64_t i = 0; i < bytes; i += sizeof(float))
        if ((el_load32(map->data + begin + i) & EXPONENT_BITS) == EXPONENT_BITS)
            return bad(err, "matrices", begin + i, "a number is not finite");
    *at = begin + bytes;
    return EDGELLM_OK;
}

/* Entry `index`: which matrix it is of; entries ascend. */
static edgellm_status read_entry(el_lora *lora, const el_config *c, uint32_t index,
                                 el_lora_matrix **matrix, edgellm_error *err)
{
    const uint64_t at = HEADER_BYTES + (uint64_t)index * ENTRY_BYTES;
    const uint8_t *e = lora->map.data + at;
    const uint32_t layer = el_load32(e + AT_LAYER), part = el_load32(e + AT_PART);
    const uint32_t rank = el_load32(e + AT_RANK), gain = el_load32(e + AT_GAIN);
    if (layer >= c->layers || part >= EL_LORA_PARTS)
        return bad(err, "entries", at, "the model has no such matrix");
    if (rank == 0 || rank > EL_LORA_RANK_MAX)
        return bad(err, "entries", at + AT_RANK, "the rank is not within 1..1024");
    if ((gain & EXPONENT_BITS) == EXPONENT_BITS)
        return bad(err, "entries", at + AT_GAIN, "the gain is not finite");
    if (index > 0 && (layer < el_load32(e - ENTRY_BYTES + AT_LAYER) ||
                      (layer == el_load32(e - ENTRY_BYTES + AT_LAYER) &&
                       part <= el_load32(e - ENTRY_BYTES + AT_PART))))
        return bad(err, "entries", at, "they do not ascend");
    el_lora_matrix *m = &lora->matrices[(size_t)layer * EL_LORA_PARTS + part];
    m->rank = rank;
    memcpy(&m->gain, e + AT_GAIN, sizeof m->gain);
    el_lora_shape(c, (el_lora_part)part, &m->rows, &m->cols);
    if (rank > lora->rank) lora->rank = rank;
    *matrix = m;
    return EDGELLM_OK;
}

static edgellm_status read_matrices(el_lora *lora, const el_config *c, edgellm_error *err)
{
    const el_mapfile *map = &lora->map;
    const uint32_t n = el_load32(map->data + AT_ENTRIES);
    uint64_t at = HEADER_BYTES + (uint64_t)n * ENTRY_BYTES;
    if (n == 0 || n > c->layers * EL_LORA_PARTS || at > map->size)
        return bad(err, "header", AT_ENTRIES, "the number of matrices is wrong");
    for (uint32_t i = 0; i < n; i++) {
        el_lora_matrix *m = NULL;
        EL_TRY(read_entry(lora, c, i, &m, err));
        EL_TRY(place(map, &at, a_bytes(m), &m->a, err));
        EL_TRY(place(map, &at, b_bytes(m), &m->b, err));
    }
    if (at == map->size) return EDGELLM_OK;
    return bad(err, "matrices", at, "the file goes on behind them");
}

static edgellm_status read_file(el_lora *lora, const el_config *c, edgellm_error *err)
{
    const size_t count = (size_t)c->layers * EL_LORA_PARTS;
    EL_TRY(check_header(&lora->map, err));
    EL_TRY(check_model(lora->map.data, c, err));
    EL_TRY(el_arena_reserve(&lora->memory, count * sizeof *lora->matrices, err));
    lora->matrices = el_arena_take(&lora->memory, count, sizeof *lora->matrices);
    EL_TRY(read_matrices(lora, c, err));
    lora->crc = el_load32(lora->map.data + AT_HEADER_CRC);
    return EDGELLM_OK;
}

edgellm_status el_tma_open(el_lora *lora, const char *path, const el_config *config,
                           edgellm_error *err)
{
    el_lora fresh = {.rank = 0};
    EL_TRY(el_mapfile_open(&fresh.map, path, err));
    const edgellm_status status = read_file(&fresh, config, err);
    if (status != EDGELLM_OK) {
        el_tma_close(&fresh);
        return el_fail_in_file(err, status, path);
    }
    *lora = fresh;
    return EDGELLM_OK;
}

void el_tma_close(el_lora *lora)
{
    el_mapfile_close(&lora->map);
    if (lora->memory.base) el_arena_release(&lora->memory);
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct writer {
    el_outfile out;
    uint32_t crc; /* of everything after the header */
} writer;

static void put(writer *w, const void *bytes, size_t size)
{
    w->crc = el_crc32(w->crc, bytes, size);
    el_outfile_write(&w->out, bytes, size);
}

static void put_padding(writer *w)
{
    static const uint8_t zeroes[ALIGN];
    const size_t past = (size_t)(w->out.written % ALIGN);
    if (past) put(w, zeroes, ALIGN - past);
}

static void put_entry(writer *w, uint32_t index, const el_lora_matrix *m)
{
    uint8_t e[ENTRY_BYTES];
    el_store32(e + AT_LAYER, index / EL_LORA_PARTS);
    el_store32(e + AT_PART, index % EL_LORA_PARTS);
    el_store32(e + AT_RANK, m->rank);
    memcpy(e + AT_GAIN, &m->gain, sizeof m->gain);
    put(w, e, sizeof e);
}

static void put_matrix(writer *w, const el_lora_matrix *m)
{
    put_padding(w);
    put(w, m->a, (size_t)a_bytes(m));
    put_padding(w);
    for (uint32_t tile = 0; tile < tiles_of(m->rows); tile++) {
        for (uint32_t j = 0; j < m->rank; j++) {
            float lane[EL_TILE] = {0};
            for (uint32_t r = 0; r < EL_TILE && tile * EL_TILE + r < m->rows; r++)
                lane[r] = m->b[((size_t)tile * EL_TILE + r) * m->rank + j];
            put(w, lane, sizeof lane);
        }
    }
}

static void fill_header(const writer *w, const el_config *c, uint32_t n, uint8_t *h)
{
    uint32_t shape[SHAPE];
    shape_of(c, shape);
    memcpy(h, MAGIC, MAGIC_BYTES);
    el_store32(h + AT_VERSION, VERSION);
    el_store32(h + AT_ENTRIES, n);
    el_store64(h + AT_FILE_BYTES, w->out.written);
    el_store32(h + AT_BODY_CRC, w->crc);
    memcpy(h + AT_ARCHITECTURE, c->architecture, EL_ARCHITECTURE_BYTES);
    memcpy(h + AT_SHAPE, shape, sizeof shape);
    el_store32(h + AT_HEADER_CRC, el_crc32(0, h, AT_HEADER_CRC));
}

static edgellm_status put_all(writer *w, const el_config *c, const el_tma_source *s,
                              edgellm_error *err)
{
    const uint32_t count = c->layers * EL_LORA_PARTS;
    uint8_t header[HEADER_BYTES] = {0};
    el_outfile_write(&w->out, header, sizeof header);
    for (uint32_t i = 0; i < count; i++)
        if (s->matrices[i].rank > 0) put_entry(w, i, &s->matrices[i]);
    for (uint32_t i = 0; i < count; i++) {
        if (s->matrices[i].rank > 0) put_matrix(w, &s->matrices[i]);
        EL_TRY(el_outfile_check(&w->out, err));
    }
    fill_header(w, c, s->n, header);
    return el_outfile_patch(&w->out, 0, header, sizeof header, err);
}

edgellm_status el_tma_write(const char *path, const el_config *config, const el_tma_source *source,
                            uint64_t *bytes, edgellm_error *err)
{
    writer w = {.crc = 0};
    EL_TRY(el_outfile_create(&w.out, path, err));
    const edgellm_status status = put_all(&w, config, source, err);
    if (status != EDGELLM_OK) {
        el_outfile_cancel(&w.out);
        return status;
    }
    *bytes = w.out.written;
    return el_outfile_commit(&w.out, err);
}
