/*
 * gguf.c: the structure of a GGUF file. A cursor walks it once; whatever it takes was compared
 * with what is left first, so counts and lengths that lie end the walk and never size anything.
 *
 *     header | metadata entries | tensor entries | padding | tensor data
 */
#include "format/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32.h"
#include "format/checks.h"
#include "format/gguf_value.h"
#include "format/i2s.h"

#define MAX_VALUES        65536u
#define MAX_ARRAY_DEPTH   4
#define MIN_VALUE_BYTES   13 /* key length, no key, type, one byte */
#define MIN_TENSOR_BYTES  32 /* name length, no name, dimensions, one of them, type, offset */
#define MAX_TENSOR_COLS   ((uint64_t)1 << 24)
#define DEFAULT_ALIGNMENT 32
#define MAX_ALIGNMENT     (1u << 24)

/* ---- the cursor ------------------------------------------------------------------------ */

/* Where we are, for reading and for messages. */
typedef struct cursor {
    const uint8_t *base;
    uint64_t at, size;
    uint64_t field_at;   /* where the field that was taken last begins */
    const char *section; /* "header field", "metadata entry", ... */
    uint64_t index;      /* entry of the section */
    const char *name;    /* of the entry, once known; not NUL-terminated */
    int name_len;
    edgellm_error *err;
} cursor;

static edgellm_status fail_at(const cursor *c, edgellm_status status, const char *field,
                              const char *what)
{
    int shown = c->name_len > 64 ? 64 : c->name_len;
    return el_fail(c->err, status, "%s %llu%s%.*s%s, offset %llu, %s: %s", c->section,
                   (unsigned long long)c->index, shown ? " '" : "", shown, shown ? c->name : "",
                   shown ? "'" : "", (unsigned long long)c->field_at, field, what);
}

static edgellm_status bad(const cursor *c, const char *field, const char *what)
{
    return fail_at(c, EDGELLM_ERR_FORMAT, field, what);
}

/* The next `count` pieces of `bytes` bytes each. */
static edgellm_status take(cursor *c, const char *field, uint64_t count, uint64_t bytes,
                           const uint8_t **data)
{
    uint64_t need;
    c->field_at = c->at;
    if (__builtin_mul_overflow(count, bytes, &need) || need > c->size - c->at) {
        return bad(c, field,
                   "runs past the end of the file, which is truncated or damaged: get it again");
    }
    *data = c->base + c->at;
    c->at += need;
    return EDGELLM_OK;
}

static edgellm_status take_number(cursor *c, const char *field, uint32_t bytes, uint64_t *value)
{
    const uint8_t *data = NULL;
    EL_TRY(take(c, field, 1, bytes, &data));
    *value = el_gguf_load(data, bytes);
    return EDGELLM_OK;
}

static edgellm_status take_u32(cursor *c, const char *field, uint32_t *value)
{
    uint64_t wide;
    EL_TRY(take_number(c, field, 4, &wide));
    *value = (uint32_t)wide;
    return EDGELLM_OK;
}

static edgellm_status take_string(cursor *c, const char *field, const char **text, uint64_t *len)
{
    const uint8_t *data = NULL;
    EL_TRY(take_number(c, field, 8, len));
    EL_TRY(take(c, field, *len, 1, &data));
    *text = (const char *)data;
    return EDGELLM_OK;
}

/* ---- metadata -------------------------------------------------------------------------- */

uint32_t el_gguf_type_bytes(uint32_t type)
{
    static const uint8_t bytes[EL_GGUF_VALUE_TYPES] = {
        [EL_GGUF_U8] = 1,  [EL_GGUF_I8] = 1,  [EL_GGUF_U16] = 2, [EL_GGUF_I16] = 2,
        [EL_GGUF_U32] = 4, [EL_GGUF_I32] = 4, [EL_GGUF_F32] = 4, [EL_GGUF_BOOL] = 1,
        [EL_GGUF_U64] = 8, [EL_GGUF_I64] = 8, [EL_GGUF_F64] = 8,
    };
    return type < EL_GGUF_VALUE_TYPES ? bytes[type] : 0;
}

