/*
 * minimal.c: one prompt, one answer.
 *
 *   minimal MODEL PROMPT
 *
 * The engine is the model file, the session is the conversation. Every call that can fail returns
 * a status and fills in one line that says what was wrong; the statuses are fit for exit codes.
 * The sampler is left at its defaults, so the answer is the same on every run and every machine.
 */
#include <stdio.h>
#include <stdlib.h>

#include <edgellm.h>

enum { PROMPT_ROOM = 512, ANSWER_ROOM = 128 }; /* in tokens */

static edgellm_status print(const edgellm_engine *engine, const uint32_t *tokens, size_t count,
                            edgellm_error *err)
{
    size_t len = 0;
    edgellm_status status = edgellm_detokenize(engine, tokens, count, false, NULL, 0, &len, err);
    if (status != EDGELLM_OK) return status;
    char *text = malloc(len + 1);
    if (!text) {
        snprintf(err->message, sizeof err->message, "no memory for the answer");
        return EDGELLM_ERR_MEMORY;
    }
    status = edgellm_detokenize(engine, tokens, count, false, text, len, &len, err);
    text[len++] = '\n';
    if (status == EDGELLM_OK && (fwrite(text, 1, len, stdout) != len || fflush(stdout) != 0)) {
        snprintf(err->message, sizeof err->message, "cannot write the answer");
        status = EDGELLM_ERR_IO;
    }
    free(text);
    return status;
}

static edgellm_status answer(const edgellm_engine *engine, edgellm_session *session,
                             const char *text, edgellm_error *err)
{
    const edgellm_message message = {"user", text};
    uint32_t prompt[PROMPT_ROOM], tokens[ANSWER_ROOM];
    edgellm_memory_plan plan;
    size_t count = 0, made = 0;
    edgellm_status status = edgellm_chat_prompt(engine, &message, 1, EDGELLM_CHAT_OPEN_ANSWER,
                                                prompt, PROMPT_ROOM, &count, err);
    if (status != EDGELLM_OK) return status;
    if (count > PROMPT_ROOM) {
        snprintf(err->message, sizeof err->message, "the prompt has %zu tokens, more than %d",
                 count, PROMPT_ROOM);
        return EDGELLM_ERR_CONTEXT;
    }
    edgellm_session_plan(session, &plan);
    status = edgellm_session_eval(session, prompt, count, NULL, err);
    while (status == EDGELLM_OK) {
        uint32_t token = edgellm_session_sample(session);
        if (edgellm_is_end(engine, token)) break;
        tokens[made++] = token;
        if (made == ANSWER_ROOM || edgellm_session_position(session) == plan.context) break;
        status = edgellm_session_eval(session, &token, 1, NULL, err);
    }
    return status == EDGELLM_OK ? print(engine, tokens, made, err) : status;
}

int main(int argc, char **argv)
{
    edgellm_engine *engine = NULL;
    edgellm_session *session = NULL;
    edgellm_error err;
    if (argc != 3) {
        fprintf(stderr, "usage: minimal MODEL PROMPT\n");
        return EDGELLM_ERR_USAGE;
    }
    edgellm_status status = edgellm_engine_open(argv[1], NULL, &engine, &err);
    if (status == EDGELLM_OK) status = edgellm_session_open(engine, NULL, &session, &err);
    if (status == EDGELLM_OK) status = answer(engine, session, argv[2], &err);
    if (status != EDGELLM_OK) fprintf(stderr, "minimal: %s\n", err.message);
    edgellm_session_close(session); /* NULL is allowed */
    edgellm_engine_close(engine);
    return (int)status;
}
