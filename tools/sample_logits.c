/*
 * sample_logits.c: what the sampler makes of given logits, for tests/test_sampler_model.py.
 *
 *   sample_logits LOGITS VOCAB TEXTS < REQUESTS > ANSWERS
 *
 * LOGITS: rows of VOCAB float32. TEXTS: the texts of the tokens in hexadecimal, one a line, for
 * the first tokens or all. A request is one line of words:
 *
 *   row=N draws=N tokens=ID,ID,... NAME=VALUE ...
 *
 * with the fields of edgellm_sampler_options by their names; logit_bias=ID:BIAS,... and
 * dry_breakers=HEX,...; what is not named is off. The answer is "candidates N", N lines "ID P",
 * "draws ID ...", "mu MU".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sample/sampler.h"

enum { LINE_BYTES = 1 << 16, MAX_TOKENS = 4096, MAX_TEXT = EDGELLM_DRY_BREAKER_BYTES };

typedef struct request {
    edgellm_sampler_options options;
    uint32_t row, draws, n_tokens;
    uint32_t tokens[MAX_TOKENS];
    edgellm_logit_bias biases[EDGELLM_LOGIT_BIAS_MAX];
    const char *breakers[EDGELLM_DRY_BREAKERS_MAX];
    char text[EDGELLM_DRY_BREAKERS_MAX][MAX_TEXT + 1];
} request;

static void die(const char *why, const char *what)
{
    fprintf(stderr, "sample_logits: %s '%s'\n", why, what);
    exit(EDGELLM_ERR_USAGE);
}

static void *allocate(size_t n, size_t size)
{
    void *p = calloc(n + 1, size);
    if (p == NULL) die("no memory for", "the input");
    return p;
}

/* ---- requests ------------------------------------------------------------------------------ */

static size_t from_hex(const char *hex, char *bytes, size_t room)
{
    char pair[3] = "", *end = pair;
    size_t n = 0;
    for (; n < room && hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
        memcpy(pair, hex, 2);
        long byte = strtol(pair, &end, 16);
        if (end != pair + 2) break;
        bytes[n++] = (char)byte;
    }
    return n;
}

static void set_token(request *r, const char *word)
{
    if (r->n_tokens == MAX_TOKENS) die("too many", "tokens");
    r->tokens[r->n_tokens++] = (uint32_t)strtoul(word, NULL, 10);
}

static void set_bias(request *r, const char *word)
{
    const char *colon = strchr(word, ':');
    if (colon == NULL || r->options.n_logit_bias == EDGELLM_LOGIT_BIAS_MAX) die("bad bias", word);
    r->biases[r->options.n_logit_bias++] =
        (edgellm_logit_bias){(uint32_t)strtoul(word, NULL, 10), strtof(colon + 1, NULL)};
}

static void set_breaker(request *r, const char *word)
{
    uint32_t n = r->options.n_dry_breakers++;
    if (n == EDGELLM_DRY_BREAKERS_MAX) die("too many", "breakers");
    from_hex(word, r->text[n], MAX_TEXT);
    r->breakers[n] = r->text[n];
}

static const struct list_row {
    const char *name;
    void (*add)(request *r, const char *word);
} lists[] = {{"tokens", set_token}, {"logit_bias", set_bias}, {"dry_breakers", set_breaker}};

#define REAL(name)                                                                                 \
    {                                                                                              \
#name, offsetof(request, options.name), 'f'                                                \
    }
#define WHOLE(name)                                                                                \
    {                                                                                              \
#name, offsetof(request, options.name), 'u'                                                \
    }

