/* gguf_value.h: metadata entries as the GGUF reader keeps them; for gguf*.c, and folder_*.c, which
 * makes them. */
#ifndef EL_FORMAT_GGUF_VALUE_H
#define EL_FORMAT_GGUF_VALUE_H

#include "format/gguf.h"

/* value types as in GGUF files */
enum {
    EL_GGUF_U8,
    EL_GGUF_I8,
    EL_GGUF_U16,
    EL_GGUF_I16,
    EL_GGUF_U32,
    EL_GGUF_I32,
    EL_GGUF_F32,
    EL_GGUF_BOOL,
    EL_GGUF_STRING,
    EL_GGUF_ARRAY,
    EL_GGUF_U64,
    EL_GGUF_I64,
    EL_GGUF_F64,
    EL_GGUF_VALUE_TYPES
};

/* All pointers go into the mapping, and everything they lead to was checked to lie inside it. */
struct el_gguf_value {
    const char *key; /* not NUL-terminated */
    uint32_t key_len;
    uint32_t type;         /* of the value */
    uint32_t element_type; /* of an array's elements */
    uint64_t count;        /* of an array; 1 otherwise */
    const uint8_t *data;   /* the value; of an array: its first element */
};

/* One file, also of a model that lies in several. Errors: as el_gguf_open(). */
edgellm_status el_gguf_read(el_gguf *file, const char *path, edgellm_error *err);

/* No two tensors have one name: for what was put together. Errors: FORMAT, MEMORY. */
edgellm_status el_gguf_distinct(const el_gguf *file, edgellm_error *err);

/* Puts the values into the order that el_gguf_get() needs. Errors: FORMAT (a key is there twice).
 */
edgellm_status el_gguf_sort(el_gguf *file, edgellm_error *err);

/* NULL if there is no such key. */
const el_gguf_value *el_gguf_get(const el_gguf *file, const char *key);

/* Bytes of a number of this type; 0 for strings, arrays and unknown types. */
uint32_t el_gguf_type_bytes(uint32_t type);

static inline uint64_t el_gguf_load(const uint8_t *p, uint32_t bytes) /* little-endian, unaligned */
{
    uint64_t x = 0;
    for (uint32_t i = 0; i < bytes; i++)
        x |= (uint64_t)p[i] << (8 * i);
    return x;
}

/* An array's string at *at, which is moved past it. */
static inline const char *el_gguf_next_string(const uint8_t **at, size_t *len)
{
    const uint8_t *text = *at + 8;
    *len = (size_t)el_gguf_load(*at, 8);
    *at = text + *len;
    return (const char *)text;
}

#endif