static edgellm_status take_array_head(cursor *c, uint32_t *type, uint64_t *count)
{
    EL_TRY(take_u32(c, "array element type", type));
    return take_number(c, "array length", 8, count);
}

/* Walks over the elements of an array; arrays in arrays to a small depth. */
static edgellm_status skip_elements(cursor *c, uint32_t type, uint64_t count, int depth)
{
    const uint8_t *data = NULL;
    if (el_gguf_type_bytes(type)) {
        return take(c, "array elements", count, el_gguf_type_bytes(type), &data);
    }
    if (type != EL_GGUF_STRING && type != EL_GGUF_ARRAY) {
        return bad(c, "array element type", "not a type of GGUF");
    }
    if (depth == MAX_ARRAY_DEPTH) return bad(c, "array element type", "arrays nested too deep");
    for (uint64_t i = 0; i < count; i++) { /* each takes 8 bytes or more, so this ends */
        if (type == EL_GGUF_STRING) {
            const char *text;
            uint64_t len;
            EL_TRY(take_string(c, "array string", &text, &len));
        } else {
            uint32_t inner_type;
            uint64_t inner_count;
            EL_TRY(take_array_head(c, &inner_type, &inner_count));
            EL_TRY(skip_elements(c, inner_type, inner_count, depth + 1));
        }
    }
    return EDGELLM_OK;
}

static edgellm_status take_payload(cursor *c, el_gguf_value *value)
{
    const char *text;
    uint64_t len;
    value->count = 1;
    if (value->type == EL_GGUF_ARRAY) {
        EL_TRY(take_array_head(c, &value->element_type, &value->count));
        value->data = c->base + c->at;
        return skip_elements(c, value->element_type, value->count, 0);
    }
    value->data = c->base + c->at;
    if (value->type == EL_GGUF_STRING) return take_string(c, "string", &text, &len);
    if (!el_gguf_type_bytes(value->type)) return bad(c, "value type", "not a type of GGUF");
    return take(c, "value", 1, el_gguf_type_bytes(value->type), &value->data);
}

static edgellm_status take_value(cursor *c, el_gguf_value *value)
{
    uint64_t len;
    c->name_len = 0;
    EL_TRY(take_string(c, "key", &value->key, &len));
    if (len == 0 || len > 65535) return bad(c, "key", "its length is not within 1..65535");
    if (!el_text_is_valid(value->key, (size_t)len)) return bad(c, "key", "not UTF-8 text");
    value->key_len = (uint32_t)len;
    c->name = value->key;
    c->name_len = (int)len;
    EL_TRY(take_u32(c, "value type", &value->type));
    return take_payload(c, value);
}

static int compare_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int compare_values(const void *a, const void *b)
{
    const el_gguf_value *x = a, *y = b;
    return compare_text(x->key, x->key_len, y->key, y->key_len);
}

static edgellm_status read_values(el_gguf *file, cursor *c)
{
    c->section = "metadata entry";
    file->values = calloc(file->n_values + (size_t)1, sizeof *file->values);
    if (!file->values) return el_fail(c->err, EDGELLM_ERR_MEMORY, "out of memory for metadata");
    for (c->index = 0; c->index < file->n_values; c->index++) {
        EL_TRY(take_value(c, &file->values[c->index]));
    }
    return el_gguf_sort(file, c->err);
}

edgellm_status el_gguf_sort(el_gguf *file, edgellm_error *err)
{
    qsort(file->values, file->n_values, sizeof *file->values, compare_values);
    for (uint32_t i = 1; i < file->n_values; i++) {
        const el_gguf_value *v = &file->values[i];
        if (compare_values(v - 1, v) == 0) {
            return el_fail(err, EDGELLM_ERR_FORMAT, "metadata: key '%.*s' is there twice",
                           v->key_len > 64 ? 64 : (int)v->key_len, v->key);
        }
    }
    return EDGELLM_OK;
}

const el_gguf_value *el_gguf_get(const el_gguf *file, const char *key)
{
    el_gguf_value wanted = {.key = key, .key_len = (uint32_t)strlen(key)};
    if (!file->values) return NULL;
    return bsearch(&wanted, file->values, file->n_values, sizeof wanted, compare_values);
}

