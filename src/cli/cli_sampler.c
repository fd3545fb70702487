#include "cli/cli_sampler.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SEED_RANDOM UINT64_MAX /* cannot be typed as a number: those end at 2^53-1 */

static const el_cli_choice seed_words[] = {{"random", SEED_RANDOM}, {NULL, 0}};

#define FIELD(name)  offsetof(el_cli_sampler_values, name)
#define OPTION(name) offsetof(el_cli_sampler_values, options.name)

const el_cli_option el_cli_sampler_options[] = {
    {"temperature", 't', EL_CLI_FLOAT, OPTION(temperature), "T", "0.8",
     "0: always the most likely token", 0, 100, NULL},
    {"top-k", 0, EL_CLI_U32, OPTION(top_k), "N", "40", "only the N most likely tokens; 0: all", 0,
     16777216, NULL},
    {"top-p", 0, EL_CLI_FLOAT, OPTION(top_p), "P", "0.95",
     "only the likeliest that make up P; 1: all", 1e-6, 1, NULL},
    {"min-p", 0, EL_CLI_FLOAT, OPTION(min_p), "P", "0.05",
     "only tokens at least P times as likely as the best; 0: all", 0, 1, NULL},
    {"typical-p", 0, EL_CLI_FLOAT, OPTION(typical_p), "P", "1",
     "only the most typical that make up P; 1: all", 1e-6, 1, NULL},
    {"repeat-penalty", 0, EL_CLI_FLOAT, OPTION(repeat_penalty), "R", "1.1", "1: off", 1e-3, 100,
     NULL},
    {"presence-penalty", 0, EL_CLI_FLOAT, OPTION(presence_penalty), "R", "0",
     "off the logit of a token that occurred", -100, 100, NULL},
    {"frequency-penalty", 0, EL_CLI_FLOAT, OPTION(frequency_penalty), "R", "0",
     "the same, for each time it occurred", -100, 100, NULL},
    {"repeat-last", 0, EL_CLI_U32, OPTION(repeat_last), "N", "64",
     "tokens that these penalties look back on", 0, 1048576, NULL},
    {"dry-multiplier", 0, EL_CLI_FLOAT, OPTION(dry_multiplier), "R", "0",
     "penalty on going on with a repetition; 0: off", 0, 100, NULL},
    {"dry-base", 0, EL_CLI_FLOAT, OPTION(dry_base), "B", "1.75",
     "it grows by this factor with each token repeated", 1, 100, NULL},
    {"dry-allowed-length", 0, EL_CLI_U32, OPTION(dry_allowed_length), "N", "2",
     "repetitions shorter than this cost nothing", 0, 1048576, NULL},
    {"dry-penalty-last", 0, EL_CLI_I32, OPTION(dry_penalty_last), "N", "-1",
     "tokens that DRY looks back on; -1: all", -1, 1048576, NULL},
    {"dry-breakers", 0, EL_CLI_TEXT, FIELD(dry_breakers), "LIST", "\\n,:,\",*",
     "texts that end a repetition; escapes: \\n \\t \\\\ \\,", 0, 0, NULL},
    {"xtc-probability", 0, EL_CLI_FLOAT, OPTION(xtc_probability), "P", "0",
     "how often the top choices are excluded; 0: never", 0, 1, NULL},
    {"xtc-threshold", 0, EL_CLI_FLOAT, OPTION(xtc_threshold), "P", "0.1",
     "top choices: all but the last of at least P; above 0.5: none", 0, 1, NULL},
    {"mirostat", 0, EL_CLI_U32, OPTION(mirostat), "V", "0",
     "1 or 2: mirostat instead of penalties and cuts; 0: off", 0, 2, NULL},
    {"mirostat-tau", 0, EL_CLI_FLOAT, OPTION(mirostat_tau), "BITS", "5", "surprise that it aims at",
     0, 100, NULL},
    {"mirostat-eta", 0, EL_CLI_FLOAT, OPTION(mirostat_eta), "R", "0.1", "how fast it learns", 0, 1,
     NULL},
    {"logit-bias", 0, EL_CLI_TEXT, FIELD(logit_bias), "LIST", NULL,
     "ID=BIAS[,...], added to logits; -inf: never that token", 0, 0, NULL},
    {"seed", 's', EL_CLI_U64, OPTION(seed), "N", "random", "same seed, same text, on every machine",
     0, 9007199254740991.0, seed_words},
    {0},
};

/* ---- lists --------------------------------------------------------------------------------- */

typedef struct lists {
    edgellm_logit_bias biases[EDGELLM_LOGIT_BIAS_MAX];
    char text[EDGELLM_DRY_BREAKERS_MAX][EDGELLM_DRY_BREAKER_BYTES + 1];
    const char *breakers[EDGELLM_DRY_BREAKERS_MAX];
} lists;

