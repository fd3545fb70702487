/*
 * fuzz_session.c: any bytes as a session file (docs/SESSION.md). What loads must save to the same
 * bytes and go on with the same bits on every kernel; what does not load must leave the session as
 * it was.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/session_model.h"
#include "support/tiny_model.h"

enum { SHORT = 8, LONG = 32, SESSIONS = 4, BEFORE = 3, NEXT = 7 };

static const uint32_t before[BEFORE] = {40, 41, 5};

/* Made at the first call and kept: every input finds them as reset() leaves them. */
typedef struct bench {
    edgellm_session *session[SESSIONS];
    uint64_t before[SESSIONS], after[SESSIONS]; /* hashes: after `before`, and NEXT after that */
    uint32_t vocab;
} bench;

/* ---- the sessions ---------------------------------------------------------------------- */

static uint64_t hash_of(const edgellm_session *s, uint32_t vocab)
{
    return edgellm_hash_logits(EDGELLM_HASH_START, edgellm_session_logits(s), vocab);
}

static void reset(edgellm_session *s)
{
    edgellm_error err = {0};
    const edgellm_sampler_options sampler = edgellm_sampler_defaults();
    FUZZ_CHECK(edgellm_session_truncate(s, 0, &err) == EDGELLM_OK);
    FUZZ_CHECK(edgellm_session_set_sampler(s, &sampler, &err) == EDGELLM_OK);
    FUZZ_CHECK(edgellm_session_eval(s, before, BEFORE, NULL, &err) == EDGELLM_OK);
}

static void start(bench *b, int index, const edgellm_engine *engine, uint32_t context, bool exact)
{
    const edgellm_session_options options = {
        .context = context, .batch = 4, .threads = 1, .exact = exact};
    edgellm_error err = {0};
    edgellm_session **s = &b->session[index];
    FUZZ_CHECK(edgellm_session_open(engine, &options, s, &err) == EDGELLM_OK);
    reset(*s);
    b->before[index] = hash_of(*s, b->vocab);
    FUZZ_CHECK(edgellm_session_eval(*s, &(uint32_t){NEXT}, 1, NULL, &err) == EDGELLM_OK);
    b->after[index] = hash_of(*s, b->vocab);
    reset(*s);
}

static bench *the_bench(void)
{
    static bench only;
    if (only.vocab > 0) return &only;
    const edgellm_engine *fast = fuzz_session_engine(NULL), *scalar = fuzz_session_engine("scalar");
    edgellm_model_info info;
    edgellm_engine_info(fast, &info);
    only.vocab = info.vocab;
    start(&only, 0, fast, LONG, false);
    start(&only, 1, scalar, LONG, false);
    start(&only, 2, fast, SHORT, false);
    start(&only, 3, fast, LONG, true);
    return &only;
}

/* ---- after a load that failed ---------------------------------------------------------- */

static void eval_one(edgellm_session *s, uint32_t token)
{
    edgellm_error err = {0};
    FUZZ_CHECK(edgellm_session_eval(s, &token, 1, NULL, &err) == EDGELLM_OK);
}

/* The cache shows in what comes next; looked at in one session, since it takes time. */
static void check_untouched(const bench *b, int index)
{
    edgellm_session *s = b->session[index];
    edgellm_error err = {0};
    FUZZ_CHECK(edgellm_session_position(s) == BEFORE);
    FUZZ_CHECK(memcmp(edgellm_session_tokens(s), before, sizeof before) == 0);
    FUZZ_CHECK(hash_of(s, b->vocab) == b->before[index]);
    if (index > 0) return;
    eval_one(s, NEXT);
    FUZZ_CHECK(hash_of(s, b->vocab) == b->after[index]);
    FUZZ_CHECK(edgellm_session_truncate(s, BEFORE - 1, &err) == EDGELLM_OK);
    eval_one(s, before[BEFORE - 1]);
}

/* ---- after a load that worked ---------------------------------------------------------- */

/* The note of the file; allocated. */
static uint8_t *read_note(const char *path, size_t size, size_t *len)
{
    edgellm_error err = {0};
    FUZZ_CHECK(edgellm_session_note(path, NULL, 0, len, &err) == EDGELLM_OK);
    FUZZ_CHECK(*len < size);
    uint8_t *note = fuzz_room(*len);
    FUZZ_CHECK(edgellm_session_note(path, note, *len, len, &err) == EDGELLM_OK);
    return note;
}

