/* test_base.c: values and memory, checked against definitions, not against themselves. */
#include "support/test_help.h"

#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/crc32.h"
#include "base/crc32_table.h"
#include "base/detmath.h"
#include "base/error.h"
#include "base/half.h"
#include "cpu/cpu.h"

/* ---- error ---------------------------------------------------------------------------------- */

static void test_error(void **state)
{
    (void)state;
    edgellm_error err;
    assert_int_equal(el_fail(NULL, EDGELLM_ERR_IO, "x%d", 1), EDGELLM_ERR_IO);
    assert_int_equal(el_fail(&err, EDGELLM_ERR_FORMAT, "%s %d", "row", 7), EDGELLM_ERR_FORMAT);
    assert_int_equal(err.status, EDGELLM_ERR_FORMAT);
    assert_string_equal(err.message, "row 7");
    el_fail(&err, EDGELLM_ERR_IO, "%s", "a\nb\r\tc\x1b\x7f");
    assert_string_equal(err.message, "a?b??c??");
    assert_string_equal(edgellm_version(), EDGELLM_VERSION);
    assert_string_equal(edgellm_status_name(EDGELLM_OK), "ok");
    assert_string_equal(edgellm_status_name(EDGELLM_ERR_INTERRUPTED), "interrupted");
    assert_string_equal(edgellm_status_name((edgellm_status)99), "unknown");
    assert_string_equal(edgellm_status_name((edgellm_status)-1), "unknown");
}

static void test_error_utf8(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", NULL}, /* good: unchanged */
        {"\xc2\x85|", "??|"},                                       /* next line (C1) */
        {"\xe2\x80\xa8|", "???|"},                                  /* line separator */
        {"\xff\xc0\x80|", "???|"},                                  /* overlong NUL */
        {"\xe0\x80\x80|", "???|"},
        {"\xed\xa0\x80|", "???|"}, /* surrogate */
        {"\xf4\x90\x80\x80|", "????|"},
        {"cut \xe2\x82", "cut ??"},
    };
    edgellm_error err;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        el_fail(&err, EDGELLM_ERR_IO, "%s", pairs[i][0]);
        assert_string_equal(err.message, pairs[i][1] ? pairs[i][1] : pairs[i][0]);
    }
    char long_text[1000]; /* cut in the middle of a character */
    for (size_t i = 0; i + 2 < sizeof long_text; i += 2)
        memcpy(long_text + i, "\xc3\xbc", 3);
    el_fail(&err, EDGELLM_ERR_IO, "%s", long_text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_int_equal(err.message[sizeof err.message - 2], '?');
}

/* ---- half ----------------------------------------------------------------------------------- */

static double half_by_definition(uint16_t h)
{
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double value = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return h & 0x8000 ? -value : value;
}

static void test_half_round_trip(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        uint16_t h = (uint16_t)i;
        float f = el_float_of_half(h);
        assert_int_equal(el_half_is_finite(h), isfinite(f) != 0);
        assert_int_equal(signbit(f) != 0, h >> 15);
        if (el_half_is_finite(h)) {
            assert_true((double)f == half_by_definition(h));
            assert_int_equal(el_half_of_float(f), h);
        } else if (h & 0x3ff) {
            assert_true(isnan(f));
            assert_int_equal(el_half_of_float(f), h | 0x200);
        } else {
            assert_true(isinf(f));
            assert_int_equal(el_half_of_float(f), h);
        }
    }
}

/* Between every two neighbours: the middle goes to the even one, either side to the nearer. */
static void test_half_rounding(void **state)
{
    (void)state;
    for (uint16_t h = 0; h < 0x7c00; h++) {
        double next = h == 0x7bff ? 65536.0 : half_by_definition((uint16_t)(h + 1));
        float middle = (float)((half_by_definition(h) + next) / 2);
        uint16_t even = (uint16_t)(h + (h & 1));
        for (int sign = 0; sign < 2; sign++) {
            uint16_t bit = (uint16_t)(sign << 15);
            float m = sign ? -middle : middle;
            assert_int_equal(el_half_of_float(m), even | bit);
            assert_int_equal(el_half_of_float(nextafterf(m, 0)), h | bit);
            assert_int_equal(el_half_of_float(nextafterf(m, 2 * m)), (h + 1) | bit);
        }
    }
    assert_int_equal(el_half_of_float(FLT_MAX), 0x7c00);
    assert_int_equal(el_half_of_float(-FLT_MAX), 0xfc00);
    assert_int_equal(el_half_of_float(FLT_TRUE_MIN), 0);
    assert_int_equal(el_half_of_float(el_float_of_bits(0x7f800001)) & 0x7e00, 0x7e00);
    assert_true(el_float_of_bf16(0x3fc0) == 1.5f);
}

