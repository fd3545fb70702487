#include "cli/quantize_blas.h"

#include <cblas.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/cli_external.h"

/* What kernels need, from the oldest to the newest. */
typedef enum blas_level { BELOW_AVX2, WITH_AVX2, WITH_AVX512 } blas_level;

static const char *const core_of_level[] = {
    [BELOW_AVX2] = NULL, [WITH_AVX2] = "HASWELL", [WITH_AVX512] = "SKYLAKEX"};

/* OpenBLAS's names; one that is not here is newer than this list, and its choice is left alone. */
static const struct core_row {
    const char *name;
    blas_level level;
} cores[] = {
    {"Katmai", BELOW_AVX2},       {"Coppermine", BELOW_AVX2},  {"Northwood", BELOW_AVX2},
    {"Prescott", BELOW_AVX2},     {"Banias", BELOW_AVX2},      {"Core2", BELOW_AVX2},
    {"Penryn", BELOW_AVX2},       {"Dunnington", BELOW_AVX2},  {"Atom", BELOW_AVX2},
    {"Nano", BELOW_AVX2},         {"Athlon", BELOW_AVX2},      {"Opteron", BELOW_AVX2},
    {"Opteron_SSE3", BELOW_AVX2}, {"Barcelona", BELOW_AVX2},   {"Bobcat", BELOW_AVX2},
    {"Nehalem", BELOW_AVX2},      {"Sandybridge", BELOW_AVX2}, {"Haswell", WITH_AVX2},
    {"Excavator", WITH_AVX2},     {"Zen", WITH_AVX2},
};

static blas_level chosen_level(const char *core)
{
    for (size_t i = 0; i < sizeof cores / sizeof cores[0]; i++) {
        if (strcasecmp(cores[i].name, core) == 0) return cores[i].level;
    }
    return WITH_AVX512;
}

static blas_level possible_level(void)
{
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return BELOW_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return WITH_AVX512;
    return WITH_AVX2;
#else
    return BELOW_AVX2; /* elsewhere the choice is left alone */
#endif
}

static edgellm_status start_again(const char *core, char **argv, edgellm_error *err)
{
    el_cli_path self;
    EL_CLI_TRY(el_cli_self(self, err));
    /* Threads too are made when it is loaded, before they can be declined. */
    if (setenv("OPENBLAS_CORETYPE", core, 1) != 0 || setenv("OPENBLAS_NUM_THREADS", "1", 1) != 0) {
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for OpenBLAS's variables");
    }
    execv(self, argv);
    return el_cli_fail(
        err, EDGELLM_ERR_IO,
        "cannot start '%.200s' again with OpenBLAS's kernels for this processor: %s; "
        "set OPENBLAS_CORETYPE=%s beforehand",
        self, strerror(errno), core);
}

edgellm_status el_cli_blas_prepare(char **argv, edgellm_error *err)
{
    const blas_level level = possible_level();
    /* Set also when this is the second start: there is no third. */
    const bool is_set = getenv("OPENBLAS_CORETYPE") != NULL;
    if (!is_set && chosen_level(openblas_get_corename()) < level) {
        return start_again(core_of_level[level], argv, err);
    }
    openblas_set_num_threads(1);
    return EDGELLM_OK;
}
