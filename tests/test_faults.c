/*
 * test_faults.c: proof by failure. Each scenario does one thing that a user asks for; each fault
 * is a kind of call that fails. For N = 1, 2, 3, ... the Nth such call of the scenario fails,
 * until a run gets by without reaching it; of late N, often those of a loop, only some are tried,
 * by `make test-faults` (EL_FAULTS_ALL) all. After every failure:
 *
 *   the status fits the cause and the message is one line that names it;
 *   all memory, mappings, descriptors and threads taken are given back;
 *   the target holds what it held, byte for byte, and no temporary lies beside it;
 *   the same done again on the same objects succeeds, with the same result;
 *
 * and where a failure may be survived, the result is the same as without it. A new scenario is a
 * function and a row of `scenarios`.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/quota.h"
#include "base/threads.h"
#include "edgellm.h"
#include "faults/faults.h"
#include "faults/grammar_checks.h"
#include "faults/realtime_checks.h"
#include "offline/calibrate.h"
#include "quant/quantize.h"
#include "support/test_help.h"
#include "support/tiny_model.h"

#define FOLDER    EL_TEST_OUT "/faults"
#define SOURCE    FOLDER "/source.gguf"
#define FLOATS    FOLDER "/floats.gguf"
#define MODEL     FOLDER "/model.tm2.bin"
#define SAVED     FOLDER "/saved.session"
#define TARGET    FOLDER "/target"
#define LINK      FOLDER "/link"
#define TEXT      FOLDER "/text"
#define STALE     TARGET ".tmp-edgellm"
#define OLD       "what was there before"
#define MOST_RUNS 20000 /* of one scenario with one fault: more is a failure without an end */

/* ---- faults ------------------------------------------------------------------------------ */

typedef struct cause {
    fault fault;
    edgellm_status status; /* what the scenario must return, unless ... */
    bool survivable;       /* ... it succeeds with the right result in spite of the failure */
    const char *names;     /* this must stand in the message, and the error's text too */
} cause;

#define FAILS(which, number) .calls = (which), .error = (number)

static const cause causes[] = {
    {{"memory", FAILS(FAULT_MEMORY, ENOMEM)}, EDGELLM_ERR_MEMORY, false, "memory"},
    {{"memory, from then on", FAILS(FAULT_MEMORY, ENOMEM), .lasting = true},
     EDGELLM_ERR_MEMORY,
     false,
     "memory"},
    {{"mmap", FAILS(FAULT_MMAP, ENOMEM)}, EDGELLM_ERR_MEMORY, false, "bytes"},
    {{"mmap of a file", FAILS(FAULT_MMAP_FILE, ENOMEM)}, EDGELLM_ERR_MEMORY, false, FOLDER},
    {{"mmap of a file, no right", FAILS(FAULT_MMAP_FILE, ENODEV)}, EDGELLM_ERR_IO, false, FOLDER},
    {{"mlock", FAILS(FAULT_LOCK, EPERM)}, EDGELLM_OK, true, NULL},
    {{"mlock, madvise", FAILS(FAULT_LOCK, EINVAL), .lasting = true}, EDGELLM_OK, true, NULL},
    {{"open", FAILS(FAULT_OPEN, EMFILE)}, EDGELLM_ERR_IO, false, FOLDER},
    {{"open, from then on", FAILS(FAULT_OPEN, EACCES), .lasting = true},
     EDGELLM_ERR_IO,
     false,
     FOLDER},
    {{"open of a hint", FAILS(FAULT_OPEN_HINT, EMFILE)}, EDGELLM_OK, true, NULL},
    {{"read of a hint", FAILS(FAULT_READ, EIO)}, EDGELLM_OK, true, NULL},
    {{"read, interrupted", FAILS(FAULT_READ, EINTR)}, EDGELLM_OK, true, NULL},
    {{"read, short", .calls = FAULT_READ, .way = FAULT_SHORT}, EDGELLM_OK, true, NULL},
    {{"read of a file", FAILS(FAULT_READ_FILE, EIO)}, EDGELLM_ERR_IO, false, FOLDER},
    {{"read of a file, interrupted", FAILS(FAULT_READ_FILE, EINTR)}, EDGELLM_OK, true, NULL},
    {{"read of a file, short", .calls = FAULT_READ_FILE, .way = FAULT_SHORT},
     EDGELLM_OK,
     true,
     NULL},
    {{"write, broken", FAILS(FAULT_WRITE, EIO)}, EDGELLM_ERR_IO, false, FOLDER},
    {{"write, full", FAILS(FAULT_WRITE, ENOSPC), .lasting = true}, EDGELLM_ERR_IO, false, FOLDER},
    {{"write, interrupted", FAILS(FAULT_WRITE, EINTR)}, EDGELLM_OK, true, NULL},
    {{"write, short", .calls = FAULT_WRITE, .way = FAULT_SHORT}, EDGELLM_OK, true, NULL},
    {{"lseek", FAILS(FAULT_SEEK, EIO)}, EDGELLM_ERR_IO, false, FOLDER},
    {{"fsync", FAILS(FAULT_SYNC, EIO)}, EDGELLM_ERR_IO, false, FOLDER},
    {{"fsync of a folder", FAILS(FAULT_SYNC_FOLDER, EINVAL)}, EDGELLM_OK, true, NULL},
    {{"close", FAILS(FAULT_CLOSE, EIO)}, EDGELLM_OK, true, NULL},
    {{"rename", FAILS(FAULT_RENAME, EACCES)}, EDGELLM_ERR_IO, false, FOLDER},
    {{"flock", FAILS(FAULT_FLOCK, ENOLCK)}, EDGELLM_ERR_IO, true, FOLDER},
    {{"stat", FAILS(FAULT_STAT, EACCES)}, EDGELLM_ERR_IO, true, FOLDER},
    {{"affinity", FAILS(FAULT_AFFINITY, EINVAL)}, EDGELLM_OK, true, NULL},
    {{"pin", FAILS(FAULT_PIN, EPERM)}, EDGELLM_OK, true, NULL},
    {{"pin, from then on", FAILS(FAULT_PIN, EPERM), .lasting = true}, EDGELLM_OK, true, NULL},
    {{"policy", FAILS(FAULT_POLICY, EPERM)}, EDGELLM_OK, true, NULL},
    {{"policy, from then on", FAILS(FAULT_POLICY, EPERM), .lasting = true}, EDGELLM_OK, true, NULL},
    {{"policy, unknown", FAILS(FAULT_POLICY_GET, EPERM)}, EDGELLM_OK, true, NULL},
    {{"thread", FAILS(FAULT_THREAD, EAGAIN)}, EDGELLM_ERR_MEMORY, false, "thread"},
};
enum { N_CAUSES = sizeof causes / sizeof causes[0] };

