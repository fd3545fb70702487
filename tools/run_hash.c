/*
 * run_hash: one line with the 64-bit hash over the logits of a run that depends on nothing but
 * the model file: a prompt of fixed ids, then greedy tokens. Equal lines mean equal logits.
 *
 *   run_hash MODEL [-n N] [--prompt N] [--exact] [--batch N] [--kernel NAME] [-j N] [--list]
 *                  [--sampled]
 *
 * --sampled draws the tokens, N with every sampler on, N with each mirostat, instead of greedily.
 * --list prints the kernels this CPU can run instead, one a line.
 */
#include <getopt.h>
#include <inttypes.h>
#include <math.h> /* INFINITY */
#include <stdio.h>
#include <stdlib.h>

#include "edgellm.h"

typedef struct arguments {
    const char *model, *kernel;
    edgellm_session_options session;
    uint32_t prompt, n;
    bool list, sampled;
} arguments;

static uint32_t number(const char *text)
{
    return (uint32_t)strtoul(text, NULL, 10);
}

static bool parse(int argc, char **argv, arguments *a)
{
    static const struct option options[] = {{"exact", no_argument, NULL, 'e'},
                                            {"list", no_argument, NULL, 'l'},
                                            {"batch", required_argument, NULL, 'b'},
                                            {"prompt", required_argument, NULL, 'p'},
                                            {"kernel", required_argument, NULL, 'k'},
                                            {"sampled", no_argument, NULL, 's'},
                                            {0}};
    int o;
    *a = (arguments){.session.threads = 1, .prompt = 80, .n = 16};
    while ((o = getopt_long(argc, argv, "j:n:", options, NULL)) != -1) {
        if (o == 'e')
            a->session.exact = true;
        else if (o == 'l')
            a->list = true;
        else if (o == 's')
            a->sampled = true;
        else if (o == 'b')
            a->session.batch = number(optarg);
        else if (o == 'p')
            a->prompt = number(optarg);
        else if (o == 'k')
            a->kernel = optarg;
        else if (o == 'j')
            a->session.threads = number(optarg);
        else if (o == 'n')
            a->n = number(optarg);
        else
            return false;
    }
    a->model = argv[optind];
    return a->list || (argc - optind == 1 && a->prompt > 0 && a->prompt <= 4096 && a->n <= 4096);
}

/* The prompt, every logit of it hashed. */
static edgellm_status hash_prompt(edgellm_session *session, uint32_t count, uint32_t vocab,
                                  uint64_t *hash, edgellm_error *err)
{
    edgellm_status status = EDGELLM_ERR_MEMORY;
    uint32_t *ids = calloc(count, sizeof *ids);
    float *logits = calloc((size_t)count * vocab, sizeof *logits);
    if (ids && logits) {
        for (uint32_t i = 0; i < count; i++)
            ids[i] = (i * 7919u + 13u) % vocab;
        status = edgellm_session_eval(session, ids, count, logits, err);
    } else {
        snprintf(err->message, sizeof err->message, "no memory for the prompt's logits");
    }
    for (uint32_t i = 0; i < count && status == EDGELLM_OK; i++)
        *hash = edgellm_hash_logits(*hash, logits + (size_t)i * vocab, vocab);
    free(logits);
    free(ids);
    return status;
}

static edgellm_sampler_options greedy(void)
{
    edgellm_sampler_options o = edgellm_sampler_defaults();
    o.temperature = 0;
    o.repeat_penalty = 1;
    return o;
}

/* mirostat 0: every other sampler; flat enough that all of them have something to do. */
static edgellm_sampler_options sampled(uint32_t mirostat)
{
    static const edgellm_logit_bias bias[] = {{3, 1.5f}, {4, -INFINITY}};
    edgellm_sampler_options o = edgellm_sampler_defaults();
    o.temperature = 1.3f, o.top_k = 200, o.typical_p = 0.98f, o.min_p = 0.001f;
    o.presence_penalty = 0.3f, o.frequency_penalty = 0.2f, o.dry_multiplier = 0.8f;
    o.xtc_probability = 0.5f, o.xtc_threshold = 0.02f, o.logit_bias = bias, o.n_logit_bias = 2;
    o.mirostat = mirostat, o.mirostat_eta = 0.5f, o.seed = 42 + mirostat;
    return o;
}

/* Goes on by n tokens; every logit is hashed, and another token gives others. */
static edgellm_status hash_answer(edgellm_session *session, edgellm_sampler_options options,
                                  uint32_t n, uint32_t vocab, uint64_t *hash, edgellm_error *err)
{
    edgellm_status status = edgellm_session_set_sampler(session, &options, err);
    for (uint32_t i = 0; i < n && status == EDGELLM_OK; i++) {
        uint32_t token = edgellm_session_sample(session);
        status = edgellm_session_eval(session, &token, 1, NULL, err);
        if (status == EDGELLM_OK)
            *hash = edgellm_hash_logits(*hash, edgellm_session_logits(session), vocab);
    }
    return status;
}

static edgellm_status hash_run(edgellm_session *session, const arguments *a, uint32_t vocab,
                               uint64_t *hash, edgellm_error *err)
{
    edgellm_status status = hash_prompt(session, a->prompt, vocab, hash, err);
    if (!a->sampled && status == EDGELLM_OK)
        return hash_answer(session, greedy(), a->n, vocab, hash, err);
    for (uint32_t mirostat = 0; mirostat <= 2 && status == EDGELLM_OK; mirostat++)
        status = hash_answer(session, sampled(mirostat), a->n, vocab, hash, err);
    return status;
}

static edgellm_status run(const edgellm_engine *engine, const arguments *a, edgellm_error *err)
{
    edgellm_session *session = NULL;
    edgellm_session_options options = a->session;
    edgellm_model_info info;
    uint64_t hash = EDGELLM_HASH_START;
    edgellm_engine_info(engine, &info);
    options.context = a->prompt + a->n * (a->sampled ? 3 : 1);
    edgellm_status status = edgellm_session_open(engine, &options, &session, err);
    if (status == EDGELLM_OK) status = hash_run(session, a, info.vocab, &hash, err);
    if (status == EDGELLM_OK) printf("%016" PRIx64 "\n", hash);
    edgellm_session_close(session);
    return status;
}

int main(int argc, char **argv)
{
    arguments a;
    edgellm_engine *engine = NULL;
    edgellm_error err = {0};
    if (!parse(argc, argv, &a)) {
        fprintf(stderr, "usage: run_hash MODEL [-n N] [--prompt N] [--exact] [--batch N] "
                        "[--kernel NAME] [-j N] [--list] [--sampled]\n");
        return EDGELLM_ERR_USAGE;
    }
    if (a.list) {
        const char *name;
        for (uint32_t i = 0; (name = edgellm_kernel_name(i)); i++)
            puts(name);
        return 0;
    }
    edgellm_engine_options options = {.kernel = a.kernel};
    edgellm_status status = edgellm_engine_open(a.model, &options, &engine, &err);
    if (status == EDGELLM_OK) status = run(engine, &a, &err);
    if (status != EDGELLM_OK) fprintf(stderr, "run_hash: %s\n", err.message);
    edgellm_engine_close(engine);
    return (int)status;
}
