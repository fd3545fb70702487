/*
 * Session files: a session that is saved and loaded goes on with the same bits, whatever else
 * differs; a damaged or lying file gives an error that says where, and leaves the session alone.
 */
#include "support/test_help.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/crc32.h"
#include "base/threads.h"
#include "edgellm.h"
#include "support/tiny_file.h"
#include "support/tiny_model.h"

#define SAVED EL_TEST_OUT "/session_saved.els"
#define OTHER EL_TEST_OUT "/session_other.els"
#define BAD   EL_TEST_OUT "/session_bad.els"

enum { PROMPT = 37, BEFORE = 9, AFTER = 12 };

static const char note[] = "a note,\0 any bytes\xff";

typedef struct way {
    const char *kernel; /* NULL: the best */
    uint32_t threads, batch, context;
    bool exact;
    uint32_t kv_bits; /* 0: 8 */
} way;

static const way plain = {.threads = 1, .batch = 64, .context = 96};

/* ---- a session that talks ------------------------------------------------------------------ */

typedef struct talk {
    edgellm_engine *engine;
    edgellm_session *session;
    edgellm_model_info info;
} talk;

static void must(edgellm_status status, const edgellm_error *err)
{
    if (status != EDGELLM_OK) fail_msg("%s", err->message);
}

static talk start(tiny_file file, const way *w)
{
    edgellm_engine_options engine = {.kernel = w->kernel};
    edgellm_session_options session = {.context = w->context,
                                       .batch = w->batch,
                                       .threads = w->threads,
                                       .kv_bits = w->kv_bits,
                                       .exact = w->exact};
    edgellm_sampler_options sampler = edgellm_sampler_defaults();
    edgellm_error err = {0};
    talk t = {0};
    sampler.seed = 77;
    must(edgellm_engine_open(tiny_file_path(file), &engine, &t.engine, &err), &err);
    must(edgellm_session_open(t.engine, &session, &t.session, &err), &err);
    must(edgellm_session_set_sampler(t.session, &sampler, &err), &err);
    edgellm_engine_info(t.engine, &t.info);
    return t;
}

static void stop(talk *t)
{
    edgellm_session_close(t->session);
    edgellm_engine_close(t->engine);
}

static void eval(talk *t, const uint32_t *tokens, size_t n)
{
    edgellm_error err = {0};
    must(edgellm_session_eval(t->session, tokens, n, NULL, &err), &err);
}

static void ask(talk *t, uint64_t seed, uint32_t n)
{
    uint32_t tokens[PROMPT];
    for (uint32_t i = 0; i < n; i++)
        tokens[i] = (uint32_t)(next_random(&seed) % t->info.vocab);
    eval(t, tokens, n);
}

/* Hash over the logits and draws of n steps of an answer. */
static uint64_t answer(talk *t, int n)
{
    uint64_t hash = EDGELLM_HASH_START;
    for (int i = 0; i < n; i++) {
        hash = edgellm_hash_logits(hash, edgellm_session_logits(t->session), t->info.vocab);
        uint32_t token = edgellm_session_sample(t->session);
        hash = hash_bytes(hash, &token, sizeof token);
        eval(t, &token, 1);
    }
    return hash;
}

static void save(const talk *t, const char *path)
{
    edgellm_error err = {0};
    must(edgellm_session_save(t->session, path, note, sizeof note, &err), &err);
}

static void load(talk *t, const char *path)
{
    edgellm_error err = {0};
    must(edgellm_session_load(t->session, path, &err), &err);
}

/* Saved in the middle of an answer. Returns the hash of what would have followed. */
static uint64_t save_in_the_middle(tiny_file file, const way *w)
{
    talk t = start(file, w);
    ask(&t, 5, PROMPT);
    answer(&t, BEFORE);
    save(&t, SAVED);
    uint64_t hash = answer(&t, AFTER);
    stop(&t);
    return hash;
}

static void assert_same_files(const char *a, const char *b)
{
    el_bytes x = {0}, y = {0};
    assert_true(el_bytes_load(&x, a) && el_bytes_load(&y, b));
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    free(x.data);
    free(y.data);
}