/* ---- scenarios --------------------------------------------------------------------------- */

/* Objects that stay open from one run to the next. */
typedef struct world {
    edgellm_engine *engine;
    edgellm_session *session;
    el_arena arena; /* holds the crew */
    el_crew *crew;
    uint64_t hash; /* of what the scenario gave */
} world;

static void add(world *w, const void *bytes, size_t size)
{
    w->hash = hash_bytes(w->hash, bytes, size);
}

static edgellm_status open_engine(world *w, bool verify, edgellm_error *err)
{
    const edgellm_engine_options options = {.verify = verify};
    edgellm_engine *engine = NULL;
    edgellm_status status = edgellm_engine_open(MODEL, &options, &engine, err);
    if (status != EDGELLM_OK) {
        assert_null(engine);
        return status;
    }
    edgellm_model_info info;
    edgellm_engine_info(engine, &info);
    add(w, info.manifest, strlen(info.manifest));
    add(w, &info.parameters, sizeof info.parameters);
    edgellm_engine_close(engine);
    return EDGELLM_OK;
}

static edgellm_status open_quickly(world *w, edgellm_error *err)
{
    return open_engine(w, false, err);
}

static edgellm_status open_and_verify(world *w, edgellm_error *err)
{
    return open_engine(w, true, err);
}

static edgellm_status make_plan(world *w, edgellm_error *err)
{
    const edgellm_session_options options = {.context = 64, .threads = 1};
    edgellm_memory_plan plan;
    edgellm_status status = edgellm_plan(MODEL, &options, &plan, err);
    if (status != EDGELLM_OK) return status;
    uint64_t stated[] = {plan.weights, plan.tables, plan.kv_cache, plan.scratch, plan.threads};
    add(w, stated, sizeof stated);
    return EDGELLM_OK;
}

/* A prompt and some tokens of an answer, as text. */
static void converse(world *w, edgellm_session *session)
{
    const uint32_t prompt[] = {5, 60, 7, 80, 9};
    edgellm_stream stream = {0};
    char text[EDGELLM_STREAM_BYTES];
    edgellm_error err;
    assert_int_equal(edgellm_session_eval(session, prompt, 5, NULL, &err), EDGELLM_OK);
    for (int i = 0; i < 10; i++) {
        uint32_t token = edgellm_session_sample(session);
        add(w, text, edgellm_stream_push(w->engine, &stream, token, text));
        assert_int_equal(edgellm_session_eval(session, &token, 1, NULL, &err), EDGELLM_OK);
        add(w, edgellm_session_logits(session), EL_TINY_VOCAB * sizeof(float));
    }
    add(w, text, edgellm_stream_flush(&stream, text));
}

