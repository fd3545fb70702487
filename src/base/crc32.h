/* crc32.h: the CRC-32 of IEEE 802.3 (reflected 0xEDB88320), as in zlib, gzip and Python. */
#ifndef EL_BASE_CRC32_H
#define EL_BASE_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 at the start) over `size` bytes. */
uint32_t el_crc32(uint32_t crc, const void *bytes, size_t size);

#endif
