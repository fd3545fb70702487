/* fuzz_model.c: see fuzz_model.h. */
#include "fuzz/fuzz_model.h"

#include <stdlib.h>
#include <string.h>

enum { CONTEXT = 8, BATCH = 3, TOKENS = 5, MOST_TEXT = 64 };

#define MOST_MEMORY ((uint64_t)64 << 20) /* beyond the file and the program; inputs are small */

/* ---- what the file says ---------------------------------------------------------------- */

static void check_info(const edgellm_engine *engine, edgellm_model_info *info)
{
    edgellm_engine_info(engine, info);
    FUZZ_CHECK(info->architecture[0] && info->kernel[0] && info->pretokenizer[0]);
    FUZZ_CHECK(info->name && info->manifest);
    FUZZ_CHECK(info->layers > 0 && info->dim > 0 && info->ffn_dim > 0 && info->vocab > 0);
    FUZZ_CHECK(info->kv_heads > 0 && info->heads % info->kv_heads == 0);
    FUZZ_CHECK(info->head_dim > 0 && info->context_trained > 0 && info->parameters > 0);
}

static void check_tensors(const edgellm_engine *engine, const edgellm_model_info *info)
{
    uint64_t parameters = 0;
    for (uint32_t i = 0; i < info->tensors; i++) {
        edgellm_tensor_info t;
        edgellm_error err = {0};
        FUZZ_CHECK(fuzz_status(edgellm_engine_tensor(engine, i, &t, &err), &err));
        FUZZ_CHECK(t.name[0] && t.codec[0] && t.scales[0] && t.rotation[0] && t.rows > 0 &&
                   t.cols > 0);
        FUZZ_CHECK(t.bytes > 0 && t.bytes < info->file_bytes);
        parameters += (uint64_t)t.rows * t.cols;
    }
    FUZZ_CHECK(parameters == info->parameters);
    edgellm_tensor_info untouched, before;
    memset(&untouched, 0x5a, sizeof untouched);
    before = untouched;
    edgellm_error err = {0};
    FUZZ_CHECK(!fuzz_status(edgellm_engine_tensor(engine, info->tensors, &untouched, &err), &err));
    FUZZ_CHECK(memcmp(&untouched, &before, sizeof before) == 0);
}

static void check_plan(const char *path, const edgellm_session_options *options)
{
    edgellm_memory_plan p;
    edgellm_error err = {0};
    FUZZ_CHECK(fuzz_status(edgellm_plan(path, options, &p, &err), &err));
    FUZZ_CHECK(p.total == p.weights + p.tables + p.kv_cache + p.scratch + p.threads + p.program);
    FUZZ_CHECK(p.tables + p.kv_cache + p.scratch < MOST_MEMORY);
    FUZZ_CHECK(p.context == options->context && p.batch == options->batch && p.n_threads == 1);
}

/* ---- text ------------------------------------------------------------------------------ */

/* All bytes, kept: what comes back is what went in. */
static void check_text(const edgellm_engine *engine)
{
    static const char text[] = "Hello <|im_end|>\xff the the 12\n";
    uint32_t tokens[MOST_TEXT];
    char back[MOST_TEXT], streamed[EDGELLM_STREAM_BYTES];
    size_t count = 0, len = 0;
    edgellm_error err = {0};
    edgellm_stream stream = {{0}, 0};
    FUZZ_CHECK(fuzz_status(edgellm_tokenize(engine, text, sizeof text, EDGELLM_TOKENIZE_KEEP_BYTES,
                                            tokens, MOST_TEXT, &count, &err),
                           &err));
    FUZZ_CHECK(count > 0 && count <= sizeof text);
    FUZZ_CHECK(fuzz_status(
        edgellm_detokenize(engine, tokens, count, true, back, MOST_TEXT, &len, &err), &err));
    FUZZ_CHECK(len == sizeof text && memcmp(back, text, len) == 0);
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(edgellm_stream_push(engine, &stream, tokens[i], streamed) <= sizeof streamed);
        (void)edgellm_is_end(engine, tokens[i]);
    }
    FUZZ_CHECK(edgellm_stream_flush(&stream, streamed) <= sizeof stream.pending);
}

static void check_chat(const edgellm_engine *engine, const edgellm_model_info *info)
{
    static const edgellm_message talk[] = {{"user", "Hello"}, {"assistant", "the"}};
    uint32_t token;
    size_t count = 0;
    edgellm_error err = {0};
    edgellm_status status =
        edgellm_chat_prompt(engine, talk, 2, EDGELLM_CHAT_OPEN_ANSWER, &token, 1, &count, &err);
    FUZZ_CHECK(fuzz_status(status, &err) == info->has_chat_template);
    FUZZ_CHECK(!info->has_chat_template || (count >= 3 && token < info->vocab));
}

