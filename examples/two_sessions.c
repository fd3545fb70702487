/*
 * two_sessions.c: two conversations at once on one model.
 *
 *   two_sessions MODEL PROMPT PROMPT
 *
 * The engine is immutable and shared: its weights are in memory once. A session has one owner, here
 * a thread, and one thread of computing: two sessions of one thread each suit two cores. Neither
 * changes what the other says.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <edgellm.h>

enum { PROMPT_ROOM = 512, ANSWER_ROOM = 128 }; /* in tokens */

typedef struct conversation {
    const edgellm_engine *engine; /* shared, read only */
    const char *prompt;
    uint32_t tokens[ANSWER_ROOM];
    size_t count;
    edgellm_status status;
    edgellm_error err;
} conversation;

static edgellm_status prefill(const conversation *c, edgellm_session *session, edgellm_error *err)
{
    const edgellm_message message = {"user", c->prompt};
    uint32_t tokens[PROMPT_ROOM];
    size_t count = 0;
    edgellm_status status = edgellm_chat_prompt(c->engine, &message, 1, EDGELLM_CHAT_OPEN_ANSWER,
                                                tokens, PROMPT_ROOM, &count, err);
    if (status != EDGELLM_OK) return status;
    if (count > PROMPT_ROOM) {
        snprintf(err->message, sizeof err->message, "the prompt has %zu tokens, more than %d",
                 count, PROMPT_ROOM);
        return EDGELLM_ERR_CONTEXT;
    }
    return edgellm_session_eval(session, tokens, count, NULL, err);
}

static edgellm_status decode(conversation *c, edgellm_session *session, edgellm_error *err)
{
    edgellm_memory_plan plan;
    edgellm_status status = EDGELLM_OK;
    edgellm_session_plan(session, &plan);
    while (status == EDGELLM_OK) {
        uint32_t token = edgellm_session_sample(session);
        if (edgellm_is_end(c->engine, token)) break;
        c->tokens[c->count++] = token;
        if (c->count == ANSWER_ROOM || edgellm_session_position(session) == plan.context) break;
        status = edgellm_session_eval(session, &token, 1, NULL, err);
    }
    return status;
}

/* The life of one conversation, in a thread of its own. */
static void *converse(void *argument)
{
    conversation *c = argument;
    const edgellm_session_options options = {.threads = 1};
    edgellm_session *session = NULL;
    c->status = edgellm_session_open(c->engine, &options, &session, &c->err);
    if (c->status == EDGELLM_OK) c->status = prefill(c, session, &c->err);
    if (c->status == EDGELLM_OK) c->status = decode(c, session, &c->err);
    edgellm_session_close(session);
    return NULL;
}

/* Runs both and waits for both. Returns 0, or the errno value of what could not be started. */
static int run_both(conversation c[2])
{
    pthread_t threads[2];
    int error = 0, started = 0;
    while (started < 2 && error == 0) {
        error = pthread_create(&threads[started], NULL, converse, &c[started]);
        if (error == 0) started++;
    }
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    return error;
}

static edgellm_status print(conversation *c)
{
    size_t len = 0;
    if (c->status != EDGELLM_OK) return c->status;
    edgellm_status status =
        edgellm_detokenize(c->engine, c->tokens, c->count, false, NULL, 0, &len, &c->err);
    char *text = malloc(len + 1);
    if (!text) {
        snprintf(c->err.message, sizeof c->err.message, "no memory for the answer");
        return EDGELLM_ERR_MEMORY;
    }
    if (status == EDGELLM_OK)
        status =
            edgellm_detokenize(c->engine, c->tokens, c->count, false, text, len, &len, &c->err);
    text[len++] = '\n';
    if (status == EDGELLM_OK && (fwrite(text, 1, len, stdout) != len || fflush(stdout) != 0)) {
        snprintf(c->err.message, sizeof c->err.message, "cannot write the answer");
        status = EDGELLM_ERR_IO;
    }
    free(text);
    return status;
}

int main(int argc, char **argv)
{
    edgellm_engine *engine = NULL;
    edgellm_error err;
    if (argc != 4) {
        fprintf(stderr, "usage: two_sessions MODEL PROMPT PROMPT\n");
        return EDGELLM_ERR_USAGE;
    }
    edgellm_status status = edgellm_engine_open(argv[1], NULL, &engine, &err);
    if (status != EDGELLM_OK) {
        fprintf(stderr, "two_sessions: %s\n", err.message);
        return (int)status;
    }
    conversation c[2] = {{.engine = engine, .prompt = argv[2]},
                         {.engine = engine, .prompt = argv[3]}};
    int error = run_both(c);
    if (error != 0) {
        fprintf(stderr, "two_sessions: cannot start a thread: %s\n", strerror(error));
        status = EDGELLM_ERR_MEMORY;
    }
    for (int i = 0; i < 2 && status == EDGELLM_OK; i++) {
        status = print(&c[i]);
        if (status != EDGELLM_OK) fprintf(stderr, "two_sessions: %s\n", c[i].err.message);
    }
    edgellm_engine_close(engine); /* after its last session */
    return (int)status;
}
