/*
 * tm2_tensor.c: what must hold for a tensor, whether it is read or about to be written. The scans
 * run over megabytes at every start, so they only OR; the position is looked for after a hit.
 */
#include "base/half.h"
#include "format/tm2_layout.h"

#include <stddef.h>

#define CHUNK     64 /* elements that a scan takes at once: a constant, so that it is vectorised */
#define DIM_LIMIT (1u << 24)

const char el_tm2_section_names[EL_TM2_SECTIONS][EL_TM2_SECTION_NAME_BYTES] = {
    "model", "vocab", "template", "weights", "tensors", "manifest",
};

const char *const el_table_endings[EL_TABLE_PARTS] = {".weight", ".rest.weight", ".last.weight"};

const uint16_t el_tm2_numbers[EL_TM2_NUMBERS] = {
    offsetof(el_config, layers),
    offsetof(el_config, dim),
    offsetof(el_config, ffn_dim),
    offsetof(el_config, heads),
    offsetof(el_config, kv_heads),
    offsetof(el_config, head_dim),
    offsetof(el_config, rotary_dim),
    offsetof(el_config, vocab),
    offsetof(el_config, context),
    offsetof(el_config, rope_base),
    offsetof(el_config, norm_eps),
    /* from version 5 on */
    offsetof(el_config, window),
    offsetof(el_config, pattern),
    offsetof(el_config, local_rope_base),
    offsetof(el_config, rope_factor),
    offsetof(el_config, attention_scale),
    offsetof(el_config, attention_cap),
    offsetof(el_config, logit_cap),
    /* from version 6 on */
    offsetof(el_config, rope_context),
    offsetof(el_config, rope_gain),
    offsetof(el_config, yarn_fast),
    offsetof(el_config, yarn_slow),
};

/* ---- shape ----------------------------------------------------------------------------- */

static bool name_is_valid(const char *name)
{
    size_t len = strnlen(name, EL_TENSOR_NAME_BYTES);
    if (len == 0 || len == EL_TENSOR_NAME_BYTES) return false;
    for (size_t i = 0; i < len; i++) {
        if (name[i] <= ' ' || name[i] > '~') return false;
    }
    return true;
}

/* Bytes that this shape takes; 0 if it is impossible. */
static uint64_t bytes_of(const el_tensor *t)
{
    el_matrix_layout layout;
    if (t->codec == EL_CODEC_F32) {
        bool valid = t->rows >= 1 && t->rows <= DIM_LIMIT && t->cols >= 1 && t->cols <= DIM_LIMIT &&
                     t->group == 0 && t->scale_kind == 0;
        return valid ? (uint64_t)t->rows * t->cols * sizeof(float) : 0;
    }
    if (el_matrix_measure(t->rows, t->cols, (el_codec)t->codec, (el_scale_kind)t->scale_kind,
                          t->group, &layout)) {
        return 0;
    }
    return layout.bytes;
}

/* Of a tensor whose codec is known. */
static edgellm_status check_rotation(const el_tensor *t, edgellm_error *err)
{
    if (t->rotation >= EL_ROTATIONS)
        return el_fail(err, EDGELLM_ERR_FORMAT, "tensor '%s': rotation %u is unknown", t->name,
                       t->rotation);
    if (t->rotation == EL_ROTATION_NONE ||
        (t->codec != EL_CODEC_F32 && t->cols % EL_ROTATION_WIDTH == 0)) {
        return EDGELLM_OK;
    }
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "tensor '%s': (%u, %u) in codec %s cannot be rotated: that takes a quantised "
                   "codec and columns in multiples of %d",
                   t->name, t->rows, t->cols, el_codecs[t->codec].name, EL_ROTATION_WIDTH);
}

edgellm_status el_tensor_check_shape(const el_tensor *t, edgellm_error *err)
{
    if (!name_is_valid(t->name)) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tensor '%.63s': a name is 1..63 printable ASCII characters", t->name);
    }
    uint64_t bytes = bytes_of(t);
    if (bytes == 0) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tensor '%s': (%u, %u), codec %u, scale kind %u, group %u is not a shape "
                       "of this format",
                       t->name, t->rows, t->cols, t->codec, t->scale_kind, t->group);
    }
    if (bytes != t->bytes) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "tensor '%s': has %llu bytes, but (%u, %u) in codec %s takes %llu", t->name,
                       (unsigned long long)t->bytes, t->rows, t->cols, el_codecs[t->codec].name,
                       (unsigned long long)bytes);
    }
    return check_rotation(t, err);
}

