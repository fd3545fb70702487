/* test_blas.c: which kernels edgellm-quantize has OpenBLAS take, and that it starts itself once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/quantize_blas.h"

/* ---- OpenBLAS and the system, as the test would have them -------------------------------- */

static char core_name[32];
static int threads, starts, setenv_fails;
static char *words[] = {"edgellm-quantize", "x.gguf", NULL};

char *openblas_get_corename(void);
char *openblas_get_corename(void)
{
    return core_name;
}

void openblas_set_num_threads(int n);
void openblas_set_num_threads(int n)
{
    threads = n;
}

int __real_setenv(const char *name, const char *value, int overwrite);
int __wrap_setenv(const char *name, const char *value, int overwrite);
int __wrap_setenv(const char *name, const char *value, int overwrite)
{
    return setenv_fails ? -1 : __real_setenv(name, value, overwrite);
}

/* Starts the program again: from its beginning, with what OpenBLAS then makes of the variable. */
int __wrap_execv(const char *path, char *const *arguments);
int __wrap_execv(const char *path, char *const *arguments)
{
    assert_ptr_equal(arguments, words);
    assert_non_null(strstr(path, "test_blas"));
    starts++;
    return -1;
}

static int begin(void **state)
{
    (void)state;
    unsetenv("OPENBLAS_CORETYPE");
    unsetenv("OPENBLAS_NUM_THREADS");
    threads = starts = setenv_fails = 0;
    return 0;
}

static edgellm_status prepare(const char *core, edgellm_error *err)
{
    snprintf(core_name, sizeof core_name, "%s", core);
    return el_cli_blas_prepare(words, err);
}

/* ---- what this processor has, by the system's own list ----------------------------------- */

static int has(const char *flags, const char *flag)
{
    char word[32];
    snprintf(word, sizeof word, " %s ", flag);
    return strstr(flags, word) != NULL;
}

/* The core that OpenBLAS should take at least; NULL: whatever it chose. */
static const char *wanted_core(void)
{
    static char line[16384];
    FILE *file = fopen("/proc/cpuinfo", "r");
    assert_non_null(file);
    const char *flags = NULL;
    while (!flags && fgets(line, sizeof line, file)) {
        if (strncmp(line, "flags", 5) == 0) flags = line;
    }
    fclose(file);
    if (!flags) return NULL; /* no x86 */
    line[strcspn(line, "\n")] = ' ';
    if (!has(flags, "avx2") || !has(flags, "fma")) return NULL;
    return has(flags, "avx512f") && has(flags, "avx512bw") && has(flags, "avx512dq") &&
                   has(flags, "avx512vl")
               ? "SKYLAKEX"
               : "HASWELL";
}

/* ---- tests ------------------------------------------------------------------------------- */

static void expect_start(const char *core, const char *wanted)
{
    edgellm_error err = {0};
    begin(NULL);
    edgellm_status status = prepare(core, &err);
    if (!wanted) {
        assert_int_equal(status, EDGELLM_OK);
        assert_int_equal(starts, 0);
        assert_int_equal(threads, 1);
        assert_null(getenv("OPENBLAS_CORETYPE"));
        return;
    }
    assert_int_equal(status, EDGELLM_ERR_IO); /* this execv() came back */
    assert_int_equal(starts, 1);
    assert_string_equal(getenv("OPENBLAS_CORETYPE"), wanted);
    assert_string_equal(getenv("OPENBLAS_NUM_THREADS"), "1");
}

static void older_kernels_start_again(void **state)
{
    static const char *const old[] = {"Prescott", "prescott", "Sandybridge", "Nehalem", "Bobcat"};
    (void)state;
    for (size_t i = 0; i < sizeof old / sizeof *old; i++)
        expect_start(old[i], wanted_core());
}

static void as_new_or_unknown_kernels_stay(void **state)
{
    static const char *const fresh[] = {"SkylakeX", "Cooperlake", "SapphireRapids", "armv8",
                                        "Next"};
    const char *wanted = wanted_core();
    (void)state;
    for (size_t i = 0; i < sizeof fresh / sizeof *fresh; i++)
        expect_start(fresh[i], NULL);
    const char *above = wanted && strcmp(wanted, "SKYLAKEX") == 0 ? wanted : NULL;
    expect_start("Haswell", above);
    expect_start("Zen", above);
}

static void a_value_that_is_set_stays(void **state)
{
    edgellm_error err = {0};
    (void)state;
    assert_int_equal(__real_setenv("OPENBLAS_CORETYPE", "PRESCOTT", 1), 0);
    assert_int_equal(prepare("Prescott", &err), EDGELLM_OK);
    assert_int_equal(starts, 0);
    assert_int_equal(threads, 1);
    assert_string_equal(getenv("OPENBLAS_CORETYPE"), "PRESCOTT");
}

/* Where OpenBLAS has only one kind of kernels, the variable does nothing. */
static void there_is_no_third_start(void **state)
{
    edgellm_error err = {0};
    (void)state;
    (void)prepare("Prescott", &err);
    int first = starts;
    assert_int_equal(first, wanted_core() != NULL);
    if (!first) return;
    assert_int_equal(prepare("Prescott", &err), EDGELLM_OK);
    assert_int_equal(starts, first);
}

static void failures_say_what_to_do(void **state)
{
    edgellm_error err = {0};
    (void)state;
    if (!wanted_core()) return; /* nothing is started there, see above */
    assert_int_equal(prepare("Prescott", &err), EDGELLM_ERR_IO);
    assert_non_null(strstr(err.message, "set OPENBLAS_CORETYPE="));
    begin(NULL);
    setenv_fails = 1;
    assert_int_equal(prepare("Prescott", &err), EDGELLM_ERR_MEMORY);
    assert_int_equal(starts, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(older_kernels_start_again, begin),
        cmocka_unit_test_setup(as_new_or_unknown_kernels_stay, begin),
        cmocka_unit_test_setup(a_value_that_is_set_stays, begin),
        cmocka_unit_test_setup(there_is_no_third_start, begin),
        cmocka_unit_test_setup(failures_say_what_to_do, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