bool el_gguf_u32(const el_gguf *file, const char *key, uint32_t *value)
{
    const el_gguf_value *v = el_gguf_get(file, key);
    if (!v || v->type == EL_GGUF_F32 || v->type == EL_GGUF_F64 || v->type == EL_GGUF_BOOL) {
        return false;
    }
    uint32_t bytes = el_gguf_type_bytes(v->type);
    if (bytes == 0) return false;
    uint64_t number = el_gguf_load(v->data, bytes);
    bool is_signed = v->type == EL_GGUF_I8 || v->type == EL_GGUF_I16 || v->type == EL_GGUF_I32 ||
                     v->type == EL_GGUF_I64;
    if (is_signed && number >> (8 * bytes - 1)) return false;
    if (number > UINT32_MAX) return false;
    *value = (uint32_t)number;
    return true;
}

bool el_gguf_f32(const el_gguf *file, const char *key, float *value)
{
    const el_gguf_value *v = el_gguf_get(file, key);
    if (!v) return false;
    if (v->type == EL_GGUF_F32) {
        memcpy(value, v->data, sizeof *value);
        return true;
    }
    if (v->type != EL_GGUF_F64) return false;
    double wide;
    memcpy(&wide, v->data, sizeof wide);
    if (!(wide >= -3e38 && wide <= 3e38)) return false;
    *value = (float)wide;
    return true;
}

bool el_gguf_bool(const el_gguf *file, const char *key, bool *value)
{
    const el_gguf_value *v = el_gguf_get(file, key);
    if (!v || v->type != EL_GGUF_BOOL) return false;
    *value = v->data[0] != 0;
    return true;
}

bool el_gguf_string(const el_gguf *file, const char *key, const char **text, size_t *len)
{
    const el_gguf_value *v = el_gguf_get(file, key);
    if (!v || v->type != EL_GGUF_STRING) return false;
    const uint8_t *at = v->data;
    *text = el_gguf_next_string(&at, len);
    return true;
}

/* ---- tensors --------------------------------------------------------------------------- */

static edgellm_status take_name(cursor *c, el_gguf_tensor *t)
{
    const char *name;
    uint64_t len;
    c->name_len = 0;
    EL_TRY(take_string(c, "name", &name, &len));
    if (len == 0 || len >= sizeof t->name || !el_text_is_valid(name, (size_t)len)) {
        return bad(c, "name", "a tensor needs a name of 1..63 bytes of UTF-8");
    }
    memcpy(t->name, name, (size_t)len);
    c->name = name;
    c->name_len = (int)len;
    return EDGELLM_OK;
}

/* Up to 4 dimensions, of which the third and fourth must be 1. */
static edgellm_status take_shape(cursor *c, el_gguf_tensor *t)
{
    uint32_t n;
    uint64_t ne[4] = {1, 1, 1, 1};
    EL_TRY(take_u32(c, "number of dimensions", &n));
    if (n < 1 || n > 4) return bad(c, "number of dimensions", "not within 1..4");
    for (uint32_t i = 0; i < n; i++) {
        EL_TRY(take_number(c, "dimension", 8, &ne[i]));
        if (ne[i] == 0) return bad(c, "dimension", "is 0");
    }
    if (ne[2] != 1 || ne[3] != 1) {
        return fail_at(c, EDGELLM_ERR_UNSUPPORTED, "dimension",
                       "tensors of 3 and 4 dimensions are not supported");
    }
    if (ne[0] > MAX_TENSOR_COLS || ne[1] > MAX_TENSOR_COLS) {
        return bad(c, "dimension", "is over 2^24");
    }
    t->cols = (uint32_t)ne[0];
    t->rows = (uint32_t)ne[1];
    return EDGELLM_OK;
}

static uint64_t bytes_of(const el_gguf_tensor *t, const el_ggml_type *type)
{
    return (uint64_t)t->rows * (t->cols / type->block_weights) * type->block_bytes;
}

