/*
 * test_shared.c: what the header says of threads. Several use one engine at once, with sessions of
 * their own; others open and close engines on the same file meanwhile. Everybody gets what a single
 * thread got. To be run under ThreadSanitizer too (make tsan).
 */
#include "support/test_help.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/threads.h"
#include "support/tiny_file.h"

enum { USERS = 6, ROUNDS = 4, KINDS = 3, STEPS = 8, ROOM = 256 };

static const char *const texts[KINDS] = {"the quick brown fox jumps",
                                         "Gr\xc3\xbc\xc3\x9f Gott, 12!",
                                         "<|im_start|>user\nand \xf0\x9f\x8c\x8d"};

static uint64_t hash_text(uint64_t hash, const char *text)
{
    return hash_bytes(hash, text, strlen(text) + 1);
}

static uint64_t hash_number(uint64_t hash, uint64_t number)
{
    return hash_bytes(hash, &number, sizeof number);
}

/* ---- one user's calls: a hash over all results, 0 if a call failed ------------------------- */

static uint64_t describe(const edgellm_engine *engine)
{
    edgellm_model_info info;
    edgellm_tensor_info tensor;
    uint64_t hash = hash_text(EDGELLM_HASH_START, edgellm_version());
    edgellm_engine_info(engine, &info);
    hash = hash_text(hash_text(hash, info.name), info.manifest);
    hash = hash_text(hash_text(hash, info.kernel), info.pretokenizer);
    hash = hash_number(hash_number(hash, info.parameters), info.file_bytes);
    for (uint32_t i = 0; i < info.tensors; i++) {
        if (edgellm_engine_tensor(engine, i, &tensor, NULL) != EDGELLM_OK) return 0;
        hash = hash_number(hash_text(hash_text(hash, tensor.name), tensor.codec), tensor.bytes);
    }
    for (uint32_t i = 0; edgellm_kernel_name(i); i++)
        hash = hash_text(hash, edgellm_kernel_name(i));
    /* an error has its text in the caller's memory */
    edgellm_error err;
    if (edgellm_engine_tensor(engine, info.tensors, &tensor, &err) != EDGELLM_ERR_USAGE) return 0;
    return hash_text(hash_text(hash, err.message), edgellm_status_name(err.status));
}

static uint64_t speak(const edgellm_engine *engine, const uint32_t *tokens, size_t count)
{
    edgellm_stream stream = {{0}, 0};
    char text[EDGELLM_STREAM_BYTES], whole[4 * ROOM];
    size_t len = 0;
    uint64_t hash = EDGELLM_HASH_START;
    for (size_t i = 0; i < count; i++) {
        size_t n = edgellm_stream_push(engine, &stream, tokens[i], text);
        hash = hash_bytes(hash, text, n);
        hash = hash_number(hash, edgellm_is_end(engine, tokens[i]));
    }
    size_t rest = edgellm_stream_flush(&stream, text);
    hash = hash_bytes(hash, text, rest);
    if (edgellm_detokenize(engine, tokens, count, true, whole, sizeof whole, &len, NULL)) return 0;
    return hash_bytes(hash, whole, len);
}

static uint64_t read_and_speak(const edgellm_engine *engine, int kind)
{
    const edgellm_message messages[] = {{"system", "Be brief."}, {"user", texts[kind]}};
    uint32_t tokens[ROOM];
    size_t count = 0;
    uint64_t hash = EDGELLM_HASH_START;
    for (unsigned flags = 0; flags < 8; flags++) {
        if (edgellm_tokenize(engine, texts[kind], strlen(texts[kind]), flags, tokens, ROOM, &count,
                             NULL))
            return 0;
        hash = hash_number(hash, speak(engine, tokens, count));
    }
    if (edgellm_chat_prompt(engine, messages, 2, true, tokens, ROOM, &count, NULL)) return 0;
    return hash_bytes(hash, tokens, count * sizeof *tokens);
}

static uint64_t plan(int kind)
{
    const edgellm_session_options options = {.context = 64 + 16 * (uint32_t)kind, .threads = 1};
    edgellm_memory_plan p; /* program and total depend on what else is in memory just now */
    if (edgellm_plan(tiny_file_path(TINY_KEPT), &options, &p, NULL) != EDGELLM_OK) return 0;
    return hash_number(hash_number(EDGELLM_HASH_START, p.session_bytes), p.weights + p.tables);
}

