/*
 * own_memory.c: a session in memory that the program has set aside itself.
 *
 *   own_memory MODEL PROMPT
 *
 * For systems where memory is given out once, at the start: the plan says how many bytes a session
 * needs, the program provides them, and from then on neither it nor the library allocates anything
 * on the way from token to token. Here they are a static buffer, which costs nothing until it is
 * touched; a huge page or a region that is locked already does as well.
 */
#define _DEFAULT_SOURCE /* mlock() */

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <edgellm.h>

enum { PROMPT_ROOM = 512, ANSWER_ROOM = 128 }; /* in tokens */

#define MEMORY_ROOM ((size_t)64 << 20)

static _Alignas(EDGELLM_MEMORY_ALIGN) unsigned char memory[MEMORY_ROOM];
static uint32_t prompt[PROMPT_ROOM];

/* Says what a session of these options takes, and gives it that. */
static edgellm_status provide(const char *model, edgellm_session_options *options,
                              edgellm_error *err)
{
    edgellm_memory_plan plan;
    edgellm_status status = edgellm_plan(model, options, &plan, err);
    if (status != EDGELLM_OK) return status;
    fprintf(stderr, "session: %llu bytes of %zu (KV cache %llu, scratch %llu); weights: %llu\n",
            (unsigned long long)plan.session_bytes, sizeof memory,
            (unsigned long long)plan.kv_cache, (unsigned long long)plan.scratch,
            (unsigned long long)plan.weights);
    /* The library does not lock memory that is not its own. Unlocked, it may be swapped out. */
    if (plan.session_bytes <= sizeof memory && mlock(memory, (size_t)plan.session_bytes) != 0)
        fprintf(stderr, "the memory is not locked: see `ulimit -l`\n");
    options->memory = memory;
    options->memory_bytes = sizeof memory; /* too few: edgellm_session_open() says how many */
    return EDGELLM_OK;
}

static edgellm_status prefill(const edgellm_engine *engine, edgellm_session *session,
                              const char *text, edgellm_error *err)
{
    const edgellm_message message = {"user", text};
    size_t count = 0;
    edgellm_status status = edgellm_chat_prompt(engine, &message, 1, EDGELLM_CHAT_OPEN_ANSWER,
                                                prompt, PROMPT_ROOM, &count, err);
    if (status != EDGELLM_OK) return status;
    if (count > PROMPT_ROOM) {
        snprintf(err->message, sizeof err->message, "the prompt has %zu tokens, more than %d",
                 count, PROMPT_ROOM);
        return EDGELLM_ERR_CONTEXT;
    }
    return edgellm_session_eval(session, prompt, count, NULL, err);
}

static edgellm_status print(const char *text, size_t len, edgellm_error *err)
{
    if (fwrite(text, 1, len, stdout) == len && fflush(stdout) == 0) return EDGELLM_OK;
    snprintf(err->message, sizeof err->message, "cannot write the answer");
    return EDGELLM_ERR_IO;
}

/* The token path: nothing in here allocates. */
static edgellm_status decode(const edgellm_engine *engine, edgellm_session *session,
                             edgellm_error *err)
{
    edgellm_stream stream = {{0}, 0};
    char text[EDGELLM_STREAM_BYTES];
    edgellm_memory_plan plan;
    edgellm_status status = EDGELLM_OK;
    edgellm_session_plan(session, &plan);
    for (int made = 1; status == EDGELLM_OK; made++) {
        uint32_t token = edgellm_session_sample(session);
        if (edgellm_is_end(engine, token)) break;
        size_t ready = edgellm_stream_push(engine, &stream, token, text);
        status = print(text, ready, err);
        if (made == ANSWER_ROOM || edgellm_session_position(session) == plan.context) break;
        if (status == EDGELLM_OK) status = edgellm_session_eval(session, &token, 1, NULL, err);
    }
    if (status != EDGELLM_OK) return status;
    size_t len = edgellm_stream_flush(&stream, text);
    text[len++] = '\n';
    return print(text, len, err);
}

int main(int argc, char **argv)
{
    static char output[BUFSIZ];
    edgellm_session_options options = {.threads = 1}; /* no thread is started */
    edgellm_engine *engine = NULL;
    edgellm_session *session = NULL;
    edgellm_error err;
    if (argc != 3) {
        fprintf(stderr, "usage: own_memory MODEL PROMPT\n");
        return EDGELLM_ERR_USAGE;
    }
    setvbuf(stdout, output, _IOFBF, sizeof output); /* else the first print would allocate one */
    edgellm_status status = provide(argv[1], &options, &err);
    if (status == EDGELLM_OK) status = edgellm_engine_open(argv[1], NULL, &engine, &err);
    if (status == EDGELLM_OK) status = edgellm_session_open(engine, &options, &session, &err);
    if (status == EDGELLM_OK) status = prefill(engine, session, argv[2], &err);
    if (status == EDGELLM_OK) status = decode(engine, session, &err);
    if (status != EDGELLM_OK) fprintf(stderr, "own_memory: %s\n", err.message);
    edgellm_session_close(session); /* the memory is ours again */
    edgellm_engine_close(engine);
    return (int)status;
}