/* No blocks, but as many weights as some layout can hold. */
static edgellm_status measure_i2s(const cursor *c, el_gguf_tensor *t)
{
    bool fits = false;
    for (int layout = 0; layout < EL_I2S_LAYOUTS; layout++)
        fits = fits || el_i2s_fits(t->rows, t->cols, (el_i2s)layout);
    if (!fits || t->rows == 1)
        return bad(c, "dimension", "I2_S needs a matrix of 64 columns, or 4 rows, or a multiple");
    t->bytes = el_i2s_bytes(t->rows, t->cols);
    return EDGELLM_OK;
}

static edgellm_status take_type(cursor *c, el_gguf_tensor *t)
{
    EL_TRY(take_u32(c, "type", &t->type));
    if (t->type == EL_GGML_I2_S) return measure_i2s(c, t);
    const el_ggml_type *type = el_ggml_type_of(t->type);
    if (!type) {
        return el_fail(
            c->err, EDGELLM_ERR_UNSUPPORTED,
            "tensor '%s' has type %u (%s), which is not supported: use a file of another "
            "type, such as Q8_0 or Q4_K (docs/FORMAT.md, section 12)",
            t->name, t->type, el_ggml_type_name(t->type));
    }
    if (t->cols % type->block_weights) {
        return bad(c, "dimension", "columns are not a multiple of the type's block");
    }
    t->bytes = bytes_of(t, type);
    return EDGELLM_OK;
}

/* *offset: of the data, from the start of the data section. */
static edgellm_status take_tensor(cursor *c, el_gguf_tensor *t, uint32_t alignment,
                                  uint64_t *offset)
{
    EL_TRY(take_name(c, t));
    EL_TRY(take_shape(c, t));
    EL_TRY(take_type(c, t));
    EL_TRY(take_number(c, "offset", 8, offset));
    if (*offset % alignment) return bad(c, "offset", "is not a multiple of general.alignment");
    return EDGELLM_OK;
}

static edgellm_status locate(el_gguf_tensor *t, const cursor *c, uint64_t data_start,
                             uint64_t offset)
{
    uint64_t room = c->size > data_start ? c->size - data_start : 0;
    if (offset > room || t->bytes > room - offset) {
        return el_fail(c->err, EDGELLM_ERR_FORMAT,
                       "tensor '%s': its %llu bytes at offset %llu of the data (which starts at "
                       "%llu) run past the end of the file at %llu, which is truncated or "
                       "damaged: get it again",
                       t->name, (unsigned long long)t->bytes, (unsigned long long)offset,
                       (unsigned long long)data_start, (unsigned long long)c->size);
    }
    t->data = c->base + data_start + offset;
    return EDGELLM_OK;
}

static int compare_names(const void *a, const void *b)
{
    const el_gguf_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int compare_places(const void *a, const void *b)
{
    const el_gguf_tensor *const *x = a, *const *y = b;
    return ((*x)->data > (*y)->data) - ((*x)->data < (*y)->data);
}

/* No name twice. `order`: room for n_tensors. */
static edgellm_status check_names(const el_gguf *file, const el_gguf_tensor **order,
                                  edgellm_error *err)
{
    for (uint32_t i = 0; i < file->n_tensors; i++)
        order[i] = &file->tensors[i];
    qsort(order, file->n_tensors, sizeof *order, compare_names);
    for (uint32_t i = 1; i < file->n_tensors; i++) {
        if (strcmp(order[i - 1]->name, order[i]->name) == 0) {
            return el_fail(err, EDGELLM_ERR_FORMAT, "tensor table: name '%s' is there twice",
                           order[i]->name);
        }
    }
    return EDGELLM_OK;
}

edgellm_status el_gguf_distinct(const el_gguf *file, edgellm_error *err)
{
    const el_gguf_tensor **order = calloc(file->n_tensors + (size_t)1, sizeof *order);
    if (!order)
        return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for %u tensors", file->n_tensors);
    const edgellm_status status = check_names(file, order, err);
    free(order);
    return status;
}

/* No name twice, no byte in two tensors of one file. */
static edgellm_status check_distinct(const el_gguf *file, const el_gguf_tensor **order,
                                     edgellm_error *err)
{
    EL_TRY(check_names(file, order, err));
    qsort(order, file->n_tensors, sizeof *order, compare_places);
    for (uint32_t i = 1; i < file->n_tensors; i++) {
        if (order[i - 1]->data + order[i - 1]->bytes > order[i]->data) {
            return el_fail(err, EDGELLM_ERR_FORMAT,
                           "tensor table: the data of '%s' and '%s' overlap", order[i - 1]->name,
                           order[i]->name);
        }
    }
    return EDGELLM_OK;
}

static edgellm_status find_alignment(const el_gguf *file, uint32_t *alignment, edgellm_error *err)
{
    *alignment = DEFAULT_ALIGNMENT;
    if (!el_gguf_get(file, "general.alignment")) return EDGELLM_OK;
    if (!el_gguf_u32(file, "general.alignment", alignment) || *alignment < 8 ||
        *alignment > MAX_ALIGNMENT || (*alignment & (*alignment - 1))) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "metadata: general.alignment is not a power of two within 8..%u",
                       MAX_ALIGNMENT);
    }
    return EDGELLM_OK;
}

