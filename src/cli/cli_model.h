/*
 * cli_model.h: what the commands that load a model share: option rows, opening, and turning text
 * from the command line, a file or standard input into tokens.
 */
#ifndef EL_CLI_CLI_MODEL_H
#define EL_CLI_CLI_MODEL_H

#include "cli/cli_options.h"

/* Embedded in a command's values under the name `model`. */
typedef struct el_cli_model_values {
    edgellm_engine_options engine;
    edgellm_session_options session;
    el_cli_texts lora; /* FILE or FILE=SCALE each */
} el_cli_model_values;

#define EL_CLI_LORA_ROW(type)                                                                      \
    {                                                                                              \
        .name = "lora", .kind = EL_CLI_ADAPTERS, .field = offsetof(type, model.lora),              \
        .argument = "FILE[=SCALE]",                                                                \
        .help = "an adapter, made by edgellm quantize --lora; again and again for more"            \
    }

#define EL_CLI_ENGINE_ROWS(type)                                                                   \
    {.name = "kernel",                                                                             \
     .kind = EL_CLI_TEXT,                                                                          \
     .field = offsetof(type, model.engine.kernel),                                                 \
     .argument = "NAME",                                                                           \
     .help = "kernels to use, as edgellm doctor lists them; the fastest if not given"},            \
        {.name = "cpumask",                                                                        \
         .kind = EL_CLI_TEXT,                                                                      \
         .field = offsetof(type, model.engine.cpumask),                                            \
         .argument = "LEVEL",                                                                      \
         .help = "highest instruction set that may be used, same names"},                          \
    {                                                                                              \
        .name = "verify", .kind = EL_CLI_ON, .field = offsetof(type, model.engine.verify),         \
        .help = "check the checksums of the weights before starting"                               \
    }

#define EL_CLI_SESSION_ROWS(type)                                                                  \
    {.name = "threads",                                                                            \
     .letter = 'j',                                                                                \
     .kind = EL_CLI_U32,                                                                           \
     .field = offsetof(type, model.session.threads),                                               \
     .argument = "N",                                                                              \
     .help = "threads; all allowed cores, at most 8, if not given",                                \
     .min = 1,                                                                                     \
     .max = 64},                                                                                   \
        {.name = "reserve-cores",                                                                  \
         .kind = EL_CLI_U32,                                                                       \
         .field = offsetof(type, model.session.reserve_cores),                                     \
         .argument = "N",                                                                          \
         .help = "leave N of the allowed cores to other programs",                                 \
         .max = 63},                                                                               \
        {.name = "batch",                                                                          \
         .letter = 'b',                                                                            \
         .kind = EL_CLI_U32,                                                                       \
         .field = offsetof(type, model.session.batch),                                             \
         .argument = "N",                                                                          \
         .initial = "64",                                                                          \
         .help = "prompt tokens computed together; never changes the result",                      \
         .min = 1,                                                                                 \
         .max = 512},                                                                              \
        {.name = "exact",                                                                          \
         .kind = EL_CLI_ON,                                                                        \
         .field = offsetof(type, model.session.exact),                                             \
         .help = "float32 activations and KV cache: the slow reference"},                          \
        {.name = "kv-bits",                                                                        \
         .kind = EL_CLI_U32,                                                                       \
         .field = offsetof(type, model.session.kv_bits),                                           \
         .argument = "BITS",                                                                       \
         .initial = "8",                                                                           \
         .help = "bits of the KV cache: 16, 8 or 4; changes the result",                           \
         .min = 4,                                                                                 \
         .max = 16},                                                                               \
        {.name = "constant-time",                                                                  \
         .kind = EL_CLI_ON,                                                                        \
         .field = offsetof(type, model.session.constant_time),                                     \
         .help = "every token takes the time of a full context; never changes the result"},        \
    {                                                                                              \
        .name = "max-ram", .kind = EL_CLI_SIZE, .field = offsetof(type, model.session.max_ram),    \
        .argument = "SIZE", .help = "refuse to start if the memory plan exceeds SIZE (64M, 1G)",   \
        .min = 1, .max = 9007199254740991.0                                                        \
    }

/* For commands that answer; what was got is told by cli_realtime.h. With --rt the weights are
 * copied too. */
#define EL_CLI_REALTIME_ROWS(type)                                                                 \
    {.name = "rt",                                                                                 \
     .kind = EL_CLI_ON,                                                                            \
     .field = offsetof(type, model.session.realtime),                                              \
     .help = "lock memory, pin threads, take the most even scheduling there is"},                  \
    {                                                                                              \
        .name = "copy", .kind = EL_CLI_ON, .field = offsetof(type, model.engine.copy),             \
        .help = "weights in its own memory, in huge pages: more even, often faster"                \
    }

/* For commands that lay messages out. */
#define EL_CLI_TEMPLATE_ROW(type)                                                                  \
    {                                                                                              \
        .name = "template", .kind = EL_CLI_TEXT, .field = offsetof(type, model.engine.chat_form),  \
        .argument = "NAME",                                                                        \
        .help = "chat as chatml, llama3, gemma, phi3, bitnet, zephyr, falcon3 or llama2"           \
    }

#define EL_CLI_CONTEXT_ROW(type, default_text, help_text)                                          \
    {                                                                                              \
        .name = "context", .letter = 'c', .kind = EL_CLI_U32,                                      \
        .field = offsetof(type, model.session.context), .argument = "N",                           \
        .initial = (default_text), .help = (help_text), .min = 1, .max = 16777216                  \
    }

/* Opens the engine, and a session if `session` is not NULL: close with el_cli_model_close(). */
typedef struct el_cli_model {
    edgellm_engine *engine;
    edgellm_session *session; /* NULL until el_cli_model_start() */
    edgellm_model_info info;
} el_cli_model;

edgellm_status el_cli_model_open(el_cli_model *model, const char *path,
                                 const edgellm_engine_options *options, edgellm_error *err);
/* The same with the adapters of values->lora, and with --rt a copy. Errors: also USAGE (a bad
 * scale, too many). */
edgellm_status el_cli_model_open_adapted(el_cli_model *model, const char *path,
                                         const el_cli_model_values *values, edgellm_error *err);
edgellm_status el_cli_model_start(el_cli_model *model, const edgellm_session_options *options,
                                  edgellm_error *err);
void el_cli_model_close(el_cli_model *model);

/* Bytes read whole; text is NUL-terminated after len bytes and owned: free(text). */
typedef struct el_cli_bytes {
    char *text;
    size_t len;
} el_cli_bytes;

/* Reads a file; "-" is standard input. Errors: IO, MEMORY, INTERRUPTED. */
edgellm_status el_cli_read(const char *path, el_cli_bytes *bytes, edgellm_error *err);

/* Token ids, owned: free(ids). */
typedef struct el_cli_tokens {
    uint32_t *ids;
    size_t count;
} el_cli_tokens;

edgellm_status el_cli_tokenize(const edgellm_engine *engine, const char *text, size_t len,
                               unsigned flags, el_cli_tokens *tokens, edgellm_error *err);

/* Messages laid out by the chat template: edgellm_chat_prompt(), with memory. Errors: as there. */
edgellm_status el_cli_lay_out(const edgellm_engine *engine, const edgellm_message *messages,
                              size_t n, unsigned flags, el_cli_tokens *tokens, edgellm_error *err);

/* The text of tokens, whole. Errors: USAGE, MEMORY. */
edgellm_status el_cli_detokenize(const edgellm_engine *engine, const uint32_t *ids, size_t count,
                                 bool special, el_cli_bytes *bytes, edgellm_error *err);

#endif
