/*
 * test_self_test.c: the kernels' self-test at start finds every level of this CPU right, and finds
 * each single kernel that is wrong in one bit of one number.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/self_test.h"

static void every_level_is_right(void **state)
{
    (void)state;
    for (int level = 0; level < EL_CPU_LEVELS; level++) {
        el_kernels k;
        if (!el_cpu_has((el_cpu_level)level)) continue;
        el_kernels_init(&k, (el_cpu_level)level);
        assert_null(el_kernels_self_test(&k));
    }
}

/* ---- wrong ones: what a sound kernel does, and one bit more ------------------------------- */

static el_kernels sound;
static el_codec wrong_codec;

static void spoil(float *x)
{
    uint32_t bits;
    memcpy(&bits, x, sizeof bits);
    bits ^= 1;
    memcpy(x, &bits, sizeof bits);
}

static void matmul(const el_matrix *m, const el_acts *acts, uint32_t n, uint32_t begin,
                   uint32_t end, float *out, size_t stride)
{
    sound.matmul[wrong_codec](m, acts, n, begin, end, out, stride);
    spoil(&out[(n - 1) * stride + m->rows - 1]);
}

static void matmul_exact(const el_matrix *m, const float *x, size_t x_stride, uint32_t n,
                         uint32_t begin, uint32_t end, float *out, size_t stride, float *scratch)
{
    sound.matmul_exact(m, x, x_stride, n, begin, end, out, stride, scratch);
    spoil(&out[m->rows - 1]);
}

static void quantize(const float *x, uint32_t n, int8_t *q, float *scale, int32_t *sum)
{
    sound.quantize(x, n, q, scale, sum);
    q[n - 1] ^= 1;
}

static void rms_norm(const float *x, const float *weight, uint32_t n, float eps, float *out)
{
    sound.rms_norm(x, weight, n, eps, out);
    spoil(&out[n - 1]);
}

static void rotate(float *x, uint32_t n)
{
    sound.rotate(x, n);
    spoil(&x[n - 1]);
}

static void add(float *x, const float *y, uint32_t n)
{
    sound.add(x, y, n);
    spoil(&x[n - 1]);
}

static void swiglu(float *gate, const float *up, uint32_t n)
{
    sound.swiglu(gate, up, n);
    spoil(&gate[n - 1]);
}

static void geglu(float *gate, const float *up, uint32_t n)
{
    sound.geglu(gate, up, n);
    spoil(&gate[n - 1]);
}

static void reglu2(float *gate, const float *up, uint32_t n)
{
    sound.reglu2(gate, up, n);
    spoil(&gate[n - 1]);
}

static void soft_cap(float *x, uint32_t n, float cap)
{
    sound.soft_cap(x, n, cap);
    spoil(&x[n - 1]);
}

static void rope(float *x, uint32_t heads, uint32_t head_dim, uint32_t rotary_dim,
                 const float *cosine, const float *sine)
{
    sound.rope(x, heads, head_dim, rotary_dim, cosine, sine);
    spoil(&x[heads * head_dim - 1]);
}

static void kv_store(const el_kv *kv, uint32_t position, const float *key, const float *value,
                     uint32_t head_dim)
{
    sound.kv_store(kv, position, key, value, head_dim);
    kv->values[(size_t)position * head_dim] ^= 1;
}

/* Wrong for the last head only. */
static void attend(const el_kv *kv, const el_queries *q, const el_attended *of, float *scores)
{
    sound.attend(kv, q, of, scores);
    spoil(&q->out[(q->tokens - 1) * q->stride + q->heads * of->head_dim - 1]);
}

static void attend_exact(const float *keys, const float *values, const float *query,
                         const el_attended *of, float *scores, float *out)
{
    sound.attend_exact(keys, values, query, of, scores, out);
    spoil(&out[of->head_dim - 1]);
}

/* The sound table, which passes for one of another level. */
static el_kernels start(void)
{
    el_kernels_init(&sound, EL_CPU_SCALAR);
    el_kernels k = sound;
    k.level = (el_cpu_level)(EL_CPU_SCALAR + 1);
    assert_null(el_kernels_self_test(&k));
    return k;
}

#define FINDS(field, name)                                                                         \
    do {                                                                                           \
        el_kernels k = start();                                                                    \
        k.field = field;                                                                           \
        assert_non_null(el_kernels_self_test(&k));                                                 \
        assert_string_equal(el_kernels_self_test(&k), name);                                       \
    } while (0)

static void wrong_operations_are_found(void **state)
{
    (void)state;
    FINDS(quantize, "quantize");
    FINDS(rms_norm, "rms_norm");
    FINDS(rotate, "rotate");
    FINDS(add, "add");
    FINDS(swiglu, "swiglu");
    FINDS(geglu, "geglu");
    FINDS(reglu2, "reglu2");
    FINDS(soft_cap, "soft_cap");
    FINDS(rope, "rope");
    FINDS(matmul_exact, "matmul_exact");
    FINDS(kv_store, "attend");
    FINDS(attend, "attend");
    FINDS(attend_exact, "attend_exact");
}

static void wrong_codecs_are_found(void **state)
{
    (void)state;
    for (int codec = EL_CODEC_F32 + 1; codec < EL_CODEC_COUNT; codec++) {
        el_kernels k = start();
        wrong_codec = (el_codec)codec;
        k.matmul[codec] = matmul;
        assert_non_null(el_kernels_self_test(&k));
        assert_string_equal(el_kernels_self_test(&k), el_codecs[codec].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level_is_right),
        cmocka_unit_test(wrong_operations_are_found),
        cmocka_unit_test(wrong_codecs_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