/* The table of tensors as it is read. */
typedef struct table {
    uint32_t alignment;
    uint64_t *offsets; /* of the data, from the start of the data section */
    const el_gguf_tensor **order;
} table;

static edgellm_status take_tensors(el_gguf *file, cursor *c, table *t)
{
    EL_TRY(find_alignment(file, &t->alignment, c->err));
    for (c->index = 0; c->index < file->n_tensors; c->index++) {
        EL_TRY(take_tensor(c, &file->tensors[c->index], t->alignment, &t->offsets[c->index]));
    }
    return EDGELLM_OK;
}

static edgellm_status place_tensors(el_gguf *file, const cursor *c, const table *t)
{
    const uint64_t mask = t->alignment - 1, data_start = (c->at + mask) & ~mask;
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        EL_TRY(locate(&file->tensors[i], c, data_start, t->offsets[i]));
    }
    return check_distinct(file, t->order, c->err);
}

/* Another project wrote blocks of twice the weights under the number of Q2_0: its PQ2_0. Their
 * tensors are shorter, so as Q2_0 they overlap. Is there any that can be meant so? */
static bool widen(el_gguf *file)
{
    bool any = false;
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        el_gguf_tensor *t = &file->tensors[i];
        const el_ggml_type *wide = el_ggml_type_of(EL_GGML_PQ2_0);
        if (t->type != EL_GGML_Q2_0) continue;
        if (t->cols % wide->block_weights != 0) return false;
        t->type = wide->id;
        t->bytes = bytes_of(t, wide);
        any = true;
    }
    return any;
}

/* In the order of their places: follows another tensor at once on each of type PQ2_0? */
static bool wide_ones_fill(const el_gguf *file, const table *t)
{
    for (uint32_t i = 1; i < file->n_tensors; i++) {
        const el_gguf_tensor *before = t->order[i - 1];
        const uint8_t *end = before->data + before->bytes;
        if (before->type == EL_GGML_PQ2_0 && (size_t)(t->order[i]->data - end) >= t->alignment)
            return false;
    }
    return true;
}

static edgellm_status place_all(el_gguf *file, const cursor *c, const table *t)
{
    edgellm_error ignored;
    cursor again = *c;
    const edgellm_status status = place_tensors(file, c, t);
    if (status == EDGELLM_OK || !widen(file)) return status;
    again.err = &ignored; /* what is told is what was wrong at first */
    if (place_tensors(file, &again, t) != EDGELLM_OK || !wide_ones_fill(file, t)) return status;
    return EDGELLM_OK;
}

static edgellm_status read_tensors(el_gguf *file, cursor *c)
{
    c->section = "tensor table entry";
    size_t n = file->n_tensors + (size_t)1;
    edgellm_status status = EDGELLM_ERR_MEMORY;
    table t = {.offsets = calloc(n, sizeof *t.offsets), .order = calloc(n, sizeof *t.order)};
    file->tensors = calloc(n, sizeof *file->tensors);
    if (t.offsets && t.order && file->tensors) {
        status = take_tensors(file, c, &t);
        if (status == EDGELLM_OK) status = place_all(file, c, &t);
    } else {
        el_fail(c->err, status, "out of memory for %u tensors", file->n_tensors);
    }
    free(t.offsets);
    free(t.order);
    return status;
}