/* Saved again it is the same file. */
static void check_saved(const edgellm_session *s, const char *path, const uint8_t *data,
                        size_t size)
{
    char folder[FUZZ_FOLDER_BYTES], again[FUZZ_FOLDER_BYTES + 16];
    size_t len;
    uint8_t *note = read_note(path, size, &len);
    el_bytes bytes;
    edgellm_error err = {0};
    fuzz_folder(folder);
    snprintf(again, sizeof again, "%s/session", folder);
    const bool prefix = size > 72 && memcmp(data + 64, "\0\0\0\0\0\0\0", 8) == 0; /* no sampler */
    edgellm_status status =
        prefix ? edgellm_session_save_prefix(s, edgellm_session_position(s), again, note, len, &err)
               : edgellm_session_save(s, again, note, len, &err);
    FUZZ_CHECK(fuzz_status(status, &err));
    FUZZ_CHECK(el_bytes_load(&bytes, again));
    FUZZ_CHECK(bytes.size == size && memcmp(bytes.data, data, size) == 0);
    FUZZ_CHECK(unlink(again) == 0 && fuzz_folder_is_empty(folder) && rmdir(folder) == 0);
    free(bytes.data);
    free(note);
}

typedef struct going_on {
    edgellm_status status;
    uint64_t hash;
    uint32_t drawn;
} going_on;

/* A cache that was made up may well overflow the logits: then that is said. */
static going_on go_on(const bench *b, int index)
{
    edgellm_session *s = b->session[index];
    edgellm_error err = {0};
    going_on g = {.status = edgellm_session_eval(s, &(uint32_t){NEXT}, 1, NULL, &err)};
    if (!fuzz_status(g.status, &err)) {
        FUZZ_CHECK(g.status == EDGELLM_ERR_FORMAT || g.status == EDGELLM_ERR_CONTEXT);
        return g;
    }
    g.hash = hash_of(s, b->vocab);
    g.drawn = edgellm_session_sample(s);
    FUZZ_CHECK(g.drawn < b->vocab);
    return g;
}

static void check_loaded(const bench *b, int index, const char *path, const uint8_t *data,
                         size_t size)
{
    const edgellm_session *s = b->session[index];
    const uint32_t position = edgellm_session_position(s);
    FUZZ_CHECK(position <= LONG);
    for (uint32_t i = 0; i < position; i++)
        FUZZ_CHECK(edgellm_session_tokens(s)[i] < b->vocab);
    check_saved(s, path, data, size);
}

/* ---- all of it ------------------------------------------------------------------------- */

static edgellm_status load(const bench *b, int index, const char *path)
{
    edgellm_error err = {0};
    edgellm_status status = edgellm_session_load(b->session[index], path, &err);
    fuzz_status(status, &err);
    if (status != EDGELLM_OK) check_untouched(b, index);
    return status;
}

/* The note can be read from whatever is whole, for any session. */
static void check_note(const char *path, bool loaded)
{
    uint8_t note[4];
    size_t len = SIZE_MAX;
    edgellm_error err = {0};
    bool read = fuzz_status(edgellm_session_note(path, note, sizeof note, &len, &err), &err);
    FUZZ_CHECK(read || (len == SIZE_MAX && !loaded));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const bench *b = the_bench();
    fuzz_file file = fuzz_file_open(data, size);
    edgellm_status status[SESSIONS];
    bool loaded = false;
    for (int i = 0; i < SESSIONS; i++) {
        status[i] = load(b, i, file.path);
        if (status[i] != EDGELLM_OK) continue;
        if (!loaded) check_loaded(b, i, file.path, data, size);
        loaded = true;
    }
    check_note(file.path, loaded);
    FUZZ_CHECK(status[1] == status[0]);
    FUZZ_CHECK(status[2] == status[0] || status[2] == EDGELLM_ERR_CONTEXT);
    FUZZ_CHECK(status[0] != EDGELLM_OK ||
               status[3] == EDGELLM_ERR_USAGE); /* one mode or the other */
    if (status[0] == EDGELLM_OK) {
        going_on fast = go_on(b, 0), scalar = go_on(b, 1);
        FUZZ_CHECK(fast.status == scalar.status && fast.hash == scalar.hash);
        FUZZ_CHECK(fast.drawn == scalar.drawn);
    }
    if (status[3] == EDGELLM_OK) go_on(b, 3);
    for (int i = 0; i < SESSIONS; i++)
        if (status[i] == EDGELLM_OK) reset(b->session[i]);
    fuzz_file_close(&file);
    return 0;
}
