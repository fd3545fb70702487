#include "model/cache.h"

#include <string.h>

#define INFINITE_BITS 0x7f800000u

typedef struct record_layout {
    size_t codes, scales; /* bytes of one of each: key or value */
} record_layout;

static record_layout layout_of(const el_forward *f)
{
    const uint32_t dim = f->model->config.head_dim, blocks = (dim + EL_BLOCK - 1) / EL_BLOCK;
    if (f->exact) return (record_layout){.codes = dim * sizeof(float), .scales = 0};
    if (f->kv_bits == 8) return (record_layout){.codes = dim, .scales = blocks * sizeof(float)};
    const el_kv kv = {.blocks = f->kv_bits == 16 ? 2 * blocks : blocks, .bits = f->kv_bits};
    return (record_layout){.codes = el_kv_row(&kv), .scales = kv.blocks * sizeof(float)};
}

uint32_t el_cache_planes(const el_forward *f)
{
    return el_forward_planes(f);
}

/* ---- what rings hold ------------------------------------------------------------------------- */

/* The first position that the token at `position` attends to in local layers. */
static uint32_t window_begin(const el_forward *f, uint32_t position)
{
    const uint32_t window = f->model->config.window;
    return window != 0 && position >= window ? position + 1 - window : 0;
}

el_place el_cache_place(el_forward *f, uint32_t position)
{
    el_cache *cache = &f->cache;
    if (position == 0) cache->kept = 0;
    if (cache->ring != 0 && position >= cache->ring && cache->kept <= position - cache->ring)
        cache->kept = position + 1 - cache->ring;
    return (el_place){cache, position, f->scales};
}

bool el_cache_reaches(const el_forward *f, uint32_t position)
{
    return position == 0 || f->cache.kept <= window_begin(f, position);
}

uint32_t el_cache_needed(const el_forward *f, uint32_t layer, uint32_t position)
{
    return f->model->layers[layer].local ? window_begin(f, position) : 0;
}

uint64_t el_cache_records(const el_forward *f, uint32_t position)
{
    uint64_t records = 0;
    for (uint32_t i = 0; i < f->model->config.layers; i++)
        records += (uint64_t)(position - el_cache_needed(f, i, position)) * f->cache.kv_heads;
    return records;
}

void el_cache_filled(el_forward *f, uint32_t position)
{
    f->cache.kept = window_begin(f, position);
}

static bool is_local(const el_forward *f, uint32_t plane)
{
    return f->model->layers[plane / f->cache.kv_heads].local;
}

/* ---- records --------------------------------------------------------------------------------- */

size_t el_cache_record_bytes(const el_forward *f)
{
    const record_layout l = layout_of(f);
    return 2 * (l.codes + l.scales);
}

static void read_codes(const el_kv *kv, uint32_t position, record_layout l, uint8_t *record)
{
    uint8_t key[EL_KV_DIM_MAX];
    for (uint32_t part = 0; part < el_kv_row(kv) / 4; part++)
        memcpy(key + (size_t)part * 4, kv->keys + el_kv_key_at(kv, position, part), 4);
    memcpy(record, key, l.codes);
    memcpy(record + l.codes, kv->values + (size_t)position * el_kv_row(kv), l.codes);
    uint8_t *scales = record + 2 * l.codes;
    for (uint32_t b = 0; b < kv->blocks; b++)
        memcpy(scales + b * sizeof(float), kv->kscale + el_kv_kscale_at(kv, position, b),
               sizeof(float));
    memcpy(scales + l.scales, kv->vscale + (size_t)position * kv->blocks, l.scales);
}