const el_gguf_tensor *el_gguf_find(const el_gguf *file, const char *name)
{
    for (uint32_t i = 0; i < file->n_tensors; i++) {
        if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
    }
    return NULL;
}

/* ---- the file -------------------------------------------------------------------------- */

static edgellm_status read_version(el_gguf *file, cursor *c)
{
    uint32_t magic;
    EL_TRY(take_u32(c, "magic", &magic));
    if (magic != 0x46554747) return bad(c, "magic", "this is not a GGUF file");
    c->index++;
    EL_TRY(take_u32(c, "version", &file->version));
    if (file->version == 2 || file->version == 3) return EDGELLM_OK;
    bool swapped = (file->version & 0xffff) == 0 && file->version != 0;
    return el_fail(c->err, EDGELLM_ERR_UNSUPPORTED,
                   "GGUF version %u%s is not supported (2 and 3 are): convert the model again",
                   swapped ? __builtin_bswap32(file->version) : file->version,
                   swapped ? ", big-endian," : "");
}

/* A count of entries that each take at least `bytes` bytes of what is left. */
static edgellm_status take_count(cursor *c, const char *field, uint64_t bytes, uint64_t limit,
                                 uint32_t *count)
{
    uint64_t wide;
    c->index++;
    EL_TRY(take_number(c, field, 8, &wide));
    if (wide > limit || wide > (c->size - c->at) / bytes) {
        return bad(c, field, "is more than the file can hold: it is truncated or damaged");
    }
    *count = (uint32_t)wide;
    return EDGELLM_OK;
}

static edgellm_status read_all(el_gguf *file, edgellm_error *err)
{
    cursor c = {
        .base = file->map.data, .size = file->map.size, .section = "header field", .err = err};
    EL_TRY(read_version(file, &c));
    EL_TRY(take_count(&c, "number of tensors", MIN_TENSOR_BYTES, EL_MAX_TENSORS, &file->n_tensors));
    EL_TRY(
        take_count(&c, "number of metadata entries", MIN_VALUE_BYTES, MAX_VALUES, &file->n_values));
    EL_TRY(read_values(file, &c));
    return read_tensors(file, &c);
}

edgellm_status el_gguf_read(el_gguf *file, const char *path, edgellm_error *err)
{
    el_gguf fresh = {0};
    EL_TRY(el_mapfile_open(&fresh.map, path, err));
    edgellm_status status = read_all(&fresh, err);
    if (status != EDGELLM_OK) {
        el_gguf_close(&fresh);
        return el_fail_in_file(err, status, path);
    }
    *file = fresh;
    return EDGELLM_OK;
}

/* ---- what is no GGUF file -------------------------------------------------------------- */

struct el_gguf_block {
    el_gguf_block *next;
    max_align_t data[];
};

void *el_gguf_room(el_gguf *file, size_t bytes)
{
    if (bytes > SIZE_MAX - sizeof(el_gguf_block)) return NULL;
    el_gguf_block *block = calloc(1, sizeof *block + bytes);
    if (!block) return NULL;
    block->next = file->blocks;
    file->blocks = block;
    return block->data;
}

uint64_t el_gguf_bytes(const el_gguf *file)
{
    uint64_t bytes = file->map.size;
    for (uint32_t i = 0; i < file->n_shards; i++)
        bytes += file->shards[i].size;
    return bytes;
}

uint32_t el_gguf_crc(const el_gguf *file)
{
    uint32_t crc = el_crc32(0, file->map.data, file->map.size);
    for (uint32_t i = 0; i < file->n_shards; i++)
        crc = el_crc32(crc, file->shards[i].data, file->shards[i].size);
    return crc;
}

void el_gguf_close(el_gguf *file)
{
    free(file->tensors);
    free(file->values);
    free(file->vocab_memory);
    el_mapfile_close(&file->map);
    for (uint32_t i = 0; i < file->n_shards; i++)
        el_mapfile_close(&file->shards[i]);
    free(file->shards);
    while (file->blocks) {
        el_gguf_block *next = file->blocks->next;
        free(file->blocks);
        file->blocks = next;
    }
    *file = (el_gguf){0};
}