/* ---- numbers --------------------------------------------------------------------------- */

typedef struct outcome {
    edgellm_status status;
    uint64_t hash; /* of the logits after every token */
} outcome;

/* At once, with all logits. */
static outcome eval_together(edgellm_session *session, const uint32_t *tokens, uint32_t vocab)
{
    float *logits = fuzz_room((size_t)TOKENS * vocab * sizeof *logits);
    edgellm_error err = {0};
    outcome o = {.hash = EDGELLM_HASH_START};
    o.status = edgellm_session_eval(session, tokens, TOKENS, logits, &err);
    fuzz_status(o.status, &err);
    for (uint32_t i = 0; i < TOKENS; i++)
        o.hash = edgellm_hash_logits(o.hash, logits + (size_t)i * vocab, vocab);
    FUZZ_CHECK(edgellm_session_position(session) == (o.status == EDGELLM_OK ? TOKENS : 0));
    free(logits);
    return o;
}

static outcome eval_apart(edgellm_session *session, const uint32_t *tokens, uint32_t vocab)
{
    outcome o = {.hash = EDGELLM_HASH_START};
    for (uint32_t i = 0; i < TOKENS && o.status == EDGELLM_OK; i++) {
        edgellm_error err = {0};
        o.status = edgellm_session_eval(session, tokens + i, 1, NULL, &err);
        if (!fuzz_status(o.status, &err)) break;
        o.hash = edgellm_hash_logits(o.hash, edgellm_session_logits(session), vocab);
        FUZZ_CHECK(edgellm_session_sample(session) < vocab);
    }
    return o;
}

static outcome compute(const edgellm_engine *engine, const edgellm_session_options *options,
                       uint32_t vocab)
{
    edgellm_session *session = NULL;
    edgellm_error err = {0};
    uint32_t tokens[TOKENS];
    for (uint32_t i = 0; i < TOKENS; i++)
        tokens[i] = (i * i * 7 + 3) % vocab;
    FUZZ_CHECK(fuzz_status(edgellm_session_open(engine, options, &session, &err), &err));
    outcome together = eval_together(session, tokens, vocab);
    FUZZ_CHECK(edgellm_session_truncate(session, 0, &err) == EDGELLM_OK);
    outcome apart = eval_apart(session, tokens, vocab);
    FUZZ_CHECK(apart.status == together.status);
    if (together.status == EDGELLM_OK) {
        FUZZ_CHECK(apart.hash == together.hash);
        FUZZ_CHECK(edgellm_session_eval(session, tokens, CONTEXT, NULL, &err) ==
                   EDGELLM_ERR_CONTEXT);
    }
    edgellm_session_close(session);
    return together;
}

/* ---- all of it ------------------------------------------------------------------------- */

static bool open_engine(const char *path, const char *kernel, bool verify, edgellm_engine **engine)
{
    edgellm_engine_options options = {.kernel = kernel, .verify = verify};
    edgellm_error err = {0};
    *engine = NULL;
    bool opened = fuzz_status(edgellm_engine_open(path, &options, engine, &err), &err);
    FUZZ_CHECK(opened == (*engine != NULL));
    return opened;
}

/* The first level's outcome is everybody's. */
static void check_levels(const char *path, const edgellm_session_options *options, uint32_t vocab)
{
    outcome first = {0};
    const char *kernel;
    for (uint32_t level = 0; (kernel = edgellm_kernel_name(level)) != NULL; level++) {
        edgellm_engine *engine;
        FUZZ_CHECK(open_engine(path, kernel, false, &engine));
        outcome o = compute(engine, options, vocab);
        edgellm_engine_close(engine);
        if (level == 0) first = o;
        FUZZ_CHECK(o.status == first.status && o.hash == first.hash);
    }
}

bool fuzz_model(const char *path, bool verify)
{
    edgellm_engine *engine;
    edgellm_model_info info;
    if (!open_engine(path, NULL, verify, &engine)) return false;
    check_info(engine, &info);
    check_tensors(engine, &info);
    check_text(engine);
    check_chat(engine, &info);
    edgellm_session_options options = {.context = CONTEXT, .batch = BATCH, .threads = 1};
    if (info.context_trained >= CONTEXT) {
        check_plan(path, &options);
        check_levels(path, &options, info.vocab);
        options.exact = true;
        compute(engine, &options, info.vocab);
    }
    edgellm_engine_close(engine);
    return true;
}
