/*
 * saved.c: a sampler as bytes, little-endian, so that a session can be laid down and taken up
 * again with the draws that would have come:
 *
 *   u32 version | the fields of `fields`, in that order
 *
 * The bytes may come from anybody: every option passes the check of el_sampler_set().
 */
#include <string.h>

#include "sample/sampler.h"

#define VERSION 1u

static const struct field {
    size_t offset; /* in el_sampler */
    size_t size;   /* 4 or 8 */
} fields[] = {
#define FIELD(name)                                                                                \
    {                                                                                              \
        offsetof(el_sampler, name), sizeof(((el_sampler *)0)->name)                                \
    }
    FIELD(options.temperature),    FIELD(options.top_k),
    FIELD(options.top_p),          FIELD(options.min_p),
    FIELD(options.repeat_penalty), FIELD(options.repeat_last),
    FIELD(options.seed),           FIELD(random),
#undef FIELD
};

enum { FIELDS = sizeof fields / sizeof fields[0] };

static void store(uint8_t *bytes, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t load(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

/* A field of 4 or 8 bytes as a number, whatever its type. */
static uint64_t get_field(const void *at, size_t size)
{
    uint32_t word;
    uint64_t wide;
    memcpy(&word, at, sizeof word);
    if (size == sizeof word) return word;
    memcpy(&wide, at, sizeof wide);
    return wide;
}

static void set_field(void *at, uint64_t value, size_t size)
{
    uint32_t word = (uint32_t)value;
    if (size == sizeof word)
        memcpy(at, &word, sizeof word);
    else
        memcpy(at, &value, sizeof value);
}

size_t el_sampler_save(const el_sampler *s, uint8_t *bytes)
{
    size_t used = sizeof VERSION;
    if (bytes) store(bytes, VERSION, sizeof VERSION);
    for (const struct field *f = fields; f < fields + FIELDS; f++) {
        if (bytes) store(bytes + used, get_field((const char *)s + f->offset, f->size), f->size);
        used += f->size;
    }
    return used;
}

edgellm_status el_sampler_restore(el_sampler *s, const uint8_t *bytes, size_t size,
                                  edgellm_error *err)
{
    el_sampler read = *s;
    size_t used = sizeof VERSION;
    if (size != el_sampler_save(s, NULL))
        return el_fail(err, EDGELLM_ERR_FORMAT, "the saved sampler has %zu bytes, not %zu", size,
                       el_sampler_save(s, NULL));
    if (load(bytes, sizeof VERSION) != VERSION)
        return el_fail(err, EDGELLM_ERR_FORMAT, "the saved sampler is of another version");
    for (const struct field *f = fields; f < fields + FIELDS; f++) {
        set_field((char *)&read + f->offset, load(bytes + used, f->size), f->size);
        used += f->size;
    }
    edgellm_error why = {EDGELLM_OK, ""};
    uint64_t random = read.random;
    if (el_sampler_set(s, &read.options, &why) != EDGELLM_OK)
        return el_fail(err, EDGELLM_ERR_FORMAT, "the saved sampler: %s", why.message);
    s->random = random;
    return EDGELLM_OK;
}