static uint64_t decode(edgellm_session *session, const edgellm_engine *engine, int kind)
{
    edgellm_sampler_options sampler = edgellm_sampler_defaults();
    edgellm_model_info info;
    uint32_t tokens[ROOM];
    size_t count;
    uint64_t hash = EDGELLM_HASH_START;
    edgellm_engine_info(engine, &info);
    sampler.seed = (uint64_t)kind;
    if (edgellm_session_set_sampler(session, &sampler, NULL)) return 0;
    if (edgellm_tokenize(engine, texts[kind], strlen(texts[kind]), 0, tokens, ROOM, &count, NULL))
        return 0;
    if (edgellm_session_eval(session, tokens, count, NULL, NULL)) return 0;
    if (edgellm_session_truncate(session, (uint32_t)count - 1, NULL)) return 0;
    if (edgellm_session_eval(session, tokens + count - 1, 1, NULL, NULL)) return 0;
    for (int i = 0; i < STEPS; i++) {
        uint32_t token = edgellm_session_sample(session);
        if (edgellm_session_eval(session, &token, 1, NULL, NULL)) return 0;
        hash = edgellm_hash_logits(hash, edgellm_session_logits(session), info.vocab);
    }
    return hash_number(hash, edgellm_session_position(session));
}

/* A session of one thread or, in every other kind, of two where there are two cores. */
static uint64_t converse(const edgellm_engine *engine, int kind)
{
    const uint32_t threads = kind % 2 && el_cores_allowed() > 1 ? 2 : 1;
    const edgellm_session_options options = {.context = 128, .batch = 8, .threads = threads};
    edgellm_session *session;
    if (edgellm_session_open(engine, &options, &session, NULL) != EDGELLM_OK) return 0;
    uint64_t hash = decode(session, engine, kind);
    edgellm_session_close(session);
    return hash;
}

typedef struct results {
    uint64_t described, spoken, planned, conversed;
} results;

static results use(const edgellm_engine *engine, int kind)
{
    return (results){describe(engine), read_and_speak(engine, kind), plan(kind),
                     converse(engine, kind)};
}

static int differences(const results *a, const results *b)
{
    return (a->described != b->described) + (a->spoken != b->spoken) + (a->planned != b->planned) +
           (a->conversed != b->conversed);
}

/* ---- many users ----------------------------------------------------------------------------- */

typedef struct user {
    pthread_t thread;
    pthread_barrier_t *start;
    const edgellm_engine *engine; /* NULL: opens one of its own for each round */
    const results *expected;      /* (KINDS) */
    int number, wrong;            /* asserts belong to the main thread */
} user;

static void *run_user(void *argument)
{
    user *u = argument;
    pthread_barrier_wait(u->start);
    for (int round = 0; round < ROUNDS; round++) {
        const int kind = (u->number + round) % KINDS;
        edgellm_engine *own = NULL;
        if (!u->engine && edgellm_engine_open(tiny_file_path(TINY_KEPT), NULL, &own, NULL)) {
            u->wrong++;
            continue;
        }
        results r = use(u->engine ? u->engine : own, kind);
        u->wrong += differences(&r, &u->expected[kind]);
        edgellm_engine_close(own);
    }
    return NULL;
}

static void expect(results expected[KINDS])
{
    edgellm_engine *engine = tiny_file_open(TINY_KEPT);
    for (int kind = 0; kind < KINDS; kind++) {
        results *r = &expected[kind];
        *r = use(engine, kind);
        assert_true(r->described && r->spoken && r->planned && r->conversed);
        for (int other = 0; other < kind; other++) /* all but the description */
            assert_int_equal(differences(r, &expected[other]), 3);
    }
    edgellm_engine_close(engine);
}

/* engines[i % n] is user i's. */
static void check_users(const edgellm_engine *const *engines, int n)
{
    results expected[KINDS];
    user users[USERS];
    pthread_barrier_t start;
    expect(expected);
    assert_int_equal(pthread_barrier_init(&start, NULL, USERS), 0);
    for (int i = 0; i < USERS; i++) {
        users[i] =
            (user){.start = &start, .engine = engines[i % n], .expected = expected, .number = i};
        assert_int_equal(pthread_create(&users[i].thread, NULL, run_user, &users[i]), 0);
    }
    for (int i = 0; i < USERS; i++)
        assert_int_equal(pthread_join(users[i].thread, NULL), 0);
    for (int i = 0; i < USERS; i++)
        assert_int_equal(users[i].wrong, 0);
    pthread_barrier_destroy(&start);
}

static void test_one_engine_for_all(void **state)
{
    edgellm_engine *engine = tiny_file_open(TINY_KEPT);
    const edgellm_engine *const engines[] = {engine};
    (void)state;
    check_users(engines, 1);
    edgellm_engine_close(engine);
}

static void test_two_engines_on_one_file_and_more_that_come_and_go(void **state)
{
    edgellm_engine *one = tiny_file_open(TINY_KEPT), *two = tiny_file_open(TINY_KEPT);
    const edgellm_engine *const engines[] = {one, two, NULL};
    (void)state;
    check_users(engines, 3);
    edgellm_engine_close(one);
    edgellm_engine_close(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_engine_for_all),
        cmocka_unit_test(test_two_engines_on_one_file_and_more_that_come_and_go),
    };
    return cmocka_run_group_tests_name("shared", tests, tiny_files_make, NULL);
}