static const struct number_row {
    const char *name;
    size_t offset;
    char kind; /* float, uint32_t, int32_t, uint64_t: f u i w */
} numbers[] = {
    REAL(temperature),
    WHOLE(top_k),
    REAL(top_p),
    REAL(min_p),
    REAL(typical_p),
    REAL(repeat_penalty),
    REAL(presence_penalty),
    REAL(frequency_penalty),
    WHOLE(repeat_last),
    REAL(dry_multiplier),
    REAL(dry_base),
    WHOLE(dry_allowed_length),
    REAL(xtc_probability),
    REAL(xtc_threshold),
    WHOLE(mirostat),
    REAL(mirostat_tau),
    REAL(mirostat_eta),
    {"dry_penalty_last", offsetof(request, options.dry_penalty_last), 'i'},
    {"seed", offsetof(request, options.seed), 'w'},
    {"row", offsetof(request, row), 'u'},
    {"draws", offsetof(request, draws), 'u'},
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static void store(void *at, char kind, const char *value)
{
    if (kind == 'f') *(float *)at = strtof(value, NULL);
    if (kind == 'u') *(uint32_t *)at = (uint32_t)strtoul(value, NULL, 10);
    if (kind == 'i') *(int32_t *)at = (int32_t)strtol(value, NULL, 10);
    if (kind == 'w') *(uint64_t *)at = strtoull(value, NULL, 10);
}

static void set_word(request *r, char *word)
{
    char *value = strchr(word, '='), *rest = NULL;
    if (value == NULL) die("not NAME=VALUE:", word);
    *value++ = '\0';
    for (size_t i = 0; i < LENGTH(numbers); i++) {
        if (strcmp(numbers[i].name, word) != 0) continue;
        store((char *)r + numbers[i].offset, numbers[i].kind, value);
        return;
    }
    for (size_t i = 0; i < LENGTH(lists); i++) {
        if (strcmp(lists[i].name, word) != 0) continue;
        for (char *w = strtok_r(value, ",", &rest); w; w = strtok_r(NULL, ",", &rest))
            lists[i].add(r, w);
        return;
    }
    die("unknown name", word);
}

static void parse(request *r, char *line)
{
    char *rest = NULL;
    memset(r, 0, sizeof *r);
    r->options = (edgellm_sampler_options){.temperature = 1,
                                           .top_p = 1,
                                           .typical_p = 1,
                                           .repeat_penalty = 1,
                                           .dry_base = 1.75f,
                                           .dry_allowed_length = 2,
                                           .dry_penalty_last = -1,
                                           .xtc_threshold = 0.1f,
                                           .mirostat_tau = 5,
                                           .mirostat_eta = 0.1f,
                                           .logit_bias = r->biases,
                                           .dry_breakers = r->breakers};
    for (char *w = strtok_r(line, " \n", &rest); w; w = strtok_r(NULL, " \n", &rest))
        set_word(r, w);
}

/* ---- answers ------------------------------------------------------------------------------- */

static void print_candidates(const el_sampler *s)
{
    const el_candidates *c = &s->candidates;
    const float t = s->options.temperature;
    double sum = 0;
    printf("candidates %u\n", c->n);
    if (c->n == 0) return;
    const el_ranking r = el_ranking_softmax(c, t > 0 ? t : 1);
    for (uint32_t i = 0; i < c->n; i++)
        sum += (double)el_weight(&r, c->logit[i]);
    for (uint32_t i = 0; i < c->n; i++)
        printf("%u %.9g\n", c->id[i], (double)el_weight(&r, c->logit[i]) / sum);
}

static edgellm_status answer(el_sampler *s, const request *r, const float *logits,
                             edgellm_error *err)
{
    EL_TRY(el_sampler_set(s, &r->options, err));
    el_sampler_prepare(s, logits, r->tokens, r->n_tokens);
    print_candidates(s);
    EL_TRY(el_sampler_set(s, &r->options, err));
    printf("draws");
    for (uint32_t i = 0; i < r->draws; i++)
        printf(" %u", el_sampler_sample(s, logits, r->tokens, r->n_tokens));
    printf("\nmu %.9g\n", (double)s->mu);
    return EDGELLM_OK;
}

/* ---- input --------------------------------------------------------------------------------- */

static float *read_logits(const char *path, uint32_t vocab, size_t *rows)
{
    FILE *in = fopen(path, "rb");
    if (in == NULL || fseek(in, 0, SEEK_END) != 0) die("cannot read", path);
    size_t n = (size_t)ftell(in) / sizeof(float);
    float *logits = allocate(n, sizeof *logits);
    rewind(in);
    if (fread(logits, sizeof *logits, n, in) != n) die("cannot read", path);
    fclose(in);
    *rows = n / vocab;
    return logits;
}

/* One line a token; what is missing has no text. */
static el_token_texts read_texts(const char *path, uint32_t vocab, char *line)
{
    FILE *in = fopen(path, "r");
    if (in == NULL) die("cannot read", path);
    uint8_t *bytes = allocate((size_t)vocab * MAX_TEXT, 1);
    uint32_t *starts = allocate(vocab + 1, sizeof *starts), n = 0;
    for (; n < vocab && fgets(line, LINE_BYTES, in); n++)
        starts[n + 1] = starts[n] + (uint32_t)from_hex(line, (char *)bytes + starts[n], MAX_TEXT);
    fclose(in);
    return (el_token_texts){bytes, starts, n};
}

static void check_tokens(const request *r, uint32_t vocab, size_t rows)
{
    if (r->row >= rows) die("no such", "row");
    for (uint32_t i = 0; i < r->n_tokens; i++)
        if (r->tokens[i] >= vocab) die("a token is out of", "range");
}

static edgellm_status run(const float *logits, size_t rows, uint32_t vocab, el_token_texts texts,
                          char *line, edgellm_error *err)
{
    el_arena measure = el_arena_measure(), arena;
    el_sampler sampler;
    edgellm_status status = EDGELLM_OK;
    el_sampler_layout(&sampler, vocab, MAX_TOKENS, texts, &measure);
    EL_TRY(el_arena_reserve(&arena, measure.used, err));
    el_sampler_layout(&sampler, vocab, MAX_TOKENS, texts, &arena);
    request *r = allocate(1, sizeof *r);
    while (status == EDGELLM_OK && fgets(line, LINE_BYTES, stdin)) {
        parse(r, line);
        check_tokens(r, vocab, rows);
        status = answer(&sampler, r, logits + (size_t)r->row * vocab, err);
    }
    el_arena_release(&arena);
    free(r);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 4) die("usage: sample_logits LOGITS VOCAB TEXTS < REQUESTS, not", argv[0]);
    edgellm_error err = {EDGELLM_OK, ""};
    const uint32_t vocab = (uint32_t)strtoul(argv[2], NULL, 10);
    if (vocab < 1 || vocab > 1 << 20) die("bad vocabulary", argv[2]);
    size_t rows = 0;
    char *line = allocate(LINE_BYTES, 1);
    float *logits = read_logits(argv[1], vocab, &rows);
    el_token_texts texts = read_texts(argv[3], vocab, line);
    edgellm_status status = run(logits, rows, vocab, texts, line, &err);
    if (status != EDGELLM_OK) fprintf(stderr, "sample_logits: %s\n", err.message);
    free((void *)(uintptr_t)texts.bytes);
    free((void *)(uintptr_t)texts.starts);
    free(logits);
    free(line);
    return (int)status;
}
