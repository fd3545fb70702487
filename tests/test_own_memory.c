/*
 * test_own_memory.c: a session in memory that the caller gives: the same bits, not a byte outside
 * of it, nothing allocated, nothing freed, and bad memory refused with the numbers.
 */
#include "support/test_help.h"

#include "base/threads.h"
#include "engine/session.h"
#include "support/tiny_file.h"
#include "support/token_path.h"

enum { PROMPT = 40, STEPS = 12, PAGE = 65536, FILL = 0xa5, ROOM = 4 << 20 };

/* A whole page is in front of the memory, so that unmapping would work, and be noticed. */
static _Alignas(PAGE) uint8_t room[PAGE + ROOM + PAGE];
static uint8_t *const memory = room + PAGE;

static size_t needed(const edgellm_session_options *o)
{
    edgellm_memory_plan plan;
    edgellm_error err = {0};
    if (edgellm_plan(tiny_file_path(TINY_KEPT), o, &plan, &err) != EDGELLM_OK)
        fail_msg("%s", err.message);
    assert_true(plan.session_bytes == plan.kv_cache + plan.scratch);
    assert_true(plan.session_bytes > 0 && plan.session_bytes <= ROOM);
    return (size_t)plan.session_bytes;
}

/* A life of a session, and the hash over its logits. */
static uint64_t live(const edgellm_engine *engine, const edgellm_session_options *o)
{
    edgellm_session *session = NULL;
    edgellm_model_info info;
    edgellm_error err = {0};
    uint32_t prompt[PROMPT];
    uint64_t hash = EDGELLM_HASH_START;
    edgellm_engine_info(engine, &info);
    for (uint32_t i = 0; i < PROMPT; i++)
        prompt[i] = 3 + i * 7 % (info.vocab - 3);
    if (edgellm_session_open(engine, o, &session, &err) != EDGELLM_OK) fail_msg("%s", err.message);
    assert_int_equal(edgellm_session_eval(session, prompt, PROMPT, NULL, NULL), EDGELLM_OK);
    assert_int_equal(edgellm_session_truncate(session, PROMPT - 5, NULL), EDGELLM_OK);
    for (int i = 0; i < STEPS; i++) {
        uint32_t token = edgellm_session_sample(session);
        assert_int_equal(edgellm_session_eval(session, &token, 1, NULL, NULL), EDGELLM_OK);
        hash = edgellm_hash_logits(hash, edgellm_session_logits(session), info.vocab);
    }
    edgellm_session_close(session);
    return hash;
}

static bool is_filled(const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (from[i] != FILL) return false;
    return true;
}

static void check_equal_life(const edgellm_engine *engine, edgellm_session_options o, size_t at)
{
    const uint64_t expected = live(engine, &o);
    const size_t bytes = needed(&o);
    memset(room, FILL, sizeof room);
    o.memory = memory + at;
    o.memory_bytes = bytes;
    for (int lives = 0; lives < 2; lives++) { /* the second finds what the first has left */
        int before = token_path_allocations();
        uint64_t hash = live(engine, &o);
        assert_int_equal(token_path_allocations() - before, 0);
        assert_true(hash == expected);
        assert_true(is_filled(room, PAGE + at));
        assert_true(is_filled(memory + at + bytes, sizeof room - PAGE - at - bytes));
        assert_false(is_filled(memory + at, bytes));
    }
}

static void test_the_same_bits_and_no_other_memory(void **state)
{
    edgellm_engine *engine = tiny_file_open(TINY_KEPT);
    const uint32_t most = el_cores_allowed() >= 2 ? 2 : 1;
    (void)state;
    for (uint32_t threads = 1; threads <= most; threads++) {
        const edgellm_session_options usual = {.context = 64, .threads = threads};
        const edgellm_session_options exact = {
            .context = 101, .batch = 7, .threads = threads, .exact = true};
        check_equal_life(engine, usual, 0);
        check_equal_life(engine, exact, EDGELLM_MEMORY_ALIGN);
    }
    edgellm_engine_close(engine);
}