/* ---- floats ---------------------------------------------------------------------------- */

/* Adding 1 to an exponent of all ones carries into the sign's place. */
static inline uint16_t half_overflow(uint16_t h)
{
    return (uint16_t)((h & 0x7c00) + 0x0400);
}

static inline uint32_t float_overflow(uint32_t f)
{
    return (f & 0x7f800000u) + 0x00800000u;
}

/* Index of the first NaN or infinity, n if there is none. Once for each width, since only a plain
 * loop over one type is turned into vector code. */
static uint64_t find_bad_half(const uint16_t *h, uint64_t n)
{
    uint64_t i = 0;
    for (; n - i >= CHUNK; i += CHUNK) {
        uint16_t any = 0;
        for (int k = 0; k < CHUNK; k++)
            any |= half_overflow(h[i + (unsigned)k]);
        if (any & 0x8000) break;
    }
    while (i < n && !(half_overflow(h[i]) & 0x8000))
        i++;
    return i;
}

static uint64_t find_bad_float(const uint32_t *f, uint64_t n)
{
    uint64_t i = 0;
    for (; n - i >= CHUNK; i += CHUNK) {
        uint32_t any = 0;
        for (int k = 0; k < CHUNK; k++)
            any |= float_overflow(f[i + (unsigned)k]);
        if (any & 0x80000000u) break;
    }
    while (i < n && !(float_overflow(f[i]) & 0x80000000u))
        i++;
    return i;
}

static const char *const plane_names[EL_PLANES] = {"codes", "scales", "offsets", "refs", "orefs"};

/* groups: entries of a row in this plane. */
static edgellm_status check_half_plane(const el_tensor *t, const uint16_t *plane, uint64_t bytes,
                                       uint32_t groups, int index, edgellm_error *err)
{
    uint64_t n = bytes / sizeof *plane, bad = find_bad_half(plane, n);
    if (bad == n) return EDGELLM_OK;
    uint64_t group = bad / EL_TILE % groups, row = bad / EL_TILE / groups * EL_TILE + bad % EL_TILE;
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "tensor '%s', %s, row %llu, group %llu: 0x%04x is not a finite number", t->name,
                   plane_names[index], (unsigned long long)row, (unsigned long long)group,
                   plane[bad]);
}

static edgellm_status check_float32(const el_tensor *t, edgellm_error *err)
{
    const uint32_t *weights = (const uint32_t *)(const void *)t->data;
    uint64_t n = (uint64_t)t->rows * t->cols, bad = find_bad_float(weights, n);
    if (bad == n) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "tensor '%s', row %llu, column %llu: 0x%08x is not a finite number", t->name,
                   (unsigned long long)(bad / t->cols), (unsigned long long)(bad % t->cols),
                   weights[bad]);
}

static edgellm_status check_padded_rows(const el_tensor *t, const el_matrix *m, edgellm_error *err)
{
    for (uint32_t row = m->rows; row < m->tiles * EL_TILE; row++) {
        for (uint32_t group = 0; group < m->groups; group++) {
            if (el_matrix_scale(m, row, group) != 0 || el_matrix_offset(m, row, group) != 0) {
                return el_fail(err, EDGELLM_ERR_FORMAT,
                               "tensor '%s': padded row %u, group %u has a scale or offset",
                               t->name, row, group);
            }
        }
    }
    return EDGELLM_OK;
}

static edgellm_status measure(const el_tensor *t, el_matrix_layout *layout, edgellm_error *err)
{
    if (el_matrix_measure(t->rows, t->cols, (el_codec)t->codec, (el_scale_kind)t->scale_kind,
                          t->group, layout) == 0) {
        return EDGELLM_OK;
    }
    return el_fail(err, EDGELLM_ERR_INTERNAL, "tensor '%s' was not checked", t->name);
}

