/*
 * cmocka.h: what the tests of the kernels use of cmocka, for cross-compiled tests alone: the
 * target's cmocka is rarely installed. A failed assertion ends the program with status 1.
 */
#ifndef EL_TESTS_SUPPORT_CROSS_CMOCKA_H
#define EL_TESTS_SUPPORT_CROSS_CMOCKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define fail_msg(...)                                                                              \
    do {                                                                                           \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                            \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fputc('\n', stderr);                                                                       \
        exit(1);                                                                                   \
    } while (0)

#define assert_true(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) fail_msg("failed: %s", #condition);                                      \
    } while (0)

#define assert_null(pointer)            assert_true(!(pointer))
#define assert_non_null(pointer)        assert_true((pointer) != NULL)
#define assert_int_equal(a, b)          assert_true((long long)(a) == (long long)(b))
#define assert_string_equal(a, b)       assert_true(strcmp(a, b) == 0)
#define assert_memory_equal(a, b, size) assert_true(memcmp(a, b, size) == 0)

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};

#define cmocka_unit_test(function)                                                                 \
    {                                                                                              \
#function, function                                                                        \
    }

#define cmocka_run_group_tests_name(group, tests, setup, teardown)                                 \
    run_tests(group, tests, sizeof(tests) / sizeof((tests)[0]))

static inline int run_tests(const char *group, const struct CMUnitTest *tests, size_t count)
{
    void *state = NULL;
    for (size_t i = 0; i < count; i++)
        tests[i].run(&state);
    printf("%s: %zu tests passed\n", group, count);
    return 0;
}

#endif
