/*
 * cache.h: what one position left in the KV cache, as bytes that depend neither on the context nor
 * on how a kernel lays the cache out: session files are made of these records (docs/SESSION.md).
 *
 *   8 bits      key codes (head_dim), value codes (head_dim), key scales, value scales (one f32
 *               for 32 codes each)
 *   16, 4 bits  the same parts as they lie in the cache: see el_kv in kernel/kernels.h
 *   exact mode  key (head_dim) and value (head_dim) as f32
 *
 * A plane is one (layer, kv head): planes are numbered layer * kv_heads + head.
 */
#ifndef EL_MODEL_CACHE_H
#define EL_MODEL_CACHE_H

#include "model/forward.h"

/* The largest is that of exact mode. */
#define EL_CACHE_RECORD_MAX (sizeof(float) * 2 * EL_HEAD_DIM_MAX)

uint32_t el_cache_planes(const el_forward *f);
size_t el_cache_record_bytes(const el_forward *f);

/* The place of a position that is about to be computed; what its record overwrites is noted. */
el_place el_cache_place(el_forward *f, uint32_t position);

/* Can the token at `position` be computed: is everything there that local layers attend to? */
bool el_cache_reaches(const el_forward *f, uint32_t position);

/* The first position whose record tokens from `position` on need of a layer, and how many records
 * they need of all. */
uint32_t el_cache_needed(const el_forward *f, uint32_t layer, uint32_t position);
uint64_t el_cache_records(const el_forward *f, uint32_t position);

/* Those were written, no others. */
void el_cache_filled(el_forward *f, uint32_t position);

/* Copies one record out of the cache, or into it. */
void el_cache_read(const el_forward *f, uint32_t plane, uint32_t position, uint8_t *record);
void el_cache_write(el_forward *f, uint32_t plane, uint32_t position, const uint8_t *record);

/* Makes the values of positions [begin, end) finite, as padded attention asks: after weights whose
 * results overflow. Nothing to do in exact mode. */
void el_cache_forget(el_forward *f, uint32_t begin, uint32_t end);

/* What is wrong with a record from outside (a code of -128, a scale that is negative or not
 * finite), with the offset in it; NULL if nothing is. */
const char *el_cache_fault(const el_forward *f, const uint8_t *record, size_t *at);

#endif