/* ---- arena ---------------------------------------------------------------------------------- */

static void lay_out(el_arena *arena, void *pieces[4])
{
    pieces[0] = el_arena_take(arena, 1, 1);
    pieces[1] = el_arena_take(arena, 64, 2);
    pieces[2] = el_arena_take(arena, 0, 8);
    pieces[3] = el_arena_take(arena, 10000, sizeof(float));
}

static void test_arena(void **state)
{
    (void)state;
    void *pieces[4];
    el_arena plan = el_arena_measure(), arena;
    lay_out(&plan, pieces);
    assert_int_equal(plan.used, 64 + 128 + 0 + 40000);
    for (int i = 0; i < 4; i++)
        assert_null(pieces[i]);
    assert_int_equal(el_arena_reserve(&arena, plan.used, NULL), EDGELLM_OK);
    lay_out(&arena, pieces);
    assert_int_equal(arena.used, plan.used);
    assert_int_equal(arena.size, plan.used);
    for (int i = 0; i < 4; i++)
        assert_int_equal((uintptr_t)pieces[i] % EL_ALIGN, 0);
    assert_ptr_equal(pieces[3], (uint8_t *)pieces[1] + 128);
    const float *values = pieces[3];
    for (int i = 0; i < 10000; i++)
        assert_int_equal(el_bits_of_float(values[i]), 0);
    memset(pieces[3], 0x5a, 40000);
    el_arena_settle(&arena);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(el_bits_of_float(values[i]), 0x5a5a5a5a);
    el_arena_release(&arena);
    assert_null(arena.base);
    el_arena_release(&arena);
}

/* Zeroed, used like any other, never unmapped; nothing past its end is touched. */
static void test_arena_in_borrowed_memory(void **state)
{
    (void)state;
    static _Alignas(EL_ALIGN) uint8_t memory[3 * EL_ALIGN];
    memset(memory, 0xa5, sizeof memory);
    el_arena arena = el_arena_borrow(memory, 2 * EL_ALIGN);
    for (size_t i = 0; i < sizeof memory; i++)
        assert_int_equal(memory[i], i < 2 * EL_ALIGN ? 0 : 0xa5);
    assert_ptr_equal(el_arena_take(&arena, 1, 65), memory);
    assert_int_equal(arena.used, arena.size);
    memory[0] = 1;
    el_arena_settle(&arena);
    assert_false(arena.locked);
    el_arena_release(&arena);
    assert_null(arena.base);
    assert_int_equal(memory[0], 1);
}

static void test_arena_limits(void **state)
{
    (void)state;
    edgellm_error err;
    el_arena arena = el_arena_measure();
    el_arena_take(&arena, SIZE_MAX / 2, 3); /* more than can be counted: stays impossible */
    assert_int_equal(arena.used, SIZE_MAX);
    el_arena_take(&arena, 1, 1);
    assert_int_equal(arena.used, SIZE_MAX);
    arena = el_arena_measure();
    el_arena_take(&arena, SIZE_MAX, 1); /* overflows only in the rounding */
    assert_int_equal(arena.used, SIZE_MAX);
    assert_int_equal(el_arena_reserve(&arena, SIZE_MAX, &err), EDGELLM_ERR_MEMORY);
    assert_contains(err.message, "cannot reserve");
    assert_int_equal(el_arena_reserve(&arena, 0, &err), EDGELLM_OK);
    assert_non_null(arena.base);
    el_arena_release(&arena);
}

static int overfill_arena(void)
{
    el_arena arena;
    if (el_arena_reserve(&arena, 4096, NULL) != EDGELLM_OK) return 1;
    el_arena_take(&arena, 4096, 1);
    el_arena_take(&arena, 1, 1);
    return 0;
}

static void test_arena_aborts(void **state)
{
    (void)state;
    int status = in_child(overfill_arena);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* ---- crc32 ---------------------------------------------------------------------------------- */

static uint32_t crc_by_bits(const uint8_t *p, size_t size)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void test_crc32(void **state)
{
    (void)state;
    assert_int_equal(el_crc32(0, "123456789", 9), 0xcbf43926);
    assert_int_equal(el_crc32(0, "", 0), 0);
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int k = 0; k < 8; k++) {
            for (int bit = 0; bit < 8; bit++)
                crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
            assert_int_equal(el_crc32_table[k][b], crc);
        }
    }
    uint8_t bytes[200];
    uint64_t random = 5;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)next_random(&random);
    for (size_t begin = 0; begin < 9; begin++) {
        for (size_t end = begin; end <= sizeof bytes; end += 7) {
            size_t cut = begin + (end - begin) / 3;
            uint32_t whole = crc_by_bits(bytes + begin, end - begin);
            assert_int_equal(el_crc32(0, bytes + begin, end - begin), whole);
            uint32_t first = el_crc32(0, bytes + begin, cut - begin);
            assert_int_equal(el_crc32(first, bytes + cut, end - cut), whole);
        }
    }
}