/* ---- going on ------------------------------------------------------------------------------ */

static uint32_t two_threads(void)
{
    return el_cores_allowed() >= 2 ? 2 : 1;
}

/* Goes on one way or another; the session had another conversation before. */
static void check_going_on(tiny_file file, const way *w, uint64_t expected)
{
    talk t = start(file, w);
    ask(&t, 99, 30);
    answer(&t, 5);
    load(&t, SAVED);
    assert_int_equal(edgellm_session_position(t.session), PROMPT + BEFORE);
    save(&t, OTHER);
    assert_true(answer(&t, AFTER) == expected);
    stop(&t);
    assert_same_files(SAVED, OTHER);
}

static void test_a_loaded_session_goes_on_with_the_same_bits(void **state)
{
    static const uint32_t batches[] = {1, 7, 64}, contexts[] = {58, 64, 200};
    (void)state;
    for (int file = 0; file < TINY_FILES; file++) {
        uint64_t expected = save_in_the_middle((tiny_file)file, &plain);
        const char *kernel;
        for (uint32_t level = 0; (kernel = edgellm_kernel_name(level)); level++)
            for (int i = 0; i < 3; i++) {
                way w = {kernel, i % 2 ? two_threads() : 1, batches[i], contexts[i], false, 0};
                check_going_on((tiny_file)file, &w, expected);
            }
    }
}

static void test_every_width_goes_on_too(void **state)
{
    static const uint32_t widths[] = {16, 4};
    (void)state;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        way kept = plain, other = {.threads = two_threads(), .batch = 3, .context = 130};
        kept.kv_bits = other.kv_bits = widths[i];
        check_going_on(TINY_KEPT, &other, save_in_the_middle(TINY_KEPT, &kept));
    }
}

static void test_exact_mode_goes_on_too(void **state)
{
    way exact = {.threads = 1, .batch = 64, .context = 96, .exact = true};
    way other = {.threads = two_threads(), .batch = 3, .context = 130, .exact = true};
    (void)state;
    check_going_on(TINY_KEPT, &other, save_in_the_middle(TINY_KEPT, &exact));
    check_going_on(TINY_BYTE_3, &other, save_in_the_middle(TINY_BYTE_3, &exact));
}

static void test_tokens_are_given_back(void **state)
{
    static const uint32_t tokens[] = {1, 7, 299, 0, 42};
    talk t = start(TINY_KEPT, &plain);
    (void)state;
    eval(&t, tokens, 5);
    assert_int_equal(edgellm_session_position(t.session), 5);
    assert_memory_equal(edgellm_session_tokens(t.session), tokens, sizeof tokens);
    save(&t, SAVED);
    assert_int_equal(edgellm_session_truncate(t.session, 0, NULL), EDGELLM_OK);
    ask(&t, 3, 20);
    load(&t, SAVED);
    assert_int_equal(edgellm_session_position(t.session), 5);
    assert_memory_equal(edgellm_session_tokens(t.session), tokens, sizeof tokens);
    stop(&t);
}

static uint64_t file_size(const char *path)
{
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    return (uint64_t)s.st_size;
}

/* An empty session, and one whose logits went with the tokens that made them. */
static void test_a_session_without_logits_can_be_saved(void **state)
{
    talk t = start(TINY_KEPT, &plain), u = start(TINY_KEPT, &plain);
    (void)state;
    save(&t, SAVED);
    assert_true(file_size(SAVED) < 512);
    load(&u, SAVED);
    assert_int_equal(edgellm_session_position(u.session), 0);
    ask(&t, 8, 20);
    uint64_t with = (save(&t, SAVED), file_size(SAVED));
    assert_int_equal(edgellm_session_truncate(t.session, 19, NULL), EDGELLM_OK);
    save(&t, SAVED);
    assert_true(with - file_size(SAVED) > t.info.vocab * sizeof(float));
    load(&u, SAVED);
    save(&u, OTHER);
    assert_same_files(SAVED, OTHER);
    uint32_t next = 9;
    eval(&t, &next, 1);
    eval(&u, &next, 1);
    assert_true(answer(&t, 4) == answer(&u, 4));
    stop(&t);
    stop(&u);
}

