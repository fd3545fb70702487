/*
 * fpenv.c: one pair of read and write per architecture. The control word and the sticky flags are
 * saved together, so leaving also hides the flags that our arithmetic raised.
 */
#include "base/fpenv.h"

#if defined(__x86_64__) || (defined(__i386__) && defined(__SSE2_MATH__))

#define CONTRACT 0x1f80 /* MXCSR: exceptions masked, nearest even, no FTZ, no DAZ */

static uint64_t read_state(void)
{
    uint32_t mxcsr;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    return mxcsr;
}

static void write_state(uint64_t state)
{
    uint32_t mxcsr = (uint32_t)state;
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory");
}

#elif defined(__aarch64__)

#define CONTRACT 0 /* FPCR and FPSR: nearest even, no FZ, no traps, no flags */

static uint64_t read_state(void)
{
    uint64_t control, flags;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("mrs %0, fpsr" : "=r"(flags));
    return control << 32 | (flags & 0xffffffff);
}

static void write_state(uint64_t state)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(state >> 32) : "memory");
    __asm__ volatile("msr fpsr, %0" : : "r"(state & 0xffffffff) : "memory");
}

#elif defined(__arm__) && defined(__ARM_FP)

#define CONTRACT 0 /* FPSCR: nearest even, no FZ, no flags */

static uint64_t read_state(void)
{
    uint32_t fpscr;
    __asm__ volatile("vmrs %0, fpscr" : "=r"(fpscr));
    return fpscr;
}

static void write_state(uint64_t state)
{
    __asm__ volatile("vmsr fpscr, %0" : : "r"((uint32_t)state) : "memory");
}

#elif defined(__riscv_flen)

#define CONTRACT 0 /* fcsr: nearest even, no flags; subnormals are always kept */

static uint64_t read_state(void)
{
    unsigned long fcsr;
    __asm__ volatile("frcsr %0" : "=r"(fcsr));
    return fcsr;
}

static void write_state(uint64_t state)
{
    __asm__ volatile("fscsr %0" : : "r"((unsigned long)state) : "memory");
}

#else
#error "fpenv.c: teach it this machine's floating-point control register first"
#endif

el_fpenv el_fpenv_enter(void)
{
    el_fpenv env = {read_state()};
    write_state(CONTRACT);
    return env;
}

void el_fpenv_leave(el_fpenv env)
{
    write_state(env.saved);
}
