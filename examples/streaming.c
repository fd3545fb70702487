/*
 * streaming.c: the answer as it is made, with the time that each token took.
 *
 *   streaming MODEL PROMPT [SEED]
 *
 * A token need not end where a character does: an edgellm_stream holds the bytes of an unfinished
 * UTF-8 character back until the next token completes it. The times go to standard error.
 */
#define _POSIX_C_SOURCE 200809L /* clock_gettime() */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <edgellm.h>

enum { PROMPT_ROOM = 512, ANSWER_ROOM = 128 }; /* in tokens */

typedef struct timing {
    double prompt_ms;        /* the whole prompt */
    double sum_ms, worst_ms; /* of the tokens after the first */
    uint32_t prompt, answer; /* number of tokens */
} timing;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static edgellm_status print(const char *text, size_t len, edgellm_error *err)
{
    if (fwrite(text, 1, len, stdout) == len && fflush(stdout) == 0) return EDGELLM_OK;
    snprintf(err->message, sizeof err->message, "cannot write the answer");
    return EDGELLM_ERR_IO;
}

/* Reads the prompt: what a user waits for before the first token. */
static edgellm_status prefill(const edgellm_engine *engine, edgellm_session *session,
                              const char *text, timing *t, edgellm_error *err)
{
    const edgellm_message messages[] = {{"user", text}}; /* {"system", "..."} may come before */
    uint32_t tokens[PROMPT_ROOM];
    size_t count = 0;
    edgellm_status status = edgellm_chat_prompt(engine, messages, 1, EDGELLM_CHAT_OPEN_ANSWER,
                                                tokens, PROMPT_ROOM, &count, err);
    if (status != EDGELLM_OK) return status;
    if (count > PROMPT_ROOM) {
        snprintf(err->message, sizeof err->message, "the prompt has %zu tokens, more than %d",
                 count, PROMPT_ROOM);
        return EDGELLM_ERR_CONTEXT;
    }
    double start = now_ms();
    status = edgellm_session_eval(session, tokens, count, NULL, err);
    t->prompt_ms = now_ms() - start;
    t->prompt = (uint32_t)count;
    return status;
}

/* One token a turn: choose it, print what it completes, compute what follows it. */
static edgellm_status decode(const edgellm_engine *engine, edgellm_session *session, timing *t,
                             edgellm_error *err)
{
    edgellm_stream stream = {{0}, 0};
    char text[EDGELLM_STREAM_BYTES];
    edgellm_memory_plan plan;
    edgellm_status status = EDGELLM_OK;
    edgellm_session_plan(session, &plan);
    while (status == EDGELLM_OK) {
        double start = now_ms();
        uint32_t token = edgellm_session_sample(session);
        if (edgellm_is_end(engine, token)) break;
        t->answer++;
        size_t ready = edgellm_stream_push(engine, &stream, token, text);
        status = print(text, ready, err);
        if (t->answer == ANSWER_ROOM || edgellm_session_position(session) == plan.context) break;
        if (status == EDGELLM_OK) status = edgellm_session_eval(session, &token, 1, NULL, err);
        double ms = now_ms() - start;
        t->sum_ms += ms;
        if (ms > t->worst_ms) t->worst_ms = ms;
    }
    if (status != EDGELLM_OK) return status;
    size_t len = edgellm_stream_flush(&stream, text); /* an unfinished character at the end */
    text[len++] = '\n';
    return print(text, len, err);
}

static edgellm_status answer(const edgellm_engine *engine, edgellm_session *session,
                             const char *prompt, uint64_t seed, edgellm_error *err)
{
    edgellm_sampler_options sampler = edgellm_sampler_defaults();
    timing t = {0};
    sampler.seed = seed;
    edgellm_status status = edgellm_session_set_sampler(session, &sampler, err);
    if (status == EDGELLM_OK) status = prefill(engine, session, prompt, &t, err);
    if (status == EDGELLM_OK) status = decode(engine, session, &t, err);
    if (status != EDGELLM_OK) return status;
    fprintf(stderr, "prompt: %u tokens in %.1f ms; answer: %u tokens", t.prompt, t.prompt_ms,
            t.answer);
    if (t.answer > 1)
        fprintf(stderr, ", %.2f ms each, at most %.2f ms", t.sum_ms / (t.answer - 1), t.worst_ms);
    fprintf(stderr, "\n");
    return EDGELLM_OK;
}

int main(int argc, char **argv)
{
    edgellm_engine *engine = NULL;
    edgellm_session *session = NULL;
    edgellm_error err;
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: streaming MODEL PROMPT [SEED]\n");
        return EDGELLM_ERR_USAGE;
    }
    uint64_t seed = argc == 4 ? strtoull(argv[3], NULL, 10) : 0;
    edgellm_status status = edgellm_engine_open(argv[1], NULL, &engine, &err);
    if (status == EDGELLM_OK) status = edgellm_session_open(engine, NULL, &session, &err);
    if (status == EDGELLM_OK) status = answer(engine, session, argv[2], seed, &err);
    if (status != EDGELLM_OK) fprintf(stderr, "streaming: %s\n", err.message);
    edgellm_session_close(session);
    edgellm_engine_close(engine);
    return (int)status;
}
