/*
 * fuzz_args.c: any arguments for any command, up to the point where the command would run.
 *
 * Input: a byte for the command, then arguments, each up to a NUL.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_sampler.h"
#include "fuzz/commands.h"
#include "fuzz/session_model.h"
#include "support/tiny_model.h"

enum { MOST_ARGUMENTS = 64 };

typedef struct arguments {
    char *texts[MOST_ARGUMENTS + 2]; /* the command, arguments, NULL */
    int n;
} arguments;

static void read_arguments(arguments *a, const el_cli_command *command, fuzz_input *in)
{
    a->n = 0;
    a->texts[a->n++] = strdup(command->name);
    while (in->size > 0 && a->n <= MOST_ARGUMENTS)
        a->texts[a->n++] = fuzz_text(in);
    a->texts[a->n] = NULL;
}

static void release_arguments(arguments *a)
{
    for (int i = 0; i < a->n; i++)
        free(a->texts[i]);
}

/* ---- what a field may hold ------------------------------------------------------------- */

static bool is_choice(const el_cli_option *o, uint64_t value)
{
    for (const el_cli_choice *c = o->list; c != NULL && c->word != NULL; c++) {
        if (c->value == value) return true;
    }
    return false;
}

static bool is_within(const el_cli_option *o, double value)
{
    return value >= o->min && value <= o->max;
}

/* A text is an argument, a part of one, or the default. */
static bool is_given(const char *text, const el_cli_option *o, const arguments *a)
{
    bool found = text == o->initial; /* both may be NULL */
    for (int i = 1; i < a->n && !found; i++)
        found = text >= a->texts[i] && text <= a->texts[i] + strlen(a->texts[i]);
    return found;
}

static void check_texts(const char *field, const el_cli_option *o, const arguments *a)
{
    el_cli_texts texts;
    memcpy(&texts, field, sizeof texts);
    FUZZ_CHECK(texts.n <= EL_CLI_TEXTS_MAX);
    for (uint32_t i = 0; i < texts.n; i++)
        FUZZ_CHECK(texts.text[i] != NULL && is_given(texts.text[i], o, a));
}

/* Zero stands for "not given" where an option has no default. */
static void check_field(const el_cli_option *o, const char *field, const arguments *a)
{
    uint8_t flag;
    uint32_t narrow;
    int32_t sign;
    uint64_t wide;
    float real;
    const char *text;
    switch (o->kind) {
    case EL_CLI_ON:
    case EL_CLI_OFF:
        memcpy(&flag, field, sizeof flag);
        FUZZ_CHECK(flag <= 1);
        break;
    case EL_CLI_TEXT:
    case EL_CLI_INPUT:
    case EL_CLI_OUTPUT:
    case EL_CLI_TEXT_IF_ANY:
        memcpy(&text, field, sizeof text);
        FUZZ_CHECK((text && !*text && o->kind == EL_CLI_TEXT_IF_ANY) || is_given(text, o, a));
        break;
    case EL_CLI_TEXTS:
    case EL_CLI_ADAPTERS:
        check_texts(field, o, a);
        break;
    case EL_CLI_U32:
        memcpy(&narrow, field, sizeof narrow);
        FUZZ_CHECK(is_within(o, narrow) || (!o->initial && narrow == 0));
        break;
    case EL_CLI_CHOICE:
        memcpy(&narrow, field, sizeof narrow);
        FUZZ_CHECK(is_choice(o, narrow) || (!o->initial && narrow == 0));
        break;
    case EL_CLI_U64:
    case EL_CLI_SIZE:
        memcpy(&wide, field, sizeof wide);
        FUZZ_CHECK(is_within(o, (double)wide) || is_choice(o, wide) || (!o->initial && wide == 0));
        break;
    case EL_CLI_FLOAT:
        memcpy(&real, field, sizeof real);
        FUZZ_CHECK(is_within(o, (double)real) || (!o->initial && real == 0));
        break;
    case EL_CLI_I32:
        memcpy(&sign, field, sizeof sign);
        FUZZ_CHECK(is_within(o, sign) || (!o->initial && sign == 0));
        break;
    case EL_CLI_TABLE:
    case EL_CLI_KINDS:
        FUZZ_CHECK(!"a kind of option");
    }
}

static void check_fields(const el_cli_option *table, const char *values, const arguments *a)
{
    for (const el_cli_option *o = table; o->name != NULL; o++) {
        if (o->kind == EL_CLI_TABLE)
            check_fields(o->list, values + o->field, a);
        else
            check_field(o, values + o->field, a);
    }
}

/* ---- the sampler's lists: parsed when there is a session --------------------------------- */

static edgellm_session *the_session(void) /* after three tokens */
{
    edgellm_session *only = fuzz_small_session();
    edgellm_error err = {0};
    if (edgellm_session_position(only) > 0) return only;
    FUZZ_CHECK(edgellm_session_eval(only, (const uint32_t[]){5, 6, 5}, 3, NULL, &err) ==
               EDGELLM_OK);
    return only;
}

static void check_sampler(const el_cli_command *command, const char *values)
{
    for (const el_cli_option *o = command->options; o->name != NULL; o++) {
        if (o->list != el_cli_sampler_options) continue;
        const void *sampler = values + o->field;
        uint64_t seed = 0;
        edgellm_error err = {0};
        edgellm_status status = el_cli_sampler_set(sampler, the_session(), &seed, &err);
        FUZZ_CHECK(fuzz_status(status, &err) || status == EDGELLM_ERR_USAGE);
        FUZZ_CHECK(edgellm_session_sample(the_session()) < EL_TINY_VOCAB);
    }
}

/* ---- parsing --------------------------------------------------------------------------- */

typedef struct parsed {
    edgellm_status status;
    bool help;
    int n_operands;
    void *values;
    edgellm_error err;
} parsed;

static parsed parse(const el_cli_command *command, const arguments *a)
{
    char *order[MOST_ARGUMENTS + 2], **operands = NULL; /* the parser moves arguments about */
    parsed p = {.values = calloc(1, command->values_size)};
    FUZZ_CHECK(p.values != NULL);
    memcpy(order, a->texts, sizeof order);
    optind = 0; /* the GNU way to start afresh: a program parses only once */
    p.status = el_cli_parse(command, a->n, order, p.values, &operands, &p.help, &p.err);
    if (p.status == EDGELLM_OK && !p.help) {
        FUZZ_CHECK(operands >= order && operands <= order + a->n);
        p.n_operands = a->n - (int)(operands - order);
    }
    return p;
}

static void check_parsed(const el_cli_command *command, const parsed *p, const arguments *a)
{
    FUZZ_CHECK(fuzz_status(p->status, &p->err) || p->status == EDGELLM_ERR_USAGE);
    if (p->status != EDGELLM_OK || p->help) return;
    FUZZ_CHECK(p->n_operands >= command->min_operands && p->n_operands <= command->max_operands);
    check_fields(command->options, p->values, a);
    check_sampler(command, p->values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    arguments a;
    const el_cli_command *command = fuzz_command(fuzz_byte(&in) % fuzz_commands());
    read_arguments(&a, command, &in);
    parsed once = parse(command, &a), again = parse(command, &a);
    check_parsed(command, &once, &a);
    FUZZ_CHECK(once.status == again.status && once.help == again.help);
    FUZZ_CHECK(once.n_operands == again.n_operands);
    FUZZ_CHECK(memcmp(once.values, again.values, command->values_size) == 0);
    FUZZ_CHECK(memcmp(&once.err, &again.err, sizeof once.err) == 0);
    free(once.values);
    free(again.values);
    release_arguments(&a);
    return 0;
}
