/*
 * cli_answer.h: the token loop, for every command that lets a model speak: prompt, then token by
 * token to standard output, timed. What the loop needs is reserved before it starts: inside it only
 * the answer is written.
 */
#ifndef EL_CLI_CLI_ANSWER_H
#define EL_CLI_CLI_ANSWER_H

#include <jansson.h>

#include "cli/cli_certificate.h"
#include "cli/cli_climate.h"
#include "cli/cli_model.h"

typedef enum el_cli_finish {
    EL_CLI_FINISH_LENGTH,      /* max_tokens were made */
    EL_CLI_FINISH_END,         /* the model ended its answer */
    EL_CLI_FINISH_CONTEXT,     /* the context is full */
    EL_CLI_FINISH_INTERRUPTED, /* Ctrl-C, or another signal */
    EL_CLI_FINISH_DEADLINE,    /* another token might have been late */
    EL_CLI_FINISHES
} el_cli_finish;

extern const char *const el_cli_finish_names[EL_CLI_FINISHES];

typedef struct el_cli_answer_options {
    uint32_t max_tokens; /* 1 or more */
    bool ignore_eos;
    bool shift;                  /* where the context is full it is shifted, and the answer ... */
    uint32_t keep;               /* ... goes on behind its first tokens and the newer half */
    bool hash;                   /* over all logits that were sampled from */
    bool mute;                   /* nothing to standard output */
    double deadline_ms;          /* from the start of the prompt; 0: none */
    el_cli_certified *certified; /* counts the times from token to token; or NULL */
    el_cli_climate *climate;     /* watches, and holds tokens back; or NULL */
} el_cli_answer_options;

/* Options, embedded in a command's values under the name `answer`. */
#define EL_CLI_SHIFT_ROWS(type)                                                                    \
    {.name = "shift",                                                                              \
     .kind = EL_CLI_ON,                                                                            \
     .field = offsetof(type, answer.shift),                                                        \
     .help = "go on past the context: the older half behind --keep is dropped"},                   \
    {                                                                                              \
        .name = "keep", .kind = EL_CLI_U32, .field = offsetof(type, answer.keep), .argument = "N", \
        .initial = "4", .help = "with --shift: tokens of the beginning that stay", .max = 1048576  \
    }

typedef struct el_cli_answer {
    uint32_t *tokens; /* (capacity); the last one was not computed, the end token is not in it */
    double *token_ms; /* (capacity): [0] to the first token; then, sorted, from one to the next */
    size_t capacity, n, prompt_tokens;
    double prefill_ms, first_ms, decode_ms; /* decode: from the first token to the last */
    double answer_ms;                       /* from the start of the prompt to the end */
    size_t shifts;                          /* of the context */
    double held_ms;                         /* for which the last token was held back */
    double started_ms;
    uint64_t hash, peak_rss;
    el_cli_finish finish;
} el_cli_answer;

/* Reserves and touches memory for answers of up to `capacity` tokens. Start with {0}. */
edgellm_status el_cli_answer_reserve(el_cli_answer *a, size_t capacity, edgellm_error *err);
void el_cli_answer_release(el_cli_answer *a);

/*
 * Computes the prompt (which continues what is in the session) and makes the answer. Room for the
 * smaller of max_tokens and, without shift, the context that is left, plus one, was reserved.
 * Errors: INTERRUPTED (while the prompt was computed: some of it is in the session), CONTEXT, IO,
 * DEADLINE (the time does not hold the prompt: some of it is in the session).
 */
edgellm_status el_cli_answer_make(el_cli_answer *a, const el_cli_model *model,
                                  const el_cli_tokens *prompt, const el_cli_answer_options *o,
                                  edgellm_error *err);

/* May answers shift, with `keep`, in this session? grammar: the option that they keep to; NULL:
 * none. Errors: USAGE. */
edgellm_status el_cli_answer_check_shift(const el_cli_answer_options *o, const char *grammar,
                                         const edgellm_session *session, edgellm_error *err);

/* Steps after the first token: what decode speed and percentiles are taken over. */
size_t el_cli_answer_steps(const el_cli_answer *a);

/* Tokens a second; NaN for no time. */
double el_cli_answer_prefill_speed(const el_cli_answer *a);
double el_cli_answer_decode_speed(const el_cli_answer *a);

/* "text", "tokens", "prompt_tokens", "finish", "seed" and, if asked for, "hash" and "shifts". */
edgellm_status el_cli_answer_json(const el_cli_answer *a, const el_cli_model *model,
                                  const el_cli_answer_options *o, uint64_t seed, json_t **object,
                                  edgellm_error *err);

/* "prefill_tok_s", "ttft_ms", "decode_tok_s", "token_ms". */
json_t *el_cli_answer_timings(const el_cli_answer *a);

#endif
