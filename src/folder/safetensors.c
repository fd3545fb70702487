/* safetensors.c: see safetensors.h. */
#include "folder/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/checks.h"
#include "format/gguf_value.h"

#define LENGTH_BYTES 8
#define MOST_HEADER  100000000u /* as the format's own reader has it */
#define MOST_OFFSET  9007199254740992.0
#define NAME_SHOWN   "%.100s"

static const struct {
    const char *name;
    uint32_t bytes, type;
} dtypes[] = {
    {"F32", 4, EL_GGML_F32},
    {"F16", 2, EL_GGML_F16},
    {"BF16", 2, EL_GGML_BF16},
    {"F64", 8, EL_SAFETENSOR_OTHER},
    {"I64", 8, EL_SAFETENSOR_OTHER},
    {"I32", 4, EL_SAFETENSOR_OTHER},
    {"I16", 2, EL_SAFETENSOR_OTHER},
    {"I8", 1, EL_SAFETENSOR_OTHER},
    {"U64", 8, EL_SAFETENSOR_OTHER},
    {"U32", 4, EL_SAFETENSOR_OTHER},
    {"U16", 2, EL_SAFETENSOR_OTHER},
    {"U8", 1, EL_SAFETENSOR_OTHER},
    {"BOOL", 1, EL_SAFETENSOR_OTHER},
    {"F8_E4M3", 1, EL_SAFETENSOR_OTHER},
    {"F8_E5M2", 1, EL_SAFETENSOR_OTHER},
};

void el_safetensor_shape(const el_safetensor *t, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (uint32_t i = 0; i < t->n_dims && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%llu", i ? ", " : "",
                                 (unsigned long long)t->dims[i]);
    if (used < size) snprintf(text + used, size - used, ")");
}

static edgellm_status bad(const el_folder *f, const el_safetensor *t, const char *what)
{
    return el_fail(f->err, EDGELLM_ERR_FORMAT, "%s, tensor '" NAME_SHOWN "': %s", t->shard, t->name,
                   what);
}

/* ---- one tensor --------------------------------------------------------------------------- */

/* A whole number of JSON that a double holds exactly. */
static bool whole(const json_t *json, uint64_t *value)
{
    const double number = json_number_value(json);
    if (!json_is_number(json) || !(number >= 0 && number <= MOST_OFFSET)) return false;
    *value = (uint64_t)number;
    return (double)*value == number;
}

static edgellm_status take_dtype(const el_folder *f, el_safetensor *t, const json_t *entry,
                                 uint32_t *bytes)
{
    const char *name = el_folder_text(entry, "dtype");
    for (size_t i = 0; name && i < sizeof dtypes / sizeof *dtypes; i++) {
        if (strcmp(dtypes[i].name, name) != 0) continue;
        t->dtype = dtypes[i].name;
        t->type = dtypes[i].type;
        *bytes = dtypes[i].bytes;
        return EDGELLM_OK;
    }
    return el_fail(f->err, name ? EDGELLM_ERR_UNSUPPORTED : EDGELLM_ERR_FORMAT,
                   "%s, tensor '" NAME_SHOWN "': dtype '%.20s' is not supported, only F32, F16 and "
                   "BF16",
                   t->shard, t->name, name ? name : "");
}

/* *elements: of the shape. */
static edgellm_status take_shape(const el_folder *f, el_safetensor *t, const json_t *entry,
                                 uint64_t *elements)
{
    const json_t *shape = json_object_get(entry, "shape");
    *elements = 1;
    if (!json_is_array(shape)) return bad(f, t, "there is no 'shape'");
    if (json_array_size(shape) > EL_SAFETENSOR_DIMS)
        return bad(f, t, "its shape has more than 4 dimensions");
    t->n_dims = (uint32_t)json_array_size(shape);
    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (!whole(json_array_get(shape, i), &t->dims[i]) ||
            __builtin_mul_overflow(*elements, t->dims[i], elements))
            return bad(f, t, "its shape has a dimension that is none");
    }
    return EDGELLM_OK;
}

static edgellm_status take_place(const el_folder *f, el_safetensor *t, const json_t *entry,
                                 uint64_t need, uint64_t room)
{
    const json_t *offsets = json_object_get(entry, "data_offsets");
    uint64_t end;
    if (json_array_size(offsets) != 2 || !whole(json_array_get(offsets, 0), &t->begin) ||
        !whole(json_array_get(offsets, 1), &end))
        return bad(f, t, "'data_offsets' are not two numbers");
    if (t->begin > end || end > room)
        return bad(f, t,
                   "'data_offsets' run past the end of the file, which is truncated or "
                   "damaged: get it again");
    t->bytes = end - t->begin;
    if (t->bytes == need) return EDGELLM_OK;
    return el_fail(f->err, EDGELLM_ERR_FORMAT,
                   "%s, tensor '" NAME_SHOWN "': 'data_offsets' hold %llu bytes, but its shape "
                   "needs %llu",
                   t->shard, t->name, (unsigned long long)t->bytes, (unsigned long long)need);
}

