/* cpu.c: a level counts only if the CPU has every instruction of it and the operating system
 * saves the registers they use. */
#include "cpu/cpu.h"

#include <stdint.h>
#include <string.h>

static const char *const level_names[EL_CPU_LEVELS] = {
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

const char *el_cpu_level_name(el_cpu_level level)
{
    return (unsigned)level < EL_CPU_LEVELS ? level_names[level] : "unknown";
}

int el_cpu_level_parse(const char *name)
{
    for (int level = 0; level < EL_CPU_LEVELS; level++) {
        if (strcmp(name, level_names[level]) == 0) return level;
    }
    return -1;
}

#if defined(__x86_64__) || defined(__i386__)

#include <cpuid.h>

/* Bits that a level needs: leaf 1 ECX, leaf 7 EBX and ECX, its subleaf 1 EAX, and XCR0 (what the
 * system saves). */
typedef struct features {
    uint32_t leaf1_ecx, leaf7_ebx, leaf7_ecx, leaf7_1_eax, xcr0;
} features;

#define SSSE3      (1u << 9)
#define SSE41      (1u << 19)
#define OSXSAVE    (1u << 27)
#define AVX        (1u << 28)
#define F16C       (1u << 29)
#define AVX2       (1u << 5)
#define AVX512F    (1u << 16)
#define AVX512DQ   (1u << 17)
#define AVX512BW   (1u << 30)
#define AVX512VL   (1u << 31)
#define AVX512VNNI (1u << 11)
#define AVXVNNI    (1u << 4)
#define STATE_YMM  0x06u /* SSE and AVX registers */
#define STATE_ZMM  0xe0u /* mask registers, upper halves, registers 16 to 31 */

#define WITH_AVX    (OSXSAVE | AVX | F16C)
#define WITH_AVX512 (AVX2 | AVX512F | AVX512DQ | AVX512BW | AVX512VL)

static const features needed[EL_CPU_LEVELS] = {
    [EL_CPU_SCALAR] = {0, 0, 0, 0, 0},
    [EL_CPU_SSSE3] = {SSSE3 | SSE41, 0, 0, 0, 0},
    [EL_CPU_AVX2] = {WITH_AVX, AVX2, 0, 0, STATE_YMM},
    [EL_CPU_AVXVNNI] = {WITH_AVX, AVX2, 0, AVXVNNI, STATE_YMM},
    [EL_CPU_AVX512VNNI256] = {WITH_AVX, WITH_AVX512, AVX512VNNI, 0, STATE_YMM | STATE_ZMM},
    [EL_CPU_AVX512BW] = {WITH_AVX, WITH_AVX512, 0, 0, STATE_YMM | STATE_ZMM},
    [EL_CPU_AVX512] = {WITH_AVX, WITH_AVX512, AVX512VNNI, 0, STATE_YMM | STATE_ZMM},
};

static uint32_t read_xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static features ask(void)
{
    features has = {0, 0, 0, 0, 0};
    uint32_t eax, ebx, ecx, edx;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) has.leaf1_ecx = ecx;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        has.leaf7_ebx = ebx;
        has.leaf7_ecx = ecx;
        if (eax >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) has.leaf7_1_eax = eax;
    }
    if (has.leaf1_ecx & OSXSAVE) has.xcr0 = read_xcr0();
    return has;
}

int el_cpu_has(el_cpu_level level)
{
    if ((unsigned)level >= EL_CPU_LEVELS) return 0;
    features has = ask();
    const features *need = &needed[level];
    if (level != EL_CPU_SCALAR && need->leaf1_ecx == 0) return 0; /* another architecture's */
    return (has.leaf1_ecx & need->leaf1_ecx) == need->leaf1_ecx &&
           (has.leaf7_ebx & need->leaf7_ebx) == need->leaf7_ebx &&
           (has.leaf7_ecx & need->leaf7_ecx) == need->leaf7_ecx &&
           (has.leaf7_1_eax & need->leaf7_1_eax) == need->leaf7_1_eax &&
           (has.xcr0 & need->xcr0) == need->xcr0;
}

#elif defined(__aarch64__) || defined(__arm__)

#include <sys/auxv.h>

/* Bits of AT_HWCAP and AT_HWCAP2 that a level needs. */
typedef struct features {
    unsigned long hwcap, hwcap2;
} features;

static const features needed[EL_CPU_LEVELS] = {
#ifdef __aarch64__
#define ASIMD   (1ul << 1)
#define ASIMDDP (1ul << 20)
#define I8MM    (1ul << 13)
    [EL_CPU_NEON] = {ASIMD, 0},
    [EL_CPU_DOTPROD] = {ASIMD | ASIMDDP, 0},
    [EL_CPU_I8MM] = {ASIMD | ASIMDDP, I8MM},
#else
#define NEON (1ul << 12)
    [EL_CPU_NEON] = {NEON, 0},
#endif
};

int el_cpu_has(el_cpu_level level)
{
    if (level == EL_CPU_SCALAR) return 1;
    if ((unsigned)level >= EL_CPU_LEVELS) return 0;
    const features *need = &needed[level];
    if (need->hwcap == 0) return 0; /* another architecture's */
    return (getauxval(AT_HWCAP) & need->hwcap) == need->hwcap &&
           (getauxval(AT_HWCAP2) & need->hwcap2) == need->hwcap2;
}

#elif defined(__riscv) && defined(EL_RVV)

#include <sys/auxv.h>

#define HWCAP_V (1ul << ('v' - 'a'))

/*
 * Is it V 1.0, not the draft 0.7 that some kernels list by the same letter? Asks for a vector type
 * whose tail and masked-off elements are agnostic: the draft has not these bits, and says by the
 * sign of vtype that it does not know the type. Encoded here, for assemblers without V.
 */
static int is_version_1(void)
{
    long vtype;
    __asm__ volatile(".insn i 0x57, 7, %0, x0, 0x0c0\n\t" /* vsetvli %0, zero, e8, m1, ta, ma */
                     "csrr %0, 0xc21"                     /* vtype */
                     : "=r"(vtype));
    return vtype >= 0;
}

int el_cpu_has(el_cpu_level level)
{
    if (level == EL_CPU_SCALAR) return 1;
    return level == EL_CPU_RVV && (getauxval(AT_HWCAP) & HWCAP_V) != 0 && is_version_1();
}

#else

int el_cpu_has(el_cpu_level level)
{
    return level == EL_CPU_SCALAR;
}

#endif
