/*
 * test_kernel_choice.c: levels are timed, the outcome is kept and found again; a file or folder
 * that cannot be used is no error, and what stands in a file is not believed if it cannot be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/kernel_choice.h"

#define FOLDER EL_TEST_OUT "/kernel_choice"

static el_cpu_level newest(void)
{
    int level = EL_CPU_LEVELS - 1;
    while (!el_cpu_has((el_cpu_level)level))
        level--;
    return (el_cpu_level)level;
}

/* Removes the folder; returns how many files were in it, and the name of one. */
static int clear(char *name, size_t size)
{
    int n = 0;
    DIR *folder = opendir(FOLDER);
    for (struct dirent *entry; folder && (entry = readdir(folder)) != NULL;) {
        char path[512];
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, FOLDER "/%s", entry->d_name);
        if (name) snprintf(name, size, "%s", path);
        assert_int_equal(unlink(path), 0);
        n++;
    }
    if (folder) closedir(folder);
    rmdir(FOLDER);
    return n;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void every_level_is_timed(void **state)
{
    (void)state;
    uint64_t ns[EL_CPU_LEVELS];
    assert_int_equal(el_kernels_time(EL_CPU_LEVELS - 1, ns, NULL), EDGELLM_OK);
    for (int level = 0; level < EL_CPU_LEVELS; level++)
        assert_int_equal(ns[level] > 0, el_cpu_has((el_cpu_level)level) != 0);
    assert_int_equal(el_kernels_time(EL_CPU_SCALAR, ns, NULL), EDGELLM_OK);
    for (int level = EL_CPU_SCALAR + 1; level < EL_CPU_LEVELS; level++)
        assert_int_equal(ns[level], 0);
}

static void what_was_measured_is_remembered(void **state)
{
    (void)state;
    el_kernels first, second;
    clear(NULL, 0);
    assert_int_equal(el_kernels_choose(&first, newest(), FOLDER), EL_CHOICE_MEASURED);
    assert_true(el_cpu_has(first.level));
    assert_int_equal(el_kernels_choose(&second, newest(), FOLDER), EL_CHOICE_REMEMBERED);
    assert_int_equal(second.level, first.level);
    assert_int_equal(clear(NULL, 0), 1);
}

/* What is remembered for all levels says nothing about fewer. */
static void levels_that_may_be_used_are_asked(void **state)
{
    (void)state;
    el_kernels k;
    clear(NULL, 0);
    el_kernels_choose(&k, newest(), FOLDER);
    el_kernels_choose(&k, EL_CPU_SCALAR, FOLDER);
    assert_int_equal(k.level, EL_CPU_SCALAR);
    assert_int_equal(clear(NULL, 0), newest() == EL_CPU_SCALAR ? 1 : 2);
}

static void nonsense_is_not_believed(void **state)
{
    static const char *const texts[] = {"", "avx1024\n", "scalar and more\n", "\n", "avx\0512\n"};
    char name[512];
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        el_kernels k;
        clear(NULL, 0);
        el_kernels_choose(&k, newest(), FOLDER);
        assert_int_equal(clear(name, sizeof name), 1);
        assert_int_equal(mkdir(FOLDER, 0700), 0);
        write_file(name, texts[i]);
        assert_int_equal(el_kernels_choose(&k, newest(), FOLDER), EL_CHOICE_MEASURED);
        assert_int_equal(el_kernels_choose(&k, newest(), FOLDER), EL_CHOICE_REMEMBERED);
    }
    write_file(name, "scalar\n"); /* believed: it can be */
    el_kernels k;
    assert_int_equal(el_kernels_choose(&k, newest(), FOLDER), EL_CHOICE_REMEMBERED);
    assert_int_equal(k.level, EL_CPU_SCALAR);
    clear(NULL, 0);
}

static void where_nothing_can_be_kept(void **state)
{
    (void)state;
    el_kernels k;
    clear(NULL, 0);
    write_file(FOLDER, "a file in the way");
    for (int i = 0; i < 2; i++)
        assert_int_equal(el_kernels_choose(&k, newest(), FOLDER), EL_CHOICE_MEASURED);
    assert_true(el_cpu_has(k.level));
    assert_int_equal(unlink(FOLDER), 0);
    assert_int_equal(el_kernels_choose(&k, newest(), "/proc/none"), EL_CHOICE_MEASURED);
    assert_int_equal(el_kernels_choose(&k, newest(), FOLDER "/below/what/is/missing"),
                     EL_CHOICE_MEASURED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_level_is_timed),
        cmocka_unit_test(what_was_measured_is_remembered),
        cmocka_unit_test(levels_that_may_be_used_are_asked),
        cmocka_unit_test(nonsense_is_not_believed),
        cmocka_unit_test(where_nothing_can_be_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