static edgellm_status take_name(const el_folder *f, el_safetensor *t, const char *name)
{
    const size_t len = strlen(name);
    char *copy = el_gguf_room(f->file, len + 1);
    if (!copy) return el_fail(f->err, EDGELLM_ERR_MEMORY, "out of memory for names of tensors");
    memcpy(copy, name, len);
    t->name = copy;
    return EDGELLM_OK;
}

/* `data`: room bytes. */
static edgellm_status take_tensor(const el_folder *f, el_safetensor *t, const json_t *entry,
                                  const uint8_t *data, uint64_t room)
{
    uint32_t bytes = 0;
    uint64_t elements, need;
    if (!json_is_object(entry)) return bad(f, t, "its entry is not an object");
    EL_TRY(take_dtype(f, t, entry, &bytes));
    EL_TRY(take_shape(f, t, entry, &elements));
    if (__builtin_mul_overflow(elements, bytes, &need)) return bad(f, t, "its shape is too large");
    EL_TRY(take_place(f, t, entry, need, room));
    t->data = data + t->begin;
    return EDGELLM_OK;
}

/* ---- one file ----------------------------------------------------------------------------- */

static bool grow(el_safetensors *all)
{
    if (all->n < all->room) return true;
    const uint32_t room = all->room ? 2 * all->room : 256;
    el_safetensor *list = realloc(all->list, room * sizeof *list);
    if (!list) return false;
    all->list = list;
    all->room = room;
    return true;
}

static edgellm_status take_all(el_folder *f, const char *shard, const json_t *header,
                               const uint8_t *data, uint64_t room, el_safetensors *all)
{
    const char *name;
    json_t *entry;
    json_object_foreach((json_t *)header, name, entry)
    {
        el_safetensor t = {.shard = shard, .name = name};
        if (strcmp(name, "__metadata__") == 0) continue;
        if (all->n == EL_MAX_TENSORS)
            return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED, "%s: more than %u tensors", shard,
                           EL_MAX_TENSORS);
        EL_TRY(take_name(f, &t, name));
        EL_TRY(take_tensor(f, &t, entry, data, room));
        if (!grow(all)) return el_fail(f->err, EDGELLM_ERR_MEMORY, "out of memory for tensors");
        all->list[all->n++] = t;
    }
    return EDGELLM_OK;
}

static int by_place(const void *a, const void *b)
{
    const el_safetensor *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes); /* empty ones first */
}

/* No byte in two tensors, none in no tensor. */
static edgellm_status check_places(const el_folder *f, const char *shard, el_safetensor *list,
                                   uint32_t n, uint64_t room)
{
    uint64_t at = 0;
    qsort(list, n, sizeof *list, by_place);
    for (uint32_t i = 0; i < n; i++) {
        if (list[i].begin != at)
            return el_fail(f->err, EDGELLM_ERR_FORMAT,
                           "%s, tensor '" NAME_SHOWN "': its data begin at %llu, %s at %llu", shard,
                           list[i].name, (unsigned long long)list[i].begin,
                           list[i].begin < at ? "inside those before it, which end"
                                              : "after a gap that begins",
                           (unsigned long long)at);
        at += list[i].bytes;
    }
    if (at == room) return EDGELLM_OK;
    return el_fail(f->err, EDGELLM_ERR_FORMAT,
                   "%s: its tensors have %llu bytes together, but there are %llu", shard,
                   (unsigned long long)at, (unsigned long long)room);
}

edgellm_status el_safetensors_read(el_folder *f, const char *shard, el_safetensors *all)
{
    el_mapfile map;
    json_t *header;
    const uint32_t first = all->n;
    EL_TRY(el_folder_map(f, shard, &map));
    const uint64_t len = map.size < LENGTH_BYTES ? 0 : el_gguf_load(map.data, LENGTH_BYTES);
    if (len == 0 || len > MOST_HEADER || len > map.size - LENGTH_BYTES)
        return el_fail(f->err, EDGELLM_ERR_FORMAT,
                       "%s: a header of %llu bytes in a file of %zu: it is truncated, or not a "
                       "safetensors file",
                       shard, (unsigned long long)len, map.size);
    EL_TRY(el_folder_parse(f, shard, (const char *)map.data + LENGTH_BYTES, (size_t)len, &header));
    const uint64_t room = map.size - LENGTH_BYTES - len;
    edgellm_status status = take_all(f, shard, header, map.data + LENGTH_BYTES + len, room, all);
    json_decref(header);
    if (status != EDGELLM_OK || all->n == first) return status;
    return check_places(f, shard, all->list + first, all->n - first, room);
}