/* ---- detmath -------------------------------------------------------------------------------- */

static void test_exp(void **state)
{
    (void)state;
    for (int i = -70000; i <= 70000; i++) {
        double x = i * 0.01 + 1e-7;
        if (fabs(x) > 700) continue;
        long double right = expl(x);
        assert_true(fabsl(el_exp(x) - right) <= 1e-15L * right);
    }
    assert_true(el_exp(0) == 1.0);
    assert_true(el_exp(1000) == el_exp(700) && el_exp(INFINITY) == el_exp(700));
    assert_true(el_exp(-1000) == el_exp(-700) && el_exp(-INFINITY) == el_exp(-700));
    assert_true(el_exp(NAN) == el_exp(-700));
}

static void test_log(void **state)
{
    (void)state;
    for (int i = 1; i <= 100000; i++) {
        double near_one = 0.5 + i * 2e-5, wide = ldexp(near_one, i % 2044 - 1022);
        for (int k = 0; k < 2; k++) {
            double x = k ? wide : near_one;
            if (x < DBL_MIN) continue;
            assert_true(fabsl(el_log(x) - logl(x)) <= 1e-15L * fabsl(logl(x)));
        }
    }
    assert_true(el_log(1) == 0);
    assert_true(el_log(0) == el_log(DBL_MIN) && el_log(-1) == el_log(DBL_MIN));
    assert_true(el_log(INFINITY) == el_log(DBL_MAX) && el_log(NAN) == el_log(DBL_MIN));
}

static void assert_sincos(double x)
{
    double s, c;
    el_sincos(x, &s, &c);
    assert_true(fabsl(s - sinl(x)) < 1e-12L);
    assert_true(fabsl(c - cosl(x)) < 1e-12L);
    assert_true(fabs(s * s + c * c - 1) < 1e-14);
}

static void test_sincos(void **state)
{
    (void)state;
    uint64_t random = 11;
    for (int i = 0; i < 100000; i++) {
        assert_sincos(ldexp((double)(int64_t)next_random(&random), -43)); /* up to 2^20 */
        assert_sincos(i * 0.001 - 50);
        assert_sincos((i * 6) * 1.5707963267948966); /* where the reduction cancels most */
        assert_sincos(131072.0 / (1 + i));           /* rotary: position / theta^k */
    }
    double s, c, s2, c2;
    el_sincos(0, &s, &c);
    assert_true(s == 0 && c == 1);
    el_sincos(1e300, &s, &c);
    el_sincos(1048576, &s2, &c2);
    assert_true(s == s2 && c == c2);
    el_sincos(NAN, &s, &c);
    el_sincos(-1048576, &s2, &c2);
    assert_true(s == s2 && c == c2);
}

static void test_expf(void **state)
{
    (void)state;
    float before = 0;
    for (int i = -870000; i <= 880000; i++) {
        float x = (float)i * 1e-4f;
        float y = el_expf(x);
        double right = exp((double)x);
        assert_true(fabs(y - right) < 2e-7 * right);
        assert_true(y >= before * (1 - 0x1p-23f)); /* rises, but for the last bit */
        before = y;
    }
    assert_true(el_expf(0) == 1.0f && el_expf(-0.0f) == 1.0f);
    assert_true(el_expf(-87.0f) > FLT_MIN);
    assert_true(el_expf(nextafterf(-87.0f, -100)) == 0 && el_expf(-INFINITY) == 0);
    assert_true(el_expf(89) == el_expf(88) && el_expf(INFINITY) == el_expf(88));
    assert_true(isfinite(el_expf(88)));
    assert_true(isnan(el_expf(NAN)));
}

/* The same bits on every machine: hashes made on x86-64. */
static void test_detmath_bits(void **state)
{
    (void)state;
    uint64_t single = EDGELLM_HASH_START, wide = EDGELLM_HASH_START;
    for (int i = 0; i < 100000; i++) {
        float y = el_expf((float)(i - 50000) * 0.00183f);
        single = hash_bytes(single, &y, sizeof y);
        double values[4] = {el_exp((i - 50000) * 0.0141), el_log((i + 1) * 0.37)};
        el_sincos((i - 50000) * 21.1, &values[2], &values[3]);
        wide = hash_bytes(wide, values, sizeof values);
    }
    assert_int_equal(single, 0x66b7b4390af760e7ULL);
    assert_int_equal(wide, 0xb6dbfb2ca87c7ff8ULL);
}

