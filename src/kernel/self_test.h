/*
 * self_test.h: are the kernels that were chosen right on this very processor? An emulator, an
 * erratum or a bad build may make them wrong, and a model that answers nonsense tells nobody why.
 */
#ifndef EL_KERNEL_SELF_TEST_H
#define EL_KERNEL_SELF_TEST_H

#include "kernel/kernels.h"

/*
 * Runs every kernel of the table on a small made-up input and compares with the scalar kernels, bit
 * for bit. NULL: all are equal; otherwise the name of the first that is not ("rms_norm", "s2").
 * Needs no memory but 32 KiB of stack; takes some 150 microseconds. To be called with the floating
 * point environment of base/fpenv.h.
 */
const char *el_kernels_self_test(const el_kernels *kernels);

#endif