static edgellm_status run_session(world *w, edgellm_error *err)
{
    const edgellm_session_options options = {.context = 64, .threads = 0};
    edgellm_session *session = NULL;
    edgellm_status status = edgellm_session_open(w->engine, &options, &session, err);
    if (status != EDGELLM_OK) {
        assert_null(session);
        return status;
    }
    converse(w, session);
    edgellm_session_close(session);
    return EDGELLM_OK;
}

/* ---- real time: nothing fails, what is refused is told, and everything is put back -------- */

/* So long that time is lent and taken back, which may be refused then. */
static void compute_on(edgellm_session *session)
{
    const el_nanoseconds begin = el_clock_now();
    edgellm_error err;
    while (el_clock_now() - begin < 40000000) {
        const uint32_t token = 5;
        assert_int_equal(edgellm_session_truncate(session, 3, &err), EDGELLM_OK);
        assert_int_equal(edgellm_session_eval(session, &token, 1, NULL, &err), EDGELLM_OK);
    }
}

static edgellm_status open_realtime(world *w, edgellm_session **session, edgellm_error *err)
{
    const edgellm_session_options options = {
        .context = 64, .threads = el_cores_allowed() >= 2 ? 2 : 1, .realtime = true};
    edgellm_status status = edgellm_session_open(w->engine, &options, session, err);
    if (status != EDGELLM_OK) assert_null(*session);
    return status;
}

static edgellm_status run_realtime(world *w, edgellm_error *err)
{
    edgellm_session *session = NULL;
    faults_pause(true);
    const thread_state before = observe();
    faults_pause(false);
    edgellm_status status = open_realtime(w, &session, err);
    if (status == EDGELLM_OK) {
        faults_pause(true);
        check_report(session);
        faults_pause(false);
        converse(w, session);
        if (faults_armed() & FAULT_POLICY) compute_on(session);
    }
    faults_pause(true);
    edgellm_session_close(session);
    const thread_state after = observe();
    faults_pause(false);
    check_put_back(&before, &after);
    return status;
}

/* Failures at the end only: there nobody is told, and what a system refuses to put back is put back
 * here. */
static edgellm_status close_realtime(world *w, edgellm_error *err)
{
    edgellm_session *session = NULL;
    faults_pause(true);
    const thread_state before = observe();
    edgellm_status status = open_realtime(w, &session, err);
    assert_int_equal(status, EDGELLM_OK);
    converse(w, session);
    faults_pause(false);
    edgellm_session_close(session);
    faults_pause(true);
    const thread_state after = observe();
    if (!(faults_armed() & (FAULT_POLICY | FAULT_PIN))) check_put_back(&before, &after);
    assert_int_equal(el_policy_set(0, &before.policy), 0);
    assert_int_equal(sched_setaffinity(0, sizeof before.cores, &before.cores), 0);
    faults_pause(false);
    return status;
}

