/* folder_values.c: metadata as a GGUF file has them, made in memory: key and value of each lie in
 * one piece of the file's room. */
#include <stdio.h>
#include <string.h>

#include "folder/folder_work.h"
#include "format/gguf_value.h"

const char *el_folder_key(el_folder *f, const char *suffix)
{
    snprintf(f->key, sizeof f->key, "%s.%s", f->family->architecture, suffix);
    return f->key;
}

/* Room of `bytes` for the value; NULL if there is none. file->values has room for all that the
 * importer puts (folder.c). */
static uint8_t *put(el_folder *f, const char *key, uint32_t type, size_t bytes)
{
    const size_t key_len = strlen(key);
    char *room = f->failed ? NULL : el_gguf_room(f->file, key_len + bytes);
    if (!room) {
        f->failed = true;
        return NULL;
    }
    memcpy(room, key, key_len);
    f->file->values[f->file->n_values++] = (el_gguf_value){.key = room,
                                                           .key_len = (uint32_t)key_len,
                                                           .type = type,
                                                           .count = 1,
                                                           .data = (uint8_t *)room + key_len};
    return (uint8_t *)room + key_len;
}

void el_folder_put_u32(el_folder *f, const char *key, uint32_t value)
{
    uint8_t *at = put(f, key, EL_GGUF_U32, sizeof value);
    if (at) memcpy(at, &value, sizeof value);
}

void el_folder_put_f32(el_folder *f, const char *key, float value)
{
    uint8_t *at = put(f, key, EL_GGUF_F32, sizeof value);
    if (at) memcpy(at, &value, sizeof value);
}

void el_folder_put_bool(el_folder *f, const char *key, bool value)
{
    uint8_t *at = put(f, key, EL_GGUF_BOOL, 1);
    if (at) *at = value;
}

uint8_t *el_folder_write_text(uint8_t *at, const char *text, size_t len)
{
    const uint64_t wide = len;
    memcpy(at, &wide, sizeof wide);
    memcpy(at + sizeof wide, text, len);
    return at + sizeof wide + len;
}

void el_folder_put_text(el_folder *f, const char *key, const char *text, size_t len)
{
    uint8_t *at = put(f, key, EL_GGUF_STRING, sizeof(uint64_t) + len);
    if (at) el_folder_write_text(at, text, len);
}

uint8_t *el_folder_put_array(el_folder *f, const char *key, uint32_t element_type, uint64_t count,
                             size_t bytes)
{
    uint8_t *at = put(f, key, EL_GGUF_ARRAY, bytes);
    if (!at) return NULL;
    el_gguf_value *value = &f->file->values[f->file->n_values - 1];
    value->element_type = element_type;
    value->count = count;
    return at;
}