static void test_the_size_follows_the_position_not_the_context(void **state)
{
    way large = plain;
    (void)state;
    large.context = 256;
    talk t = start(TINY_KEPT, &plain), u = start(TINY_KEPT, &large);
    ask(&t, 8, 20);
    ask(&u, 8, 20);
    save(&t, SAVED);
    save(&u, OTHER);
    assert_same_files(SAVED, OTHER);
    ask(&u, 8, 20);
    save(&u, OTHER);
    assert_in_range(file_size(OTHER) - file_size(SAVED), 20 * 4 * 40, 20 * (4 * 40 + 4) + 64);
    stop(&t);
    stop(&u);
}

/* ---- the note ------------------------------------------------------------------------------ */

static void test_the_note_comes_back(void **state)
{
    talk t = start(TINY_KEPT, &plain);
    char read[sizeof note + 4];
    size_t len = 0;
    (void)state;
    ask(&t, 8, 3);
    save(&t, SAVED);
    assert_int_equal(edgellm_session_note(SAVED, NULL, 0, &len, NULL), EDGELLM_OK);
    assert_int_equal(len, sizeof note);
    memset(read, 'x', sizeof read);
    assert_int_equal(edgellm_session_note(SAVED, read, 6, &len, NULL), EDGELLM_OK);
    assert_int_equal(len, sizeof note);
    assert_memory_equal(read, "a notexx", 8);
    assert_int_equal(edgellm_session_note(SAVED, read, sizeof read, &len, NULL), EDGELLM_OK);
    assert_memory_equal(read, note, sizeof note);
    assert_int_equal(read[sizeof note], 'x');
    assert_int_equal(edgellm_session_save(t.session, SAVED, NULL, 0, NULL), EDGELLM_OK);
    assert_int_equal(edgellm_session_note(SAVED, read, sizeof read, &len, NULL), EDGELLM_OK);
    assert_int_equal(len, 0);
    load(&t, SAVED);
    stop(&t);
}

/* ---- prefixes ------------------------------------------------------------------------------ */

enum { PREFIX = 21 };

/* The tokens that ask() computes first. */
static void prefix_tokens(const talk *t, uint64_t seed, uint32_t tokens[PREFIX])
{
    for (uint32_t i = 0; i < PREFIX; i++)
        tokens[i] = (uint32_t)(next_random(&seed) % t->info.vocab);
}

/* Its file, from a session that went on after it. Returns the hash of an answer to all. */
static uint64_t save_prefix(tiny_file file, const way *w, uint32_t tokens[PREFIX])
{
    talk t = start(file, w);
    edgellm_error err = {0};
    ask(&t, 5, PROMPT);
    prefix_tokens(&t, 5, tokens);
    must(edgellm_session_save_prefix(t.session, PREFIX, SAVED, note, sizeof note, &err), &err);
    uint64_t hash = answer(&t, AFTER);
    must(edgellm_session_save_prefix(t.session, PREFIX, OTHER, note, sizeof note, &err), &err);
    stop(&t);
    assert_same_files(SAVED, OTHER); /* neither sampler nor what follows shows in it */
    return hash;
}

static edgellm_status load_prefix(talk *t, const uint32_t *tokens, uint32_t count,
                                  edgellm_error *err)
{
    return edgellm_session_load_prefix(t->session, SAVED, tokens, count, note, sizeof note, err);
}

/* The rest of ask(seed 5, PROMPT) after the prefix, then the answer. */
static uint64_t rest_and_answer(talk *t)
{
    uint64_t seed = 5;
    uint32_t tokens[PROMPT];
    for (uint32_t i = 0; i < PROMPT; i++)
        tokens[i] = (uint32_t)(next_random(&seed) % t->info.vocab);
    eval(t, tokens + PREFIX, PROMPT - PREFIX);
    return answer(t, AFTER);
}