static edgellm_status run_scheduler(world *w, edgellm_error *err)
{
    const edgellm_scheduler_options options = {.session.context = 64, .slots = 3};
    const uint32_t prompt[] = {5, 60, 7};
    const edgellm_request request = {.tokens = prompt, .count = 3, .max_tokens = 4};
    edgellm_scheduler *scheduler = NULL;
    edgellm_turn turn = {.steps = 1};
    uint64_t id;
    edgellm_status status = edgellm_scheduler_open(w->engine, &options, &scheduler, err);
    if (status != EDGELLM_OK) {
        assert_null(scheduler);
        return status;
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(edgellm_scheduler_submit(scheduler, &request, &id, NULL, err), EDGELLM_OK);
    while (turn.steps + turn.prompt_tokens > 0) {
        assert_int_equal(edgellm_scheduler_turn(scheduler, &turn, err), EDGELLM_OK);
        for (uint32_t i = 0; i < turn.n_events; i++)
            add(w, &turn.events[i].token, sizeof turn.events[i].token);
    }
    edgellm_scheduler_close(scheduler);
    return EDGELLM_OK;
}

static edgellm_status run_grammar(world *w, edgellm_error *err)
{
    (void)w;
    return read_grammar(MODEL, err);
}

/* The session is the same before and after; other tokens in it each time would be another file. */
static edgellm_status save_session(world *w, edgellm_error *err)
{
    const uint32_t tokens[] = {5, 60, 7};
    assert_int_equal(edgellm_session_truncate(w->session, 0, NULL), EDGELLM_OK);
    assert_int_equal(edgellm_session_eval(w->session, tokens, 3, NULL, NULL), EDGELLM_OK);
    return edgellm_session_save(w->session, TARGET, "note", 4, err);
}

static edgellm_status save_prefix(world *w, edgellm_error *err)
{
    const uint32_t tokens[] = {5, 60, 7, 80};
    assert_int_equal(edgellm_session_truncate(w->session, 0, NULL), EDGELLM_OK);
    assert_int_equal(edgellm_session_eval(w->session, tokens, 4, NULL, NULL), EDGELLM_OK);
    return edgellm_session_save_prefix(w->session, 2, TARGET, "note", 4, err);
}

/* What is in SAVED, as a prefix: the sampler, which it leaves alone, begins anew each time. */
static edgellm_status load_prefix(world *w, edgellm_error *err)
{
    const uint32_t tokens[] = {5, 60, 7}, others[] = {100, 101};
    const edgellm_sampler_options sampler = edgellm_sampler_defaults();
    assert_int_equal(edgellm_session_set_sampler(w->session, &sampler, NULL), EDGELLM_OK);
    assert_int_equal(edgellm_session_truncate(w->session, 0, NULL), EDGELLM_OK);
    assert_int_equal(edgellm_session_eval(w->session, others, 2, NULL, NULL), EDGELLM_OK);
    edgellm_status status =
        edgellm_session_load_prefix(w->session, SAVED, tokens, 3, "note", 4, err);
    if (status != EDGELLM_OK) {
        assert_int_equal(edgellm_session_position(w->session), 2);
        assert_memory_equal(edgellm_session_tokens(w->session), others, sizeof others);
        return status;
    }
    converse(w, w->session);
    return EDGELLM_OK;
}

/* After a failure the session goes on as if nobody had tried. */
static edgellm_status load_session(world *w, edgellm_error *err)
{
    const uint32_t tokens[] = {100, 101, 102, 103, 104};
    static float before[EL_TINY_VOCAB];
    assert_int_equal(edgellm_session_truncate(w->session, 0, NULL), EDGELLM_OK);
    assert_int_equal(edgellm_session_eval(w->session, tokens, 5, NULL, NULL), EDGELLM_OK);
    memcpy(before, edgellm_session_logits(w->session), sizeof before);
    edgellm_status status = edgellm_session_load(w->session, SAVED, err);
    if (status != EDGELLM_OK) {
        assert_int_equal(edgellm_session_position(w->session), 5);
        assert_memory_equal(edgellm_session_tokens(w->session), tokens, sizeof tokens);
        assert_memory_equal(edgellm_session_logits(w->session), before, sizeof before);
        return status;
    }
    converse(w, w->session);
    return EDGELLM_OK;
}

static edgellm_status read_note(world *w, edgellm_error *err)
{
    char note[16];
    size_t len = 77;
    edgellm_status status = edgellm_session_note(SAVED, note, sizeof note, &len, err);
    if (status != EDGELLM_OK) {
        assert_int_equal(len, 77);
        return status;
    }
    add(w, note, len);
    return EDGELLM_OK;
}

/* Pieces of more than 1024 bytes, so that the working memory grows twice. */
static edgellm_status tokenize(world *w, edgellm_error *err)
{
    static char text[6000];
    static uint32_t tokens[6000];
    size_t count = 77;
    memset(text, 'a', sizeof text);
    memset(text + 1500, ' ', 10);
    edgellm_status status = edgellm_tokenize(w->engine, text, sizeof text, EDGELLM_TOKENIZE_SPECIAL,
                                             tokens, 6000, &count, err);
    if (status != EDGELLM_OK) {
        assert_int_equal(count, 77);
        return status;
    }
    add(w, tokens, count * sizeof *tokens);
    return EDGELLM_OK;
}

static edgellm_status chat_prompt(world *w, edgellm_error *err)
{
    const edgellm_message messages[] = {{"system", "be brief"}, {"user", "why <|im_end|>?"}};
    uint32_t tokens[256];
    size_t count = 77;
    edgellm_status status =
        edgellm_chat_prompt(w->engine, messages, 2, true, tokens, 256, &count, err);
    if (status != EDGELLM_OK) {
        assert_int_equal(count, 77);
        return status;
    }
    assert_true(count <= 256);
    add(w, tokens, count * sizeof *tokens);
    return EDGELLM_OK;
}

static void start_member(void *context, unsigned member, unsigned size)
{
    ((unsigned *)context)[member] = size;
}

static edgellm_status crew_of_four(world *w, edgellm_error *err)
{
    unsigned sizes[4] = {0};
    EL_TRY(el_crew_start(w->crew, 4, err));
    el_crew_run(w->crew, start_member, sizes);
    el_crew_stop(w->crew);
    add(w, sizes, sizeof sizes);
    return EDGELLM_OK;
}

static edgellm_status quantize(const char *source, const char *target, el_quantize_options options,
                               world *w, edgellm_error *err)
{
    el_quantize_result result = {.tensors = 77};
    edgellm_status status = el_quantize(source, target, &options, &result, err);
    if (status == EDGELLM_OK) add(w, &result, sizeof result);
    if (status != EDGELLM_OK) assert_int_equal(result.tensors, 77);
    return status;
}

static edgellm_status quantize_keep(world *w, edgellm_error *err)
{
    return quantize(SOURCE, TARGET, (el_quantize_options){.group = 32}, w, err);
}

static edgellm_status quantize_2_bits(world *w, edgellm_error *err)
{
    const el_quantize_options options = {
        .bits = 2, .group = 64, .embedding_group = 64, .scales = EL_SCALE_BYTE};
    return quantize(FLOATS, TARGET, options, w, err);
}

/* Through a symbolic link, which stays one, and over what a killed process left. */
static edgellm_status quantize_4_bits(world *w, edgellm_error *err)
{
    const el_quantize_options options = {
        .bits = 4, .embedding_bits = 8, .group = 32, .embedding_group = 32, .offset = true};
    return quantize(FLOATS, LINK, options, w, err);
}

/* The program opens the temporary before it is renamed; so does this. */
static edgellm_status can_be_run(void *context, const char *temporary, edgellm_error *err)
{
    edgellm_engine *engine = NULL;
    edgellm_status status = edgellm_engine_open(temporary, NULL, &engine, err);
    (void)context;
    edgellm_engine_close(engine);
    return status;
}

static edgellm_status quantize_and_judge(world *w, edgellm_error *err)
{
    static const el_tm2_judge judge = {.accept = can_be_run};
    return quantize(SOURCE, TARGET, (el_quantize_options){.bits = 8, .judge = &judge}, w, err);
}

static edgellm_status add_calibration(world *w, edgellm_status status, el_calibration *c)
{
    if (status != EDGELLM_OK) {
        assert_int_equal(c->sequences, 77);
        return status;
    }
    add(w, c->tokens, (size_t)c->sequences * c->length * sizeof *c->tokens);
    el_calibration_free(c);
    return EDGELLM_OK;
}

static edgellm_status calibrate_self(world *w, edgellm_error *err)
{
    const el_calibrate_options options = {.sequences = 8, .length = 24, .threads = 2};
    el_calibration c = {.sequences = 77};
    return add_calibration(w, el_calibrate_self(w->engine, &options, &c, err), &c);
}

static edgellm_status calibrate_file(world *w, edgellm_error *err)
{
    const el_calibrate_options options = {.sequences = 2, .length = 8};
    el_calibration c = {.sequences = 77};
    return add_calibration(w, el_calibrate_file(w->engine, TEXT, &options, &c, err), &c);
}

/* The calls that a scenario is known to make: a wrapper that misses them would prove nothing. */
#define LOADS  (FAULT_MMAP_FILE | FAULT_OPEN | FAULT_CLOSE | FAULT_STAT)
#define COPIES (FAULT_MMAP | FAULT_READ_FILE | FAULT_OPEN | FAULT_CLOSE | FAULT_STAT)
#define WRITES                                                                                     \
    (FAULT_WRITE | FAULT_SEEK | FAULT_SYNC | FAULT_SYNC_FOLDER | FAULT_RENAME | FAULT_FLOCK)

typedef struct scenario {
    const char *name;
    edgellm_status (*act)(world *w, edgellm_error *err);
    unsigned makes;
    bool writes;       /* TARGET */
    unsigned survives; /* calls that only this one may survive */
} scenario;

static const scenario scenarios[] = {
    {"open", open_quickly, FAULT_MEMORY | FAULT_MMAP | FAULT_OPEN_HINT | LOADS, false, 0},
    {"open and verify", open_and_verify, FAULT_MEMORY | FAULT_MMAP | FAULT_OPEN_HINT | LOADS, false,
     0},
    {"plan", make_plan, FAULT_MEMORY | FAULT_MMAP | FAULT_OPEN_HINT | LOADS, false, 0},
    {"session", run_session, FAULT_MMAP | FAULT_LOCK | FAULT_AFFINITY, false, 0},
    {"realtime", run_realtime,
     FAULT_MMAP | FAULT_LOCK | FAULT_AFFINITY | FAULT_OPEN_HINT | FAULT_READ | FAULT_THREAD |
         FAULT_PIN | FAULT_POLICY | FAULT_POLICY_GET,
     false, FAULT_THREAD},
    {"realtime, at its end", close_realtime,
     FAULT_AFFINITY | FAULT_PIN | FAULT_POLICY | FAULT_POLICY_GET, false, 0},
    {"scheduler", run_scheduler, FAULT_MMAP | FAULT_LOCK | FAULT_AFFINITY, false, 0},
    {"grammar", run_grammar, FAULT_MEMORY | FAULT_MMAP | FAULT_OPEN_HINT | LOADS, false, 0},
    {"save", save_session, FAULT_MEMORY | WRITES, true, 0},
    {"load", load_session, COPIES, false, 0},
    {"save, prefix", save_prefix, FAULT_MEMORY | WRITES, true, 0},
    {"load, prefix", load_prefix, COPIES, false, 0},
    {"note", read_note, COPIES, false, 0},
    {"crew", crew_of_four, FAULT_THREAD, false, 0},
    {"tokenize", tokenize, FAULT_MEMORY, false, 0},
    {"chat prompt", chat_prompt, FAULT_MEMORY, false, 0},
    {"calibrate, by itself", calibrate_self,
     FAULT_MEMORY | FAULT_MMAP | FAULT_LOCK | FAULT_AFFINITY | FAULT_THREAD, false, 0},
    {"calibrate, with a file", calibrate_file, FAULT_MEMORY | COPIES, false, 0},
    {"quantize, as it is", quantize_keep, FAULT_MEMORY | LOADS | WRITES, true, 0},
    {"quantize, 2 bits", quantize_2_bits, FAULT_MEMORY | LOADS | WRITES, true, 0},
    {"quantize, 4 bits", quantize_4_bits, FAULT_MEMORY | LOADS | WRITES, true, 0},
    {"quantize, judged", quantize_and_judge, FAULT_MEMORY | LOADS | WRITES, true, 0},
};
enum { N_SCENARIOS = sizeof scenarios / sizeof scenarios[0] };

/* ---- what must be true ------------------------------------------------------------------- */

/* One failure under test, for the messages. */
typedef struct trial {
    const scenario *s;
    const cause *c;
    unsigned nth;
} trial;

#define REQUIRE(t, condition, ...)                                                                 \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            print_error("%s: %s, call %u: ", (t)->s->name, (t)->c->fault.name, (t)->nth);          \
            fail_msg(__VA_ARGS__);                                                                 \
        }                                                                                          \
    } while (0)

