/*
 * ask.h: the body of a request to OpenAI's interface or to Ollama's, from bytes to a struct. Pure:
 * nothing is asked of the system but memory for jansson, whose room is known beforehand
 * (json_limits.h). What is not understood and would change the answer is refused with its name;
 * null is as not given.
 */
#ifndef EL_SERVER_ASK_H
#define EL_SERVER_ASK_H

#include <jansson.h>

#include "server/calls.h"
#include "server/problem.h"
#include "server/stops.h"

enum {
    EL_ASK_MESSAGES = 512,
    EL_TOOLS = 128,
    EL_ASK_CHOICES = 8,
    EL_ASK_INPUTS = 64,
    EL_ASK_BIASES = 300,
    EL_ASK_ADAPTERS = 8, /* as many as an engine has at most */
    EL_ASK_KEEP = 4, /* tokens that a shift keeps, if nothing was said: attention rests on them */
    EL_ASK_COMPLETION_TOP = 5 /* probable tokens that a text may want beside each */
};

typedef enum el_ask_form {
    EL_ASK_CHAT = 1,             /* messages */
    EL_ASK_COMPLETION = 2,       /* a prompt */
    EL_ASK_OLLAMA_CHAT = 4,      /* messages; none: nothing to compute */
    EL_ASK_OLLAMA_GENERATE = 8,  /* a prompt, laid out as messages unless it is raw; likewise */
    EL_ASK_OLLAMA_SHOW = 16,     /* a model */
    EL_ASK_STREAM = 32,          /* a message of a WebSocket (stream.h): `act` says which */
    EL_ASK_EMBED = 64,           /* inputs, each of which is one of the choices */
    EL_ASK_OLLAMA_EMBED = 128,   /* likewise */
    EL_ASK_TOKENIZE = 1 << 11,   /* a text */
    EL_ASK_DETOKENIZE = 1 << 12, /* ids of tokens */
    EL_ASK_TEMPLATE = 1 << 13,   /* messages */
    EL_ASK_SLOT = 1 << 14        /* the name of a file, or nothing */
} el_ask_form;

/* What a message of a WebSocket wants. */
typedef enum el_ask_act {
    EL_ASK_REQUEST,  /* as CHAT or COMPLETION; has `id` */
    EL_ASK_CANCEL,   /* has `id` */
    EL_ASK_DEADLINE, /* has `id` and deadline_ms */
    EL_ASK_RESUME,   /* has `resume` and `from` */
    EL_ASK_PING,
    EL_ASK_ACTS
} el_ask_act;
enum { EL_ASK_ID_BYTES = 64 };

/* What an answer has to keep to. */
typedef enum el_keeps {
    EL_KEEPS_NOTHING,
    EL_KEEPS_GRAMMAR, /* `grammar` */
    EL_KEEPS_SCHEMA,  /* `schema` */
    EL_KEEPS_OBJECT   /* any JSON object */
} el_keeps;

/* Whether an answer calls tools. */
typedef enum el_tool_choice {
    EL_TOOLS_AUTO,
    EL_TOOLS_NONE,     /* they are not even told */
    EL_TOOLS_REQUIRED, /* it does nothing else */
    EL_TOOLS_ONE       /* it calls `tool`, and no other */
} el_tool_choice;

/* What may be called; all of it in `root`. */
typedef struct el_tool {
    const char *name;         /* 1 .. EL_TOOL_NAME letters, digits, - and _ */
    const json_t *parameters; /* the schema of an object; NULL: it takes nothing */
    const json_t *whole;      /* as it was given */
} el_tool;

typedef struct el_ask {
    el_ask_form form;
    uint32_t n_messages;                       /* 0: a text that goes on */
    edgellm_message messages[EL_ASK_MESSAGES]; /* (n_messages), in `root` */
    const char *model, *prompt, *system;       /* in `root`; NULL: not given */
    size_t prompt_len;
    edgellm_sampler_options sampler;          /* but for the seed, if there is none */
    edgellm_logit_bias biases[EL_ASK_BIASES]; /* of the sampler */
    bool has_seed, has_lora;
    float lora[EL_ASK_ADAPTERS]; /* with has_lora: scales; 0 of those that were not named */
    uint32_t lora_ids;           /* the largest that was named, and 1 */
    uint32_t max_tokens;         /* 0: as many as there is room for */
    uint32_t deadline_ms;        /* 0: none */
    int32_t priority;            /* the larger goes first */
    uint32_t n_keep;             /* tokens of the prompt that a shift keeps; UINT32_MAX: all */
    uint32_t num_ctx;            /* tokens of context that it counts on; 0: nothing was said */
    uint32_t n;                  /* choices, 1 .. EL_ASK_CHOICES; or inputs, 1 .. EL_ASK_INPUTS */
    uint32_t dimensions;         /* that embeddings should have; 0: nothing was said */
    uint32_t top_logprobs;       /* 0 .. EDGELLM_TOP_LOGPROBS; with logprobs */
    bool stream, include_usage, ignore_eos, raw, logprobs, logits_hash, shift;
    bool base64;          /* embeddings are wanted so */
    const json_t *inputs; /* in `root`: a string, or a list of strings */
    el_ask_act act;
    const char *id, *resume; /* in `root`; NULL: not given. id: 1 .. EL_ASK_ID_BYTES bytes */
    uint32_t from;           /* a token's index */
    bool add_special, parse_special, with_pieces; /* of TOKENIZE, whose text is `prompt` */
    const json_t *ids;                            /* in `root`: whole numbers, not negative */
    const char *filename;                         /* in `root` */
    el_stop_list stops;
    el_keeps keeps;
    const char *keeps_field; /* where that was said */
    const char *grammar;     /* in `root` */
    const json_t *schema;    /* likewise */
    uint32_t n_tools;
    el_tool tools[EL_TOOLS]; /* (n_tools) */
    el_tool_choice tool_choice;
    uint32_t tool;                        /* EL_TOOLS_ONE: its number */
    const char *tool_wanted;              /* likewise: its name */
    bool many_calls;                      /* one answer may call several times */
    bool has_calls;                       /* messages have calls, or what they gave */
    const json_t *calls[EL_ASK_MESSAGES]; /* (n_messages) of each; NULL: none */
    json_t *root;                         /* owned */
} el_ask;

/*
 * Reads a body. False: *problem says what is wrong and where. In both cases release it. Among the
 * kinds: REQUEST, BODY (too many values), INTERNAL (no memory).
 */
bool el_ask_read(el_ask *ask, el_ask_form form, const char *body, size_t len, el_problem *problem);
/* The same of an object that was parsed already, which it takes over. */
bool el_ask_read_object(el_ask *ask, el_ask_form form, json_t *object, el_problem *problem);

void el_ask_release(el_ask *ask);

/* It asks for embeddings. */
static inline bool el_ask_is_embed(const el_ask *ask)
{
    return (ask->form & (EL_ASK_EMBED | EL_ASK_OLLAMA_EMBED)) != 0;
}

/* One of the inputs, 0 .. n - 1. */
static inline const json_t *el_ask_input(const el_ask *ask, uint32_t index)
{
    return json_is_array(ask->inputs) ? json_array_get(ask->inputs, index) : ask->inputs;
}

/* The answer may call a tool. */
static inline bool el_ask_may_call(const el_ask *ask)
{
    return ask->n_tools > 0 && ask->tool_choice != EL_TOOLS_NONE;
}

/* It asks for no tokens. */
static inline bool el_ask_is_empty(const el_ask *ask)
{
    return ask->n_messages == 0 && ask->prompt_len == 0;
}

#endif
