/* ternary.c: see ternary.h. Works on a row at a time. */
#include "quant/ternary.h"

#include <stdlib.h>

#include "base/half.h"
#include "kernel/matrix_pack.h"
#include "quant/fit.h"

/* ---- looking ------------------------------------------------------------------------------- */

/* Widths of a group, the widest first: bit i of a set stands for widths[i]. */
static const uint32_t widths[] = {0, 128, 64, 32};

enum { WIDTHS = sizeof widths / sizeof widths[0], ALL_WIDTHS = (1 << WIDTHS) - 1 };

/* The one magnitude of n weights beside 0, or 0 if there is none; negative: there are several. As
 * bits, which have the order of magnitudes; without branches, which would be foretold badly. */
static float magnitude_of(const float *w, uint32_t n)
{
    const uint32_t magnitude = 0x7fffffff;
    uint32_t most = 0, others = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bits = el_bits_of_float(w[i]) & magnitude;
        most = bits > most ? bits : most;
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bits = el_bits_of_float(w[i]) & magnitude;
        others |= (uint32_t)(bits != 0) & (uint32_t)(bits != most);
    }
    const float found = el_float_of_bits(most);
    return others || !__builtin_isfinite(found) ? -1 : found;
}

/* Has each group of so many weights one magnitude? */
static bool fits(const float *w, uint32_t cols, uint32_t width)
{
    const uint32_t step = width ? width : cols;
    for (uint32_t at = 0; at < cols; at += step) {
        const uint32_t n = cols - at < step ? cols - at : step;
        if (magnitude_of(w + at, n) < 0) return false;
    }
    return true;
}

/* Those of a set of widths that a row has: the widest that fits, and all that are narrower. */
static unsigned fitting(const float *w, uint32_t cols, unsigned set)
{
    for (int i = 0; i < WIDTHS; i++)
        if (set >> i & 1 && fits(w, cols, widths[i])) return set >> i << i;
    return 0;
}

/* How well fp16 holds the magnitudes of a row. */
typedef enum held { HELD_BADLY, HELD_NEARLY, HELD } held;

#define LEAST_NORMAL 6.103515625e-05f /* of fp16: below it numbers lose more and more bits */

static held held_by_half(float x)
{
    const float half = el_float_of_half(el_fit_half(x));
    if (half == x) return HELD;
    return x >= LEAST_NORMAL && x <= 65504.0f ? HELD_NEARLY : HELD_BADLY;
}

/* Of a row that fits the narrowest groups. */
static held worst_held(const float *w, uint32_t cols)
{
    const uint32_t step = widths[WIDTHS - 1];
    held worst = HELD;
    float last = 0; /* most groups have the same: not one by one */
    for (uint32_t at = 0; at < cols; at += step) {
        const float x = magnitude_of(w + at, cols - at < step ? cols - at : step);
        if (x == last) continue;
        const held h = held_by_half(x);
        if (h < worst) worst = h;
        last = x;
    }
    return worst;
}

static void read_row(const el_gguf_tensor *t, const el_ggml_type *type, uint32_t row, float *w)
{
    const size_t blocks = t->cols / type->block_weights;
    type->dequantize(t->data + (size_t)row * blocks * type->block_bytes, blocks, w);
}

/* w: room for a row. */
static void look(const el_gguf_tensor *tensor, const el_ggml_type *type, float *w,
                 el_ternary *found)
{
    unsigned set = ALL_WIDTHS;
    held worst = HELD;
    for (uint32_t row = 0; row < tensor->rows && set != 0; row++) {
        read_row(tensor, type, row, w);
        set = fitting(w, tensor->cols, set);
        const held h = set != 0 ? worst_held(w, tensor->cols) : HELD_BADLY;
        if (h < worst) worst = h;
        if (worst == HELD_BADLY) set = 0;
    }
    *found = (el_ternary){.holds = set != 0, .exact = worst == HELD};
    if (set != 0) found->group = widths[__builtin_ctz(set)];
}

static edgellm_status row_of(const el_gguf_tensor *tensor, float **w, edgellm_error *err)
{
    *w = malloc(tensor->cols * sizeof **w);
    if (*w) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for a row of '%s'", tensor->name);
}

edgellm_status el_ternary_look(const el_gguf_tensor *tensor, el_ternary *found, edgellm_error *err)
{
    const el_ggml_type *type = el_ggml_type_of(tensor->type);
    float *w;
    *found = (el_ternary){.holds = false};
    if (!type) return EDGELLM_OK;
    EL_TRY(row_of(tensor, &w, err));
    look(tensor, type, w, found);
    free(w);
    return EDGELLM_OK;
}

/* ---- taking -------------------------------------------------------------------------------- */

/* One group of a row. */
static void take_group(const el_matrix *m, uint8_t *data, uint16_t *scales, uint32_t row,
                       uint32_t group, const float *w)
{
    const uint32_t width = m->group_blocks * EL_BLOCK, begin = group * width;
    const uint32_t n = m->cols - begin < width ? m->cols - begin : width;
    scales[((size_t)(row / EL_TILE) * m->groups + group) * EL_TILE + row % EL_TILE] =
        el_fit_half(magnitude_of(w + begin, n));
    for (uint32_t at = 0; at < n; at += EL_BLOCK) {
        int8_t codes[EL_BLOCK];
        const uint32_t count = n - at < EL_BLOCK ? n - at : EL_BLOCK;
        for (uint32_t i = 0; i < count; i++)
            codes[i] = (int8_t)(1 + (w[begin + at + i] > 0) - (w[begin + at + i] < 0));
        el_matrix_set_codes(data, (el_codec)m->codec, m->blocks, row, begin + at, count, codes);
    }
}

edgellm_status el_ternary_take(const el_gguf_tensor *tensor, el_codec codec, uint32_t group,
                               uint8_t *data, edgellm_error *err)
{
    const el_ggml_type *type = el_ggml_type_of(tensor->type);
    el_matrix m;
    if (!type || el_matrix_view(&m, data, tensor->rows, tensor->cols, codec, EL_SCALE_F16, group))
        return el_fail(err, EDGELLM_ERR_INTERNAL, "tensor '%s' cannot be taken over", tensor->name);
    float *w;
    EL_TRY(row_of(tensor, &w, err));
    uint16_t *scales = (void *)m.scales; /* in `data` */
    for (uint32_t row = 0; row < m.rows; row++) {
        read_row(tensor, type, row, w);
        for (uint32_t g = 0; g < m.groups; g++)
            take_group(&m, data, scales, row, g, w);
    }
    free(w);
    return EDGELLM_OK;
}
