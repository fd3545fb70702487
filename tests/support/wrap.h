/*
 * wrap.h: replacing library calls at the linker (-Wl,--wrap=NAME). With 64-bit offsets glibc's
 * headers turn open() into open64() and so on: WRAP_64(open) is the wrapper under the name that
 * the compiled code asks for, REAL_64(open) what it stands before. Ask the linker for both names.
 */
#ifndef EL_TEST_WRAP_H
#define EL_TEST_WRAP_H

#include <features.h>

#ifdef __GLIBC__
#define WRAP_64(name) __wrap_##name##64
#define REAL_64(name) __real_##name##64
#else
#define WRAP_64(name) __wrap_##name
#define REAL_64(name) __real_##name
#endif

#endif