/* Codes past head_dim are 0: of values they never were anything else. */
static void write_codes(const el_kv *kv, uint32_t position, record_layout l, const uint8_t *record)
{
    uint8_t key[EL_KV_DIM_MAX] = {0};
    const uint8_t *scales = record + 2 * l.codes;
    memcpy(key, record, l.codes);
    for (uint32_t part = 0; part < el_kv_row(kv) / 4; part++)
        memcpy(kv->keys + el_kv_key_at(kv, position, part), key + (size_t)part * 4, 4);
    memcpy(kv->values + (size_t)position * el_kv_row(kv), record + l.codes, l.codes);
    for (uint32_t b = 0; b < kv->blocks; b++)
        memcpy(kv->kscale + el_kv_kscale_at(kv, position, b), scales + b * sizeof(float),
               sizeof(float));
    memcpy(kv->vscale + (size_t)position * kv->blocks, scales + l.scales, l.scales);
}

void el_cache_read(const el_forward *f, uint32_t plane, uint32_t position, uint8_t *record)
{
    const record_layout l = layout_of(f);
    const uint32_t place = el_cache_at(&f->cache, is_local(f, plane), position);
    if (!f->exact) {
        read_codes(&f->cache.planes[plane], place, l, record);
        return;
    }
    const size_t at = (size_t)place * f->model->config.head_dim;
    memcpy(record, f->cache.exact[plane].keys + at, l.codes);
    memcpy(record + l.codes, f->cache.exact[plane].values + at, l.codes);
}

void el_cache_write(el_forward *f, uint32_t plane, uint32_t position, const uint8_t *record)
{
    const record_layout l = layout_of(f);
    const uint32_t place = el_cache_at(&f->cache, is_local(f, plane), position);
    if (!f->exact) {
        write_codes(&f->cache.planes[plane], place, l, record);
        return;
    }
    const size_t at = (size_t)place * f->model->config.head_dim;
    memcpy(f->cache.exact[plane].keys + at, record, l.codes);
    memcpy(f->cache.exact[plane].values + at, record + l.codes, l.codes);
}

void el_cache_forget(el_forward *f, uint32_t begin, uint32_t end)
{
    if (f->exact) return;
    for (uint32_t plane = 0; plane < el_cache_planes(f); plane++) {
        const el_kv *kv = &f->cache.planes[plane];
        const bool local = is_local(f, plane);
        for (uint32_t p = begin; p < end; p++)
            memset(kv->vscale + (size_t)el_cache_at(&f->cache, local, p) * kv->blocks, 0,
                   kv->blocks * sizeof *kv->vscale);
    }
}

/* Finds the first float in [begin, end) whose bits under `mask` are those of infinity or above. */
static bool find_above(const uint8_t *record, size_t begin, size_t end, uint32_t mask, size_t *at)
{
    for (*at = begin; *at < end; *at += sizeof(float)) {
        uint32_t bits;
        memcpy(&bits, record + *at, sizeof bits);
        if ((bits & mask) >= INFINITE_BITS) return true;
    }
    return false;
}

/* Any byte is two codes; a word has a scale in its upper half, an offset in its lower. */
static const char *fault_of_4(const uint8_t *record, size_t codes, size_t bytes, size_t *at)
{
    for (*at = codes; *at < bytes; *at += sizeof(float)) {
        uint32_t word;
        memcpy(&word, record + *at, sizeof word);
        if (word >= INFINITE_BITS || (word << 16 & 0x7fffffffu) >= INFINITE_BITS)
            return "a scale is negative, or it or its offset not finite";
    }
    return NULL;
}

const char *el_cache_fault(const el_forward *f, const uint8_t *record, size_t *at)
{
    const size_t codes = 2 * layout_of(f).codes, bytes = el_cache_record_bytes(f);
    if (f->exact)
        return find_above(record, 0, bytes, 0x7fffffffu, at) ? "a number is not finite" : NULL;
    if (f->kv_bits == 4) return fault_of_4(record, codes, bytes, at);
    const uint8_t *lowest = memchr(record, 0x80, codes);
    if (lowest) {
        *at = (size_t)(lowest - record);
        return "a code is -128";
    }
    return find_above(record, codes, bytes, 0xffffffffu, at) ? "a scale is negative or not finite"
                                                             : NULL;
}