/* ---- cpu ------------------------------------------------------------------------------------ */

static void test_cpu(void **state)
{
    (void)state;
    static const char *const names[EL_CPU_LEVELS] = {
        [EL_CPU_SCALAR] = "scalar",
        [EL_CPU_SSSE3] = "ssse3",
        [EL_CPU_AVX2] = "avx2",
        [EL_CPU_AVXVNNI] = "avxvnni",
        [EL_CPU_AVX512VNNI256] = "avx512vnni256",
        [EL_CPU_AVX512BW] = "avx512bw",
        [EL_CPU_AVX512] = "avx512",
        [EL_CPU_NEON] = "neon",
        [EL_CPU_DOTPROD] = "dotprod",
        [EL_CPU_I8MM] = "i8mm",
        [EL_CPU_RVV] = "rvv",
    };
    for (int level = 0; level < EL_CPU_LEVELS; level++) {
        assert_string_equal(el_cpu_level_name((el_cpu_level)level), names[level]);
        assert_int_equal(el_cpu_level_parse(names[level]), level);
    }
    assert_string_equal(el_cpu_level_name(EL_CPU_LEVELS), "unknown");
    assert_int_equal(el_cpu_level_parse("AVX2"), -1);
    assert_int_equal(el_cpu_level_parse("avx"), -1);
    assert_int_equal(el_cpu_level_parse(""), -1);
    assert_true(el_cpu_has(EL_CPU_SCALAR));
    assert_false(el_cpu_has(EL_CPU_LEVELS));
    assert_true(el_cpu_has(EL_CPU_SSSE3) || !el_cpu_has(EL_CPU_AVX2));
    assert_true(el_cpu_has(EL_CPU_AVX2) || !el_cpu_has(EL_CPU_AVXVNNI));
    assert_true(el_cpu_has(EL_CPU_AVX2) || !el_cpu_has(EL_CPU_AVX512BW));
    assert_true(el_cpu_has(EL_CPU_AVX512BW) || !el_cpu_has(EL_CPU_AVX512));
    assert_int_equal(el_cpu_has(EL_CPU_AVX512VNNI256), el_cpu_has(EL_CPU_AVX512));
    assert_true(el_cpu_has(EL_CPU_NEON) || !el_cpu_has(EL_CPU_DOTPROD));
    assert_true(el_cpu_has(EL_CPU_DOTPROD) || !el_cpu_has(EL_CPU_I8MM));
    assert_false(el_cpu_has(EL_CPU_AVX2) && el_cpu_has(EL_CPU_NEON));
}

/* The compiler's own detection is a second opinion. */
static void test_cpu_agrees(void **state)
{
    (void)state;
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2");
    bool avx512bw = avx2 && __builtin_cpu_supports("avx512f") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                    __builtin_cpu_supports("avx512dq");
    bool avx512 = avx512bw && __builtin_cpu_supports("avx512vnni");
    assert_int_equal(el_cpu_has(EL_CPU_SSSE3),
                     __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1"));
    assert_int_equal(el_cpu_has(EL_CPU_AVX2), avx2); /* no AVX2 machine lacks F16C */
    assert_int_equal(el_cpu_has(EL_CPU_AVX512BW), avx512bw);
    assert_int_equal(el_cpu_has(EL_CPU_AVX512), avx512);
#ifndef __clang__ /* clang 14 does not know the name */
    assert_int_equal(el_cpu_has(EL_CPU_AVXVNNI), avx2 && __builtin_cpu_supports("avxvnni"));
#endif
#else
    for (int level = EL_CPU_SSSE3; level <= EL_CPU_AVX512; level++)
        assert_false(el_cpu_has((el_cpu_level)level));
#endif
#if !defined(EL_RVV)
    assert_false(el_cpu_has(EL_CPU_RVV)); /* another architecture, or left out of the build */
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_error_utf8),
        cmocka_unit_test(test_half_round_trip),
        cmocka_unit_test(test_half_rounding),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_arena_in_borrowed_memory),
        cmocka_unit_test(test_arena_limits),
        cmocka_unit_test(test_arena_aborts),
        cmocka_unit_test(test_crc32),
        cmocka_unit_test(test_exp),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_sincos),
        cmocka_unit_test(test_expf),
        cmocka_unit_test(test_detmath_bits),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_cpu_agrees),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
