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

/*
 * Builds the text. `source`: path of the source, of which only the last part is kept; crc: CRC-32
 * of the whole source. Returns NULL if memory ran out; free() it.
 */
char *el_manifest_build(const char *source, uint64_t source_bytes, uint32_t crc,
                        const el_quantize_options *options, const el_codec_counts *counts);

#endif
