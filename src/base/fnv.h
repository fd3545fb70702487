/* fnv.h: FNV-1a in 64 bits, byte by byte: tells contents apart that nobody made to look alike. */
#ifndef EL_BASE_FNV_H
#define EL_BASE_FNV_H

#include <stddef.h>
#include <stdint.h>

/* Starts with EDGELLM_HASH_START. */
static inline uint64_t el_fnv(uint64_t hash, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ p[i]) * UINT64_C(1099511628211);
    return hash;
}

#endif