/* What does not count here would not count in the test above: without own memory it is not 0. */
static void test_allocations_are_counted(void **state)
{
    edgellm_engine *engine = tiny_file_open(TINY_KEPT);
    const edgellm_session_options o = {.context = 64, .threads = 1};
    (void)state;
    int before = token_path_allocations();
    live(engine, &o);
    assert_true(token_path_allocations() - before > 0);
    edgellm_engine_close(engine);
}

static void check_refused(const edgellm_engine *engine, const edgellm_session_options *o,
                          edgellm_status status, const char *part)
{
    edgellm_session *session = NULL;
    edgellm_error err = {0};
    memset(room, FILL, sizeof room);
    assert_int_equal(edgellm_session_open(engine, o, &session, &err), status);
    assert_contains(err.message, part);
    assert_null(session);
    assert_true(is_filled(room, sizeof room));
}

static void test_bad_memory_is_refused_with_the_numbers(void **state)
{
    edgellm_engine *engine = tiny_file_open(TINY_KEPT);
    edgellm_session_options o = {.context = 64, .threads = 1};
    char numbers[80];
    (void)state;
    const size_t bytes = needed(&o);
    o.memory = memory;
    o.memory_bytes = bytes - 1;
    snprintf(numbers, sizeof numbers, "has %zu bytes, but %zu are needed", bytes - 1, bytes);
    check_refused(engine, &o, EDGELLM_ERR_MEMORY, numbers);
    o.memory_bytes = 0;
    check_refused(engine, &o, EDGELLM_ERR_MEMORY, "has 0 bytes");
    o.memory_bytes = ROOM;
    o.memory = memory + 8;
    check_refused(engine, &o, EDGELLM_ERR_USAGE, "8 bytes past a multiple of 64");
    o.memory = NULL;
    check_refused(engine, &o, EDGELLM_ERR_USAGE, "memory is NULL");
    o.memory_bytes = 0; /* and this is no own memory at all */
    live(engine, &o);
    edgellm_engine_close(engine);
}

/* What a control group allows less than that, and than the system needs beside it, is refused
 * before anything is reserved. */
static void test_a_group_that_allows_less(void **state)
{
    (void)state;
    enum { SYSTEM = (4 << 20) + 40960000 / 256, KEPT = 7000000 + SYSTEM, ALL = 50960000 + SYSTEM };
    const edgellm_memory_plan plan = {.weights = 40960000, .program = 3000000, .total = 50960000};
    edgellm_error err = {0};
    char numbers[16];
    assert_int_equal(el_session_check_limit(&plan, false, 0, 0, &err), EDGELLM_OK);
    assert_int_equal(el_session_check_limit(&plan, false, KEPT, 0, &err), EDGELLM_OK);
    assert_int_equal(el_session_check_limit(&plan, true, ALL, 0, &err), EDGELLM_OK);
    assert_int_equal(el_session_check_limit(&plan, false, KEPT - 1, 77, &err), EDGELLM_ERR_MEMORY);
    snprintf(numbers, sizeof numbers, "%d", KEPT);
    assert_non_null(strstr(err.message, numbers));
    assert_non_null(strstr(err.message, "a context of 77 tokens would fit"));
    assert_int_equal(el_session_check_limit(&plan, true, ALL - 1, 0, &err), EDGELLM_ERR_MEMORY);
    snprintf(numbers, sizeof numbers, "%d", ALL);
    assert_non_null(strstr(err.message, numbers));
    assert_non_null(strstr(err.message, "no context fits"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_group_that_allows_less),
        cmocka_unit_test(test_the_same_bits_and_no_other_memory),
        cmocka_unit_test(test_allocations_are_counted),
        cmocka_unit_test(test_bad_memory_is_refused_with_the_numbers),
    };
    return cmocka_run_group_tests_name("own_memory", tests, tiny_files_make, NULL);
}
