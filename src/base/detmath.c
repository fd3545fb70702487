/*
 * detmath.c: argument reduction by constants split into short parts (so that the product with an
 * integer is exact), then a polynomial. Operations and their order are the contract: a change
 * here changes the bits of every table and every answer.
 */
#include "base/detmath.h"

#include <float.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/half.h"

#if FLT_EVAL_METHOD != 0 || defined(__FAST_MATH__)
#error "the numeric contract needs float arithmetic rounded at every step"
#endif

#define LN2_HI 0x1.62e42fefa2000p-1 /* 40 bits */
#define LN2_LO 0x1.9ef35793c7673p-41
#define LOG2E  0x1.71547652b82fep+0

#define TWO_OVER_PI 0x1.45f306dc9c883p-1
#define PI_2_HI     0x1.921fb54400000p+0 /* 33 bits each of pi / 2 */
#define PI_2_MID    0x1.0b4611a600000p-34
#define PI_2_LO     0x1.3198a2e037073p-69

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static double double_of_bits(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static uint64_t bits_of_double(double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    return bits;
}

/* x within [low, high]; NaN gives low. */
static double clamp(double x, double low, double high)
{
    if (!(x > low)) return low;
    return x < high ? x : high;
}

/* The integer nearest to x (upwards at .5); |x| < 2^31. */
static int32_t nearest(double x)
{
    x = x + 0.5;
    int32_t n = (int32_t)x;
    return n - (n > x);
}

/* c[0] + x * (c[1] + x * (...)) */
static double horner(double x, const double *c, size_t n)
{
    double p = c[n - 1];
    for (size_t i = n - 1; i-- > 0;)
        p = p * x + c[i];
    return p;
}

double el_exp(double x)
{
    /* 1 / k!; the first term left out is below 4e-18 */
    static const double c[] = {
        1.0,
        1.0,
        1.0 / 2,
        1.0 / 6,
        1.0 / 24,
        1.0 / 120,
        1.0 / 720,
        1.0 / 5040,
        1.0 / 40320,
        1.0 / 362880,
        1.0 / 3628800,
        1.0 / 39916800,
        1.0 / 479001600,
        1.0 / 6227020800,
    };
    x = clamp(x, -700.0, 700.0);
    int32_t n = nearest(x * LOG2E);
    double r = x - n * LN2_HI;
    r = r - n * LN2_LO;
    return horner(r, c, LENGTH(c)) * double_of_bits((uint64_t)(n + 1023) << 52);
}

double el_log(double x)
{
    /* x = 2^n * m, sqrt(1/2) <= m < sqrt(2); log m = 2 atanh(s), s = (m - 1) / (m + 1) */
    static const double c[] = {
        2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9,  2.0 / 11, 2.0 / 13,
        2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21, 2.0 / 23,
    };
    x = clamp(x, DBL_MIN, DBL_MAX);
    uint64_t bits = bits_of_double(x);
    int32_t n = (int32_t)(bits >> 52) - 1023;
    double m = double_of_bits((bits & 0xfffffffffffff) | 0x3ff0000000000000);
    if (m >= 0x1.6a09e667f3bcdp+0) {
        m = m * 0.5;
        n++;
    }
    double s = (m - 1.0) / (m + 1.0);
    double z = s * s;
    double tail = s * (z * horner(z, c, LENGTH(c)));
    return n * LN2_HI + ((n * LN2_LO + tail) + 2.0 * s);
}

void el_sincos(double x, double *sine, double *cosine)
{
    /* -1 / 3!, 1 / 5!, ... and -1 / 2!, 1 / 4!, ...; what is left out is below 1e-16 */
    static const double cs[] = {
        -1.0 / 6,        1.0 / 120,        -1.0 / 5040,          1.0 / 362880,
        -1.0 / 39916800, 1.0 / 6227020800, -1.0 / 1307674368000,
    };
    static const double cc[] = {
        -1.0 / 2,       1.0 / 24,        -1.0 / 720,         1.0 / 40320,
        -1.0 / 3628800, 1.0 / 479001600, -1.0 / 87178291200, 1.0 / 20922789888000,
    };
    x = clamp(x, -1048576.0, 1048576.0);
    int32_t n = nearest(x * TWO_OVER_PI);
    double r = x - n * PI_2_HI;
    r = r - n * PI_2_MID;
    r = r - n * PI_2_LO;
    double z = r * r;
    double s = r + r * (z * horner(z, cs, LENGTH(cs)));
    double c = 1.0 + z * horner(z, cc, LENGTH(cc));
    uint32_t quadrant = (uint32_t)n & 3;
    double a = quadrant & 1 ? c : s;
    double b = quadrant & 1 ? s : c;
    *sine = quadrant & 2 ? -a : a;
    *cosine = (quadrant + 1) & 2 ? -b : b;
}

float el_expf(float x)
{
    if (x < EL_EXPF_MIN) return 0.0f;
    if (x > EL_EXPF_MAX) x = EL_EXPF_MAX;
    float t = x * EL_EXPF_LOG2E + EL_EXPF_MAGIC;
    float n = t - EL_EXPF_MAGIC;
    float r = x - n * EL_EXPF_LN2_HI;
    r = r - n * EL_EXPF_LN2_LO;
    float p = EL_EXPF_C6;
    p = p * r + EL_EXPF_C5;
    p = p * r + EL_EXPF_C4;
    p = p * r + EL_EXPF_C3;
    p = p * r + EL_EXPF_C2;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return p * el_float_of_bits((el_bits_of_float(t) - EL_EXPF_MAGIC_BITS + 127) << 23);
}
