/*
 * manifest.h: the JSON text that says how a file was made. It holds no time, path or machine, so
 * that the same source and options give the same file everywhere.
 */
#ifndef EL_QUANT_MANIFEST_H
#define EL_QUANT_MANIFEST_H

#include "quant/quantize.h"

/* Tensors by codec, kind of scale and group (index 0, 1, 2, 3: row, 32, 64, 128). */
typedef struct el_codec_counts {
    uint32_t n[EL_CODEC_COUNT][EL_SCALE_KINDS][4];
} el_codec_counts;

/* Counts one tensor; vectors (codec F32) with any kind and group 0. */
void el_codec_count(el_codec_counts *counts, el_codec codec, el_scale_kind kind, uint32_t group);

/* A text that grows; `failed` once memory ran out. */
typedef struct el_manifest {
    char *bytes; /* NUL-terminated, owned */
    size_t used, room;
    bool failed;
} el_manifest;

/* Begins with tool and source. `source`: its path, of which only the last part is kept; crc: CRC-32
 * of the whole source. Options follow, as members of the object; then el_manifest_end(). */
void el_manifest_begin(el_manifest *t, const char *source, uint64_t source_bytes, uint32_t crc);

/* Adds a piece of JSON, of at most 255 bytes. */
void el_manifest_add(el_manifest *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds a JSON string; bytes that are not UTF-8 become U+FFFD. */
void el_manifest_add_string(el_manifest *t, const char *s);

/* Adds how many tensors have which form, and gives the text: free() it. NULL: memory ran out. */
char *el_manifest_end(el_manifest *t, const el_codec_counts *counts);

/* The manifest of el_quantize(); NULL: memory ran out. */
char *el_manifest_build(const char *source, uint64_t source_bytes, uint32_t crc,
                        const el_quantize_options *options, const el_codec_counts *counts);

#endif