edgellm_status el_tensor_check_floats(const el_tensor *t, edgellm_error *err)
{
    if (t->codec == EL_CODEC_F32) return check_float32(t, err);
    el_matrix m;
    el_matrix_layout layout;
    EL_TRY(measure(t, &layout, err));
    el_matrix_view(&m, t->data, t->rows, t->cols, (el_codec)t->codec, (el_scale_kind)t->scale_kind,
                   t->group);
    for (int p = t->scale_kind == EL_SCALE_F16 ? 1 : 3; p < EL_PLANES; p++) {
        const void *plane = t->data + layout.plane_offset[p];
        EL_TRY(check_half_plane(t, plane, layout.plane_bytes[p], p < 3 ? m.groups : 1, p, err));
    }
    return check_padded_rows(t, &m, err);
}

/* ---- codes ----------------------------------------------------------------------------- */

static edgellm_status check_plane_padding(const el_tensor *t, const el_matrix_layout *layout,
                                          edgellm_error *err)
{
    for (int p = 0; p < EL_PLANES; p++) {
        uint64_t at = layout->plane_offset[p] + layout->plane_bytes[p];
        for (; at < el_tm2_aligned(at); at++) {
            if (t->data[at]) {
                return el_fail(err, EDGELLM_ERR_FORMAT,
                               "tensor '%s': byte %llu, padding after the %s, is not 0", t->name,
                               (unsigned long long)at, plane_names[p]);
            }
        }
    }
    return EDGELLM_OK;
}

/* The forbidden codes of a byte: what is not 0 at their bits (of fives: at all). */
static uint8_t is_minus_128(uint8_t byte)
{
    return byte == 0x80;
}

static uint8_t threes_of(uint8_t byte)
{
    return byte & byte >> 1 & 0x55;
}

/* 243 * byte / 256 is the value of the codes, and the byte is the least that has it
 * (kernel/matrix.h). */
static uint8_t is_no_five(uint8_t byte)
{
    return (uint8_t)(byte * 243) >= 243;
}

static const struct code_rule {
    el_codec codec;
    uint8_t (*broken)(uint8_t byte);
    const char *what;
} code_rules[] = {
    {EL_CODEC_I8, is_minus_128, "the code -128 is not allowed"},
    {EL_CODEC_O8, is_minus_128, "the code -128 is not allowed"},
    {EL_CODEC_T2, threes_of, "the code 3 is not allowed"},
    {EL_CODEC_T1, is_no_five, "no five codes make this byte"},
};

/* Of the byte at `at` of the codes, which breaks a rule. */
static edgellm_status fail_code(const el_tensor *t, const struct code_rule *rule, uint64_t at,
                                edgellm_error *err)
{
    const el_codec_info *info = &el_codecs[t->codec];
    uint64_t tile_bytes = el_tile_bytes(info, (t->cols + (EL_BLOCK - 1)) / EL_BLOCK);
    uint64_t in_tile = at % tile_bytes, quad = in_tile / 64 * (info->fives ? 5 : 8u / info->bits);
    uint8_t broken = rule->broken(t->data[at]);
    for (; (broken & ((1u << info->bits) - 1)) == 0; broken = (uint8_t)(broken >> info->bits))
        quad++;
    return el_fail(err, EDGELLM_ERR_FORMAT, "tensor '%s', row %llu, column %llu: %s (byte 0x%02x)",
                   t->name, (unsigned long long)(at / tile_bytes * EL_TILE + in_tile % 64 / 4),
                   (unsigned long long)(quad * 4 + in_tile % 4), rule->what, t->data[at]);
}

static edgellm_status check_rule(const el_tensor *t, const struct code_rule *rule, uint64_t bytes,
                                 edgellm_error *err)
{
    uint8_t broken[256];
    for (int byte = 0; byte < 256; byte++)
        broken[byte] = rule->broken((uint8_t)byte);
    for (uint64_t i = 0; i < bytes; i++)
        if (broken[t->data[i]]) return fail_code(t, rule, i, err);
    return EDGELLM_OK;
}

edgellm_status el_tensor_check_codes(const el_tensor *t, edgellm_error *err)
{
    el_matrix_layout layout;
    if (t->codec == EL_CODEC_F32) return EDGELLM_OK;
    EL_TRY(measure(t, &layout, err));
    EL_TRY(check_plane_padding(t, &layout, err));
    for (size_t i = 0; i < sizeof code_rules / sizeof *code_rules; i++) {
        if (code_rules[i].codec == t->codec)
            return check_rule(t, &code_rules[i], layout.plane_bytes[0], err);
    }
    return EDGELLM_OK;
}