static void check_prefix(tiny_file file, const way *made, const way *used)
{
    uint32_t tokens[PREFIX];
    edgellm_error err = {0};
    uint64_t expected = save_prefix(file, made, tokens);
    talk t = start(file, used);
    must(load_prefix(&t, tokens, PREFIX, &err), &err);
    assert_int_equal(edgellm_session_position(t.session), PREFIX);
    assert_memory_equal(edgellm_session_tokens(t.session), tokens, sizeof tokens);
    assert_true(rest_and_answer(&t) == expected);
    stop(&t);
}

static void test_a_prefix_goes_on_with_the_same_bits(void **state)
{
    const way other = {NULL, two_threads(), 7, 130, false, 0};
    const way scalar = {"scalar", 1, 1, 64, false, 0};
    way exact = plain;
    exact.exact = true;
    (void)state;
    for (int file = 0; file < TINY_FILES; file++) {
        check_prefix((tiny_file)file, &plain, &other);
        check_prefix((tiny_file)file, &plain, &scalar);
    }
    check_prefix(TINY_KEPT, &exact, &exact);
}

/* As a whole session it has no logits, and leaves the sampler as it is. */
static void test_a_prefix_is_a_session_without_a_sampler(void **state)
{
    uint32_t tokens[PREFIX];
    uint64_t expected = save_prefix(TINY_KEPT, &plain, tokens);
    talk t = start(TINY_KEPT, &plain);
    (void)state;
    load(&t, SAVED);
    assert_int_equal(edgellm_session_position(t.session), PREFIX);
    assert_true(rest_and_answer(&t) == expected);
    stop(&t);
}

static void check_refused(talk *t, edgellm_status got, const edgellm_error *err, const char *says)
{
    assert_int_equal(got, EDGELLM_ERR_USAGE);
    assert_contains(err->message, SAVED);
    assert_contains(err->message, says);
    save(t, BAD);
    assert_same_files(OTHER, BAD);
}

static void test_other_prefixes_are_refused(void **state)
{
    uint32_t tokens[PREFIX];
    edgellm_error err = {0};
    (void)state;
    save_prefix(TINY_KEPT, &plain, tokens);
    talk t = start(TINY_KEPT, &plain), u = start(TINY_BYTE_2, &plain);
    ask(&t, 9, 11);
    save(&t, OTHER);
    check_refused(&t, load_prefix(&t, tokens, PREFIX - 1, &err), &err, "another text");
    tokens[PREFIX - 1] ^= 1;
    check_refused(&t, load_prefix(&t, tokens, PREFIX, &err), &err, "another text");
    check_refused(&t, load_prefix(&t, NULL, 0, &err), &err, "another text");
    tokens[PREFIX - 1] ^= 1;
    edgellm_status got =
        edgellm_session_load_prefix(t.session, SAVED, tokens, PREFIX, "v 2", 3, &err);
    check_refused(&t, got, &err, "it is \"a note,\", not \"v 2\"");
    save(&u, OTHER);
    check_refused(&u, load_prefix(&u, tokens, PREFIX, &err), &err, "another model file");
    stop(&t);
    stop(&u);
}

static void test_a_prefix_is_no_longer_than_its_session(void **state)
{
    talk t = start(TINY_KEPT, &plain);
    edgellm_error err = {0};
    (void)state;
    ask(&t, 9, 11);
    assert_int_equal(edgellm_session_save_prefix(t.session, 12, SAVED, NULL, 0, &err),
                     EDGELLM_ERR_USAGE);
    assert_contains(err.message, "12 tokens cannot be saved: the session holds 11");
    must(edgellm_session_save_prefix(t.session, 0, SAVED, NULL, 0, &err), &err);
    must(edgellm_session_load_prefix(t.session, SAVED, NULL, 0, NULL, 0, &err), &err);
    assert_int_equal(edgellm_session_position(t.session), 0);
    stop(&t);
}

/* ---- what does not fit --------------------------------------------------------------------- */

