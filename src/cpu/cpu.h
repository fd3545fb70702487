/*
 * cpu.h: which instruction sets may be used. A level names everything a family of kernels needs;
 * levels of one architecture are ordered from the slowest to the fastest.
 */
#ifndef EL_CPU_CPU_H
#define EL_CPU_CPU_H

typedef enum el_cpu_level {
    EL_CPU_SCALAR = 0,    /* portable C */
    EL_CPU_SSSE3,         /* x86-64: SSSE3 and SSE4.1 */
    EL_CPU_AVX2,          /* x86-64: AVX2 and F16C */
    EL_CPU_AVXVNNI,       /* x86-64: AVX2, F16C and AVX-VNNI */
    EL_CPU_AVX512VNNI256, /* x86-64: AVX-512 F, BW, VL, DQ and VNNI, in registers of 256 bits */
    EL_CPU_AVX512BW,      /* x86-64: AVX-512 F, BW, VL and DQ */
    EL_CPU_AVX512,        /* x86-64: AVX-512 F, BW, VL, DQ and VNNI */
    EL_CPU_NEON,          /* ARM: NEON, of 64 bits or 32 */
    EL_CPU_DOTPROD,       /* 64-bit ARM: dot products (ARMv8.2) */
    EL_CPU_I8MM,          /* 64-bit ARM: dot products and int8 matrix products */
    EL_CPU_RVV,           /* RISC-V: V 1.0, registers of 128 bits or more */
    EL_CPU_LEVELS
} el_cpu_level;

/* "scalar", "ssse3", "avx2" ... */
const char *el_cpu_level_name(el_cpu_level level);

/* Parses a name; returns -1 if there is none such. */
int el_cpu_level_parse(const char *name);

/* Can this CPU, and its operating system, run the level? Asks cpuid and xgetbv, or the system's
 * auxiliary vector, each time. No, for a level that the build left out (EL_CPU_RVV,
 * cmake/rvv.cmake). */
int el_cpu_has(el_cpu_level level);

#endif