/* The character that a backslash and this one stand for; 0: none. */
static char escaped(char c)
{
    static const char written[] = "ntr\\,", meant[] = "\n\t\r\\,";
    const char *at = c != '\0' ? strchr(written, c) : NULL;
    return at != NULL ? meant[at - written] : '\0';
}

/* One text up to a comma or the end; false: a bad escape, empty, or too long. */
static bool parse_breaker(const char **list, char *text)
{
    size_t n = 0;
    for (; **list != '\0' && **list != ','; ++*list) {
        char c = **list == '\\' ? escaped(*++*list) : **list;
        if (c == '\0' || n == EDGELLM_DRY_BREAKER_BYTES) return false;
        text[n++] = c;
    }
    text[n] = '\0';
    return n > 0;
}

static edgellm_status parse_breakers(const char *list, lists *l, uint32_t *count,
                                     edgellm_error *err)
{
    const char *at = list;
    *count = 0;
    if (*list == '\0') return EDGELLM_OK;
    for (;; at++) {
        // cppcheck-suppress uninitvar ; parse_breaker() fills it in
        if (*count == EDGELLM_DRY_BREAKERS_MAX || !parse_breaker(&at, l->text[*count])) {
            return el_cli_fail(
                err, EDGELLM_ERR_USAGE,
                "bad list '%.80s' for --dry-breakers: expected at most %d texts of "
                "1 to %d bytes, with commas between; escapes are \\n \\t \\r \\\\ \\,",
                list, EDGELLM_DRY_BREAKERS_MAX, EDGELLM_DRY_BREAKER_BYTES);
        }
        l->breakers[*count] = l->text[*count];
        ++*count;
        if (*at == '\0') return EDGELLM_OK;
    }
}

/* A finite number, or the word -inf. */
static bool parse_bias_value(const char *word, float *bias)
{
    char *end = NULL;
    if (strcmp(word, "-inf") == 0) {
        *bias = -INFINITY;
        return true;
    }
    if (word[0] == '\0' || word[strspn(word, "+-.0123456789eE")] != '\0') return false;
    const double value = strtod(word, &end); /* strtof() is 12 kB of the static program */
    if (*end != '\0' || fabs(value) > FLT_MAX) return false;
    *bias = (float)value;
    return true;
}

/* One ID=BIAS up to a comma or the end. */
static bool parse_bias(const char **list, edgellm_logit_bias *bias)
{
    char word[64];
    uint64_t token;
    size_t len = strcspn(*list, ",");
    if (len >= sizeof word) return false;
    memcpy(word, *list, len);
    word[len] = '\0';
    *list += len;
    char *value = strchr(word, '=');
    if (value == NULL) return false;
    *value++ = '\0';
    if (!el_cli_parse_whole(word, &token) || token > UINT32_MAX) return false;
    bias->token = (uint32_t)token;
    return parse_bias_value(value, &bias->bias);
}

static edgellm_status parse_biases(const char *list, lists *l, uint32_t *count, edgellm_error *err)
{
    const char *at = list;
    *count = 0;
    if (list == NULL || *list == '\0') return EDGELLM_OK;
    for (;; at++) {
        if (*count == EDGELLM_LOGIT_BIAS_MAX || !parse_bias(&at, &l->biases[*count])) {
            return el_cli_fail(err, EDGELLM_ERR_USAGE,
                               "bad list '%.80s' for --logit-bias: expected ID=BIAS with commas "
                               "between, such as 198=-1.5,2=-inf, at most %d",
                               list, EDGELLM_LOGIT_BIAS_MAX);
        }
        ++*count;
        if (*at == '\0') return EDGELLM_OK;
    }
}

/* ---- setting ------------------------------------------------------------------------------- */

static edgellm_status draw_seed(uint64_t *seed, edgellm_error *err)
{
    uint32_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) {
        return el_cli_fail(err, EDGELLM_ERR_IO, "no random seed to be had: give one with -s");
    }
    *seed = random;
    return EDGELLM_OK;
}

edgellm_status el_cli_sampler_set(const el_cli_sampler_values *values, edgellm_session *session,
                                  uint64_t *seed, edgellm_error *err)
{
    edgellm_sampler_options options = values->options;
    lists l;
    EL_CLI_TRY(parse_breakers(values->dry_breakers, &l, &options.n_dry_breakers, err));
    EL_CLI_TRY(parse_biases(values->logit_bias, &l, &options.n_logit_bias, err));
    options.dry_breakers = l.breakers;
    options.logit_bias = l.biases;
    if (options.seed == SEED_RANDOM) EL_CLI_TRY(draw_seed(&options.seed, err));
    *seed = options.seed;
    return edgellm_session_set_sampler(session, &options, err);
}