static void check_refusal(tiny_file file, const way *w, edgellm_status wanted, const char *says)
{
    talk t = start(file, w);
    edgellm_error err = {0};
    ask(&t, 4, 10);
    save(&t, BAD);
    assert_int_equal(edgellm_session_load(t.session, SAVED, &err), wanted);
    assert_contains(err.message, SAVED);
    assert_contains(err.message, says);
    save(&t, OTHER);
    stop(&t);
    assert_same_files(BAD, OTHER);
}

static void test_sessions_that_do_not_fit_are_refused(void **state)
{
    way small = plain, exact = plain, narrow = plain;
    (void)state;
    narrow.kv_bits = 4;
    small.context = PROMPT + BEFORE - 1;
    exact.exact = true;
    save_in_the_middle(TINY_BYTE_3, &plain);
    check_refusal(TINY_BYTE_2, &plain, EDGELLM_ERR_USAGE, "another quantisation of this model");
    check_refusal(TINY_KEPT, &plain, EDGELLM_ERR_USAGE, "another model file");
    check_refusal(TINY_BYTE_3, &exact, EDGELLM_ERR_USAGE, "saved without exact mode");
    check_refusal(TINY_BYTE_3, &small, EDGELLM_ERR_CONTEXT, "ask for a context of 46");
    save_in_the_middle(TINY_BYTE_3, &exact);
    check_refusal(TINY_BYTE_3, &plain, EDGELLM_ERR_USAGE, "saved in exact mode");
    save_in_the_middle(TINY_BYTE_3, &narrow);
    check_refusal(TINY_BYTE_3, &plain, EDGELLM_ERR_USAGE, "of 4 bits and can only go on so");
    check_refusal(TINY_BYTE_3, &exact, EDGELLM_ERR_USAGE, "saved without exact mode");
}

static void test_other_files_are_refused(void **state)
{
    talk t = start(TINY_KEPT, &plain);
    edgellm_error err = {0};
    size_t len = 123;
    (void)state;
    assert_int_equal(edgellm_session_load(t.session, tiny_file_path(TINY_KEPT), &err),
                     EDGELLM_ERR_FORMAT);
    assert_contains(err.message, "not a session file");
    assert_int_equal(edgellm_session_load(t.session, EL_TEST_OUT "/nowhere.els", &err),
                     EDGELLM_ERR_IO);
    assert_int_equal(edgellm_session_note(EL_TEST_OUT, NULL, 0, &len, &err), EDGELLM_ERR_IO);
    assert_int_equal(len, 123);
    assert_int_equal(edgellm_session_save(t.session, EL_TEST_OUT, NULL, 0, &err), EDGELLM_ERR_IO);
    assert_int_equal(edgellm_session_save(t.session, EL_TEST_OUT "/nowhere/x", NULL, 0, &err),
                     EDGELLM_ERR_IO);
    stop(&t);
}

/* ---- damage -------------------------------------------------------------------------------- */

/* A small session file, and a session of the same model that must survive attempts to load bad
 * versions of it. */
typedef struct victim {
    talk t;
    el_bytes file;
} victim;

static victim set_up_victim(const way *w)
{
    victim v = {.t = start(TINY_KEPT, w)};
    ask(&v.t, 6, 3);
    save(&v.t, SAVED);
    assert_true(el_bytes_load(&v.file, SAVED));
    ask(&v.t, 7, 11);
    save(&v.t, OTHER);
    return v;
}

static void release_victim(victim *v)
{
    save(&v->t, BAD);
    assert_same_files(OTHER, BAD);
    assert_true(el_bytes_save(&v->file, SAVED));
    load(&v->t, SAVED);
    assert_int_equal(edgellm_session_position(v->t.session), 3);
    stop(&v->t);
    free(v->file.data);
}

static edgellm_status try_bytes(victim *v, const uint8_t *bytes, size_t size, edgellm_error *err)
{
    const el_bytes file = {(uint8_t *)(uintptr_t)bytes, size, size};
    assert_true(el_bytes_save(&file, BAD));
    return edgellm_session_load(v->t.session, BAD, err);
}

