/*
 * detmath.h: functions of the numeric contract, built from IEEE +, -, *, / alone, so that every
 * machine gives the same bits. Double versions serve tables made once; the float exponential is
 * repeated in vector form by the kernels (kernel/ops.inc) and must stay equal to it.
 */
#ifndef EL_BASE_DETMATH_H
#define EL_BASE_DETMATH_H

/* Relative error below 1e-15 where noted; arguments outside the range are clamped into it. */
double el_exp(double x);                                /* -700 .. 700 */
double el_log(double x);                                /* x > 0, finite, normal */
void el_sincos(double x, double *sine, double *cosine); /* |x| <= 2^20; absolute error < 1e-12 */

/* exp(x) for x <= 88; 0 below -87; relative error below 2e-7. */
float el_expf(float x);

/*
 * The float exponential, operation by operation, for the vector versions; float32 throughout,
 * each product and sum rounded on its own. NaN gives NaN.
 *     if (x < MIN) return 0;  if (x > MAX) x = MAX;
 *     t = x * LOG2E + MAGIC;              the integer n sits in the low bits of t
 *     n = t - MAGIC;
 *     r = (x - n * LN2_HI) - n * LN2_LO;
 *     p = C6;  p = p * r + C5;  ... C4, C3, C2, 1, 1;
 *     return p * float_of_bits((bits(t) - MAGIC_BITS + 127) << 23);
 */
#define EL_EXPF_MIN        (-87.0f)
#define EL_EXPF_MAX        88.0f
#define EL_EXPF_LOG2E      0x1.715476p+0f
#define EL_EXPF_MAGIC      12582912.0f /* 1.5 * 2^23: sums near it are rounded to integers */
#define EL_EXPF_MAGIC_BITS 0x4b400000u
#define EL_EXPF_LN2_HI     0x1.63p-1f /* short, so that n * LN2_HI is exact */
#define EL_EXPF_LN2_LO     (-0x1.bd0106p-13f)
#define EL_EXPF_C2         0x1.fffffcp-2f
#define EL_EXPF_C3         0x1.555492p-3f
#define EL_EXPF_C4         0x1.5558f2p-5f
#define EL_EXPF_C5         0x1.1239f4p-7f
#define EL_EXPF_C6         0x1.6a2416p-10f

#endif
