/* crc32.c: eight bytes at a time by eight tables. */
#include "base/crc32.h"

#include <string.h>

#include "base/crc32_table.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "EdgeLLM needs a little-endian machine: its files are read where they lie"
#endif

uint32_t el_crc32(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    const uint32_t(*t)[256] = el_crc32_table;
    crc = ~crc;
    for (; size >= 8; size -= 8, p += 8) {
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + 4, 4);
        low ^= crc;
        crc = t[7][low & 255] ^ t[6][low >> 8 & 255] ^ t[5][low >> 16 & 255] ^ t[4][low >> 24] ^
              t[3][high & 255] ^ t[2][high >> 8 & 255] ^ t[1][high >> 16 & 255] ^ t[0][high >> 24];
    }
    for (; size; size--, p++)
        crc = crc >> 8 ^ t[0][(crc ^ *p) & 255];
    return ~crc;
}