static void check_every_byte(const way *w)
{
    victim v = set_up_victim(w);
    for (size_t i = 0; i < v.file.size; i++) {
        const uint8_t bit = (uint8_t)(1u << i % 8);
        edgellm_error err = {0};
        v.file.data[i] ^= bit;
        if (try_bytes(&v, v.file.data, v.file.size, &err) == EDGELLM_OK)
            fail_msg("byte %zu changed, and nobody noticed", i);
        assert_contains(err.message, BAD);
        v.file.data[i] ^= bit;
    }
    release_victim(&v);
}

static void test_every_byte_counts(void **state)
{
    way exact = plain, narrow = plain;
    (void)state;
    exact.exact = true;
    narrow.kv_bits = 4;
    check_every_byte(&plain);
    check_every_byte(&narrow);
    check_every_byte(&exact);
}

static void test_every_length_but_the_right_one_is_refused(void **state)
{
    victim v = set_up_victim(&plain);
    uint8_t *longer = calloc(1, v.file.size + 64);
    (void)state;
    assert_non_null(longer);
    memcpy(longer, v.file.data, v.file.size);
    for (size_t size = 0; size < v.file.size + 64; size++) {
        if (size == v.file.size) continue;
        edgellm_error err = {0};
        assert_int_equal(try_bytes(&v, longer, size, &err), EDGELLM_ERR_FORMAT);
    }
    free(longer);
    release_victim(&v);
}

/* ---- lies with correct checksums ----------------------------------------------------------- */

static void seal(el_bytes *file)
{
    uint32_t crc = el_crc32(0, file->data + 128, file->size - 128);
    memcpy(file->data + 24, &crc, 4);
    crc = el_crc32(0, file->data, 124);
    memcpy(file->data + 124, &crc, 4);
}

typedef struct lie {
    size_t offset, size; /* of the field; size 1, 4 or 8 */
    uint64_t value;
    edgellm_status status;
    const char *says;
} lie;

static void check_lie(victim *v, const lie *l)
{
    uint8_t before[8];
    edgellm_error err = {0};
    memcpy(before, v->file.data + l->offset, l->size);
    memcpy(v->file.data + l->offset, &l->value, l->size);
    seal(&v->file);
    edgellm_status status = try_bytes(v, v->file.data, v->file.size, &err);
    if (status != l->status || !strstr(err.message, l->says))
        fail_msg("offset %zu: %d, \"%s\" instead of \"%s\"", l->offset, (int)status, err.message,
                 l->says);
    memcpy(v->file.data + l->offset, before, l->size);
    seal(&v->file);
}

/* A session of 3 positions in int8 mode of the tiny model: sampler at 128, and from there on as
 * the sizes say. */