/* Hash of a file's bytes; 0 if there is none. */
static uint64_t file_hash(const char *path)
{
    el_bytes b = {0};
    if (!el_bytes_load(&b, path)) return 0;
    uint64_t hash = hash_bytes(1, b.data, b.size);
    free(b.data);
    return hash;
}

static int count_files(void)
{
    DIR *folder = opendir(FOLDER);
    assert_non_null(folder);
    int count = 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void check_held(const trial *t, faults_held before)
{
    faults_held now = faults_now();
    REQUIRE(t, now.memory == before.memory, "%d allocations leaked", now.memory - before.memory);
    REQUIRE(t, now.maps == before.maps, "%d mappings leaked", now.maps - before.maps);
    REQUIRE(t, now.descriptors == before.descriptors, "%d descriptors leaked",
            now.descriptors - before.descriptors);
    REQUIRE(t, now.streams == before.streams, "%d streams leaked", now.streams - before.streams);
    REQUIRE(t, now.threads == before.threads, "%d threads left", now.threads - before.threads);
}

static void check_error(const trial *t, edgellm_status status, const edgellm_error *err)
{
    const cause *c = t->c;
    const char *message = err->message;
    REQUIRE(t, status == c->status && err->status == status, "status %s, not %s: \"%s\"",
            edgellm_status_name(status), edgellm_status_name(c->status), message);
    REQUIRE(t, c->names && strstr(message, c->names), "\"%s\" does not name '%s'", message,
            c->names);
    REQUIRE(t, c->fault.calls == FAULT_MEMORY || strstr(message, strerror(c->fault.error)),
            "\"%s\" does not say '%s'", message, strerror(c->fault.error));
    REQUIRE(t, strlen(message) > sizeof "out of memory for" && !strchr(message, '\n'),
            "\"%s\" is not one clear line", message);
}

/* What the target holds, and that nothing lies beside it. */
static void check_files(const trial *t, uint64_t content, int files)
{
    struct stat status;
    REQUIRE(t, file_hash(TARGET) == content, "the target changed");
    REQUIRE(t, access(STALE, F_OK) != 0, "a temporary was left behind");
    REQUIRE(t, count_files() == files, "%d files are too many", count_files() - files);
    REQUIRE(t, lstat(LINK, &status) == 0 && S_ISLNK(status.st_mode), "the link was replaced");
}

/* What a successful run gives. */
typedef struct outcome {
    uint64_t hash, content;
} outcome;

static outcome expected(const scenario *s, world *w)
{
    edgellm_error err = {0};
    w->hash = 1;
    put_file(TARGET, OLD);
    if (s->act(w, &err) != EDGELLM_OK) fail_msg("%s: %s", s->name, err.message);
    return (outcome){w->hash, file_hash(TARGET)};
}

static void check_success(const trial *t, const world *w, outcome right, int files)
{
    REQUIRE(t, w->hash == right.hash, "the result is wrong");
    check_files(t, right.content, files);
}

/* One run with the Nth call failing; false if there was no such call. */
static bool try_fault(const trial *t, world *w, outcome right)
{
    edgellm_error err = {0};
    put_file(TARGET, OLD);
    uint64_t old = file_hash(TARGET);
    int files = count_files();
    if (t->s->writes) put_file(STALE, "left by a killed process");
    faults_held before = faults_now();
    w->hash = 1;
    faults_arm(&t->c->fault, t->nth);
    edgellm_status status = t->s->act(w, &err);
    bool reached = faults_disarm();
    check_held(t, before);
    if (t->s->writes && status != EDGELLM_OK && access(STALE, F_OK) == 0) {
        REQUIRE(t, file_hash(STALE) == hash_bytes(1, "left by a killed process", 24),
                "the new temporary was left behind");
        unlink(STALE); /* the run did not come as far as writing */
    }
    if (status == EDGELLM_OK) {
        REQUIRE(t, !reached || t->c->survivable || (t->c->fault.calls & t->s->survives),
                "the failure was not noticed");
        check_success(t, w, right, files);
    } else {
        REQUIRE(t, reached, "failed without a cause: %s", err.message);
        check_error(t, status, &err);
        check_files(t, old, files);
    }
    if (!reached) return false;
    w->hash = 1; /* once more, on the same objects */
    status = t->s->act(w, &err);
    REQUIRE(t, status == EDGELLM_OK, "no success afterwards: %s", err.message);
    check_held(t, before);
    check_success(t, w, right, files);
    return true;
}

static void try_scenario(const scenario *s, world *w)
{
    outcome right = expected(s, w);
    const unsigned few = 48, step = getenv("EL_FAULTS_ALL") ? 1 : 7;
    unsigned reached = 0, total = 0;
    for (const cause *c = causes; c < causes + N_CAUSES; c++) {
        trial t = {s, c, 1};
        for (; try_fault(&t, w, right); t.nth += t.nth < few ? 1 : step, total++)
            REQUIRE(&t, t.nth < MOST_RUNS, "it has no end");
        if (t.nth > 1) reached |= c->fault.calls;
    }
    if (s->makes & ~reached) fail_msg("%s: calls %#x were not seen", s->name, s->makes & ~reached);
    print_message("%s: %u failures\n", s->name, total);
}

static void test_every_failure(void **state)
{
    for (size_t i = 0; i < N_SCENARIOS; i++)
        try_scenario(&scenarios[i], *state);
}

/* Whatever cannot be examined: a source is never replaced by its result. */
static void test_a_source_is_not_overwritten(void **state)
{
    static const fault cannot_examine = {"stat", FAILS(FAULT_STAT, EACCES)};
    const el_quantize_options options = {.bits = 4};
    const uint64_t before = file_hash(SOURCE);
    bool reached = true;
    (void)state;
    for (unsigned n = 1; reached; n++) {
        edgellm_error err = {0};
        faults_arm(&cannot_examine, n);
        edgellm_status status = el_quantize(SOURCE, SOURCE, &options, NULL, &err);
        reached = faults_disarm();
        assert_int_equal(status, reached ? EDGELLM_ERR_IO : EDGELLM_ERR_USAGE);
        assert_contains(err.message, SOURCE);
        assert_true(file_hash(SOURCE) == before);
    }
}

/* Refused once and for all: each sort has its line, and all else is had. */
static void test_real_time_says_what_was_refused(void **state)
{
    static const struct {
        fault fault;
        const char *note;
    } rows[] = {
        {{"mlock", FAILS(FAULT_LOCK, EPERM), .lasting = true}, "memory: not all is locked ("},
        {{"pin", FAILS(FAULT_PIN, EPERM), .lasting = true}, "cores: thread 0 not pinned to core "},
        {{"affinity", FAILS(FAULT_AFFINITY, EPERM), .lasting = true}, "cores: not pinned"},
        {{"policy", FAILS(FAULT_POLICY, EPERM), .lasting = true}, "nice: refused ("},
        {{"look", FAILS(FAULT_POLICY_GET, EPERM), .lasting = true}, "policy: unknown and left"},
        {{"rival", FAILS(FAULT_THREAD, EAGAIN), .lasting = true}, "policies were tried without"},
    };
    const edgellm_session_options options = {.context = 64, .threads = 1, .realtime = true};
    const thread_state before = observe();
    world *w = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        edgellm_session *session = NULL;
        edgellm_realtime r;
        edgellm_error err = {0};
        faults_arm(&rows[i].fault, 1);
        edgellm_status status = edgellm_session_open(w->engine, &options, &session, &err);
        assert_true(faults_disarm());
        assert_int_equal(status, EDGELLM_OK);
        edgellm_session_realtime(session, &r);
        if (!has_note(&r, rows[i].note)) fail_msg("%s is not told", rows[i].fault.name);
        assert_true((r.locked_bytes == 0) == (rows[i].fault.calls == FAULT_LOCK));
        edgellm_session_close(session);
        const thread_state after = observe();
        check_put_back(&before, &after);
    }
}

