/*
 * clones.h: loops that the compiler vectorises, built for several instruction sets in one program.
 * Results of one machine are the same on every run; another kind of CPU may round sums otherwise.
 */
#ifndef EL_TRAIN_CLONES_H
#define EL_TRAIN_CLONES_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(EL_NO_CLONES)
#define EL_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define EL_CLONES
#endif

#endif