static void test_lies_are_found_and_named(void **state)
{
    victim v = set_up_victim(&plain);
    uint64_t sampler, big = UINT64_MAX;
    (void)state;
    memcpy(&sampler, v.file.data + 64, sizeof sampler);
    const size_t tokens = (128 + sampler + 63) / 64 * 64, cache = tokens + 64, record = 40;
    const size_t logits = (cache + 3 * 4 * record + 63) / 64 * 64;
    const lie lies[] = {
        {8, 4, 2, EDGELLM_ERR_UNSUPPORTED, "sessions of this model have version 1, not 2"},
        {8, 4, 3, EDGELLM_ERR_UNSUPPORTED, "version 3, this program reads versions 1 and 2"},
        {12, 4, 9, EDGELLM_ERR_FORMAT, "offset 12, mode"},  /* exact, and 16 bits */
        {12, 4, 24, EDGELLM_ERR_FORMAT, "offset 12, mode"}, /* 16 bits and 4 */
        {12, 4, 32, EDGELLM_ERR_FORMAT, "offset 12, mode"},
        {12, 4, 8, EDGELLM_ERR_USAGE, "of 16 bits and can only go on so (--kv-bits 16)"},
        {12, 4, 4, EDGELLM_ERR_USAGE, "offset 104, adapters"},
        {12, 4, 2, EDGELLM_ERR_USAGE, "a context of more than 0 tokens"},
        {12, 4, 1, EDGELLM_ERR_USAGE, "saved in exact mode"},
        {16, 8, v.file.size + 1, EDGELLM_ERR_FORMAT, "offset 16, file size"},
        {16, 8, big, EDGELLM_ERR_FORMAT, "offset 16, file size"},
        {28, 1, v.file.data[28] ^ 1u, EDGELLM_ERR_USAGE, "offset 28, model"},
        {39, 1, v.file.data[39] ^ 1u, EDGELLM_ERR_USAGE, "offset 28, model"},
        {40, 4, 3, EDGELLM_ERR_FORMAT, "offset 40, layers"},
        {44, 4, UINT32_MAX, EDGELLM_ERR_FORMAT, "offset 44, kv_heads"},
        {48, 4, 0, EDGELLM_ERR_FORMAT, "offset 48, head_dim"},
        {52, 4, 301, EDGELLM_ERR_FORMAT, "offset 52, vocab"},
        {56, 4, 4, EDGELLM_ERR_FORMAT, "tokens: is not 4 bytes a position"},
        {56, 4, 97, EDGELLM_ERR_CONTEXT, "ask for a context of 97"},
        {56, 4, UINT32_MAX, EDGELLM_ERR_CONTEXT, "holds 4294967295 tokens"},
        {60, 1, 1, EDGELLM_ERR_FORMAT, "reserved bytes"},
        {64, 8, big, EDGELLM_ERR_FORMAT, "offset 64, sampler: runs past"},
        {64, 8, sampler + 1, EDGELLM_ERR_FORMAT, "sampler"},
        {64, 8, 0, EDGELLM_ERR_FORMAT, "padding before it"},
        {72, 8, 16, EDGELLM_ERR_FORMAT, "offset 72, tokens"},
        {72, 8, big - 63, EDGELLM_ERR_FORMAT, "offset 72, tokens: runs past"},
        {80, 8, 3 * 4 * 40 - 1, EDGELLM_ERR_FORMAT, ""},
        {80, 8, big / 2, EDGELLM_ERR_FORMAT, "offset 80, cache: runs past"},
        {88, 8, 4, EDGELLM_ERR_FORMAT, ""},
        {96, 8, sizeof note + 1, EDGELLM_ERR_FORMAT, "offset 96, note: runs past"},
        {96, 8, sizeof note - 1, EDGELLM_ERR_FORMAT, "the sections end at"},
        {104, 1, 1, EDGELLM_ERR_FORMAT, "offset 104, adapters"},
        {112, 1, 1, EDGELLM_ERR_FORMAT, "reserved bytes"},
        {123, 1, 128, EDGELLM_ERR_FORMAT, "reserved bytes"},
        {128, 4, 99, EDGELLM_ERR_FORMAT, "sampler, offset 128, options"},
        {132, 4, 0x7fc00000, EDGELLM_ERR_FORMAT, "sampler, offset 128, options"},
        {tokens - 1, 1, 1, EDGELLM_ERR_FORMAT, "padding before it"},
        {tokens + 8, 4, 300, EDGELLM_ERR_FORMAT, "token: is not in the vocabulary"},
        {tokens, 4, UINT32_MAX, EDGELLM_ERR_FORMAT, "token: is not in the vocabulary"},
        {cache, 1, 128, EDGELLM_ERR_FORMAT, "a code is -128"},
        {cache + 5 * record + 31, 1, 128, EDGELLM_ERR_FORMAT, "a code is -128"},
        {cache + 32, 4, 0x80000000, EDGELLM_ERR_FORMAT, "a scale is negative"},
        {cache + 36, 4, 0x7f800000, EDGELLM_ERR_FORMAT, "a scale is negative or not finite"},
        {cache + 11 * record + 36, 4, 0xffc00000, EDGELLM_ERR_FORMAT, "cache, offset"},
        {logits, 4, 0x7fc00000, EDGELLM_ERR_FORMAT, "logit: is not finite"},
        {logits + 299 * 4, 4, 0xff800000, EDGELLM_ERR_FORMAT, "logit: is not finite"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++)
        check_lie(&v, &lies[i]);
    release_victim(&v);
}

/* Sizes that add up to the file's, but are not those of the position. */
static void test_sections_are_held_to_the_position(void **state)
{
    victim v = set_up_victim(&plain);
    const size_t sizes[][2] = {{72, 0}, {80, 0}, {88, 0}};
    edgellm_error err = {0};
    (void)state;
    for (size_t i = 0; i < 3; i++) { /* the bytes of a section become the note's */
        el_bytes file = {0};
        uint64_t size, zero = 0;
        el_bytes_put(&file, v.file.data, 128);
        memcpy(&size, file.data + 64, sizeof size);
        el_bytes_put(&file, v.file.data + 128, size);
        for (size_t s = 0; s < 4; s++) {
            uint64_t bytes;
            memcpy(&bytes, v.file.data + 72 + 8 * s, sizeof bytes);
            el_bytes_align(&file, 64);
            if (72 + 8 * s == sizes[i][0])
                memcpy(file.data + 72 + 8 * s, &zero, sizeof zero);
            else
                for (uint64_t b = 0; b < bytes; b++)
                    el_bytes_put(&file, "\0", 1);
        }
        size = file.size;
        memcpy(file.data + 16, &size, sizeof size);
        seal(&file);
        edgellm_status status = try_bytes(&v, file.data, file.size, &err);
        free(file.data);
        if (sizes[i][0] == 88) continue; /* no logits: a sound file, of zeroes */
        assert_int_equal(status, EDGELLM_ERR_FORMAT);
        assert_contains(err.message, sizes[i][0] == 72 ? "offset 72" : "offset 80");
    }
    assert_int_equal(edgellm_session_position(v.t.session), 3);
    load(&v.t, OTHER);
    release_victim(&v);
}

/* Only a prefix has no sampler, and that has no logits. */
static void test_logits_need_a_sampler(void **state)
{
    victim v = set_up_victim(&plain);
    edgellm_error err = {0};
    uint64_t sampler, zero = 0;
    (void)state;
    memcpy(&sampler, v.file.data + 64, sizeof sampler);
    const size_t rest = (128 + sampler + 63) / 64 * 64;
    el_bytes file = {0};
    el_bytes_put(&file, v.file.data, 128);
    el_bytes_put(&file, v.file.data + rest, v.file.size - rest);
    memcpy(file.data + 64, &zero, sizeof zero);
    const uint64_t size = file.size;
    memcpy(file.data + 16, &size, sizeof size);
    seal(&file);
    assert_int_equal(try_bytes(&v, file.data, file.size, &err), EDGELLM_ERR_FORMAT);
    assert_contains(err.message, "offset 88, logits");
    free(file.data);
    release_victim(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_loaded_session_goes_on_with_the_same_bits),
        cmocka_unit_test(test_every_width_goes_on_too),
        cmocka_unit_test(test_exact_mode_goes_on_too),
        cmocka_unit_test(test_tokens_are_given_back),
        cmocka_unit_test(test_a_session_without_logits_can_be_saved),
        cmocka_unit_test(test_the_size_follows_the_position_not_the_context),
        cmocka_unit_test(test_the_note_comes_back),
        cmocka_unit_test(test_a_prefix_goes_on_with_the_same_bits),
        cmocka_unit_test(test_a_prefix_is_a_session_without_a_sampler),
        cmocka_unit_test(test_other_prefixes_are_refused),
        cmocka_unit_test(test_a_prefix_is_no_longer_than_its_session),
        cmocka_unit_test(test_sessions_that_do_not_fit_are_refused),
        cmocka_unit_test(test_other_files_are_refused),
        cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_every_length_but_the_right_one_is_refused),
        cmocka_unit_test(test_lies_are_found_and_named),
        cmocka_unit_test(test_sections_are_held_to_the_position),
        cmocka_unit_test(test_logits_need_a_sampler),
    };
    return cmocka_run_group_tests_name("session", tests, tiny_files_make, NULL);
}