/* A quota is found although its reading is interrupted or comes in pieces. */
static void test_a_quota_is_read_to_its_end(void **state)
{
    static const fault faults[] = {{"interrupted", FAILS(FAULT_READ, EINTR)},
                                   {"short", .calls = FAULT_READ, .way = FAULT_SHORT}};
    (void)state;
    if (mkdir(FOLDER "/group", 0777) != 0) assert_int_equal(errno, EEXIST);
    put_file(FOLDER "/group/cpu.max", "300000 100000\n");
    put_file(FOLDER "/cgroup", "0::/group\n");
    for (int i = 0; i < 2; i++) {
        unsigned n = 0;
        do {
            faults_arm(&faults[i], ++n);
            assert_int_equal(el_quota_cores(FOLDER "/cgroup", FOLDER), 3);
        } while (faults_disarm());
        assert_true(n > 4); /* two files, each read to its end */
    }
}

/* ---- set-up ------------------------------------------------------------------------------ */

static edgellm_status open_objects(world *w, edgellm_error *err)
{
    const el_quantize_options keep = {.group = 32, .embedding_group = 32};
    const edgellm_session_options options = {.context = 64, .threads = 1};
    const uint32_t tokens[] = {5, 60, 7};
    el_arena measure = el_arena_measure();
    EL_TRY(el_quantize(SOURCE, MODEL, &keep, NULL, err));
    EL_TRY(edgellm_engine_open(MODEL, NULL, &w->engine, err));
    EL_TRY(edgellm_session_open(w->engine, &options, &w->session, err));
    EL_TRY(edgellm_session_eval(w->session, tokens, 3, NULL, err));
    EL_TRY(edgellm_session_save(w->session, SAVED, "note", 4, err));
    el_crew_layout(&measure);
    EL_TRY(el_arena_reserve(&w->arena, measure.used, err));
    w->crew = el_crew_layout(&w->arena);
    return EDGELLM_OK;
}

