/* fnv.h: FNV-1a in 64 bits, byte by byte: tells contents apart that nobody made to look alike. */
#ifndef EL_BASE_FNV_H
#define EL_BASE_FNV_H

#include <stddef.h>
#include <stdint.h>

/* Starts with EDGELLM_HASH_START. */
uint64_t el_fnv(uint64_t hash, const void *bytes, size_t size);

#endif