static int set_up(void **state)
{
    static world w;
    el_tiny_spec spec = el_tiny_defaults();
    edgellm_error err = {0};
    spec.layers = 1;
    if (mkdir(FOLDER, 0777) != 0 && errno != EEXIST) return -1;
    if (!el_tiny_write(&spec, SOURCE)) return -1;
    spec.matrix_type = spec.embedding_type = 0; /* F32 */
    if (!el_tiny_write(&spec, FLOATS)) return -1;
    put_file(TEXT, "a text to calibrate with: 0123456789 0123456789 0123456789");
    unlink(LINK);
    unlink(STALE);
    if (symlink("target", LINK) != 0) return -1;
    *state = &w;
    if (open_objects(&w, &err) == EDGELLM_OK) return 0;
    print_error("%s\n", err.message);
    return -1;
}

static int tear_down(void **state)
{
    world *w = *state;
    edgellm_session_close(w->session);
    edgellm_engine_close(w->engine);
    el_arena_release(&w->arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_failure),
        cmocka_unit_test(test_a_source_is_not_overwritten),
        cmocka_unit_test(test_real_time_says_what_was_refused),
        cmocka_unit_test(test_a_quota_is_read_to_its_end),
    };
    return cmocka_run_group_tests_name("faults", tests, set_up, tear_down);
}
