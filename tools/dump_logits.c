/*
 * dump_logits: the logits after each of the given tokens, as a file of float32 (tokens, vocab).
 *
 *   dump_logits MODEL IDS OUT [--exact] [--decode] [--batch N] [--kernel NAME] [-j N]
 *               [--adapter FILE=SCALE]...
 *
 * IDS holds token ids in decimal, separated by white space. All of them are evaluated in one
 * call, cut into batches of N; with --decode one token at a time.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edgellm.h"

typedef struct arguments {
    const char *model, *ids, *out, *kernel;
    edgellm_session_options session;
    bool decode;
    edgellm_adapter adapters[8]; /* (n_adapters) */
    uint32_t n_adapters;
} arguments;

typedef struct tokens {
    uint32_t *ids; /* (count), owned */
    size_t count;
} tokens;

/* FILE=SCALE; the sign is overwritten. */
static bool parse_adapter(char *text, arguments *a)
{
    char *sign = strrchr(text, '=');
    if (!sign || a->n_adapters == 8) return false;
    *sign = '\0';
    a->adapters[a->n_adapters++] = (edgellm_adapter){text, strtof(sign + 1, NULL)};
    return true;
}

static bool parse(int argc, char **argv, arguments *a)
{
    static const struct option options[] = {
        {"exact", no_argument, NULL, 'e'},         {"decode", no_argument, NULL, 'd'},
        {"batch", required_argument, NULL, 'b'},   {"kernel", required_argument, NULL, 'k'},
        {"adapter", required_argument, NULL, 'a'}, {0}};
    int o;
    *a = (arguments){.session.threads = 1};
    while ((o = getopt_long(argc, argv, "j:", options, NULL)) != -1) {
        if (o == 'e')
            a->session.exact = true;
        else if (o == 'd')
            a->decode = true;
        else if (o == 'b')
            a->session.batch = (uint32_t)strtoul(optarg, NULL, 10);
        else if (o == 'a' && parse_adapter(optarg, a))
            continue;
        else if (o == 'k')
            a->kernel = optarg;
        else if (o == 'j')
            a->session.threads = (uint32_t)strtoul(optarg, NULL, 10);
        else
            return false;
    }
    if (argc - optind != 3) return false;
    a->model = argv[optind];
    a->ids = argv[optind + 1];
    a->out = argv[optind + 2];
    return true;
}

static bool read_ids(const char *path, tokens *t)
{
    FILE *in = fopen(path, "r");
    size_t room = 0;
    char word[16] = "", *end = word;
    if (!in) return false;
    while (*end == '\0' && fscanf(in, "%15s", word) == 1) {
        unsigned long id = strtoul(word, &end, 10);
        if (t->count == room) {
            uint32_t *more = realloc(t->ids, (room += 4096) * sizeof *more);
            if (!more) break;
            t->ids = more;
        }
        t->ids[t->count++] = (uint32_t)id;
    }
    bool whole = *end == '\0' && feof(in) && !ferror(in);
    fclose(in);
    return whole && t->count > 0;
}

static edgellm_status evaluate(edgellm_session *session, const tokens *t, uint32_t vocab,
                               bool decode, float *logits, edgellm_error *err)
{
    edgellm_status status = EDGELLM_OK;
    if (!decode) return edgellm_session_eval(session, t->ids, t->count, logits, err);
    for (size_t i = 0; i < t->count && status == EDGELLM_OK; i++) {
        status = edgellm_session_eval(session, t->ids + i, 1, NULL, err);
        const float *row = edgellm_session_logits(session);
        for (uint32_t j = 0; j < vocab && status == EDGELLM_OK; j++)
            logits[i * vocab + j] = row[j];
    }
    return status;
}

static bool write_all(const char *path, const float *values, size_t count)
{
    FILE *out = fopen(path, "wb");
    if (!out) return false;
    bool written = fwrite(values, sizeof *values, count, out) == count;
    return fclose(out) == 0 && written;
}

static edgellm_status dump(const edgellm_engine *engine, const arguments *a, const tokens *t,
                           edgellm_error *err)
{
    edgellm_session *session = NULL;
    edgellm_session_options options = a->session;
    edgellm_model_info info;
    edgellm_engine_info(engine, &info);
    options.context = (uint32_t)t->count;
    edgellm_status status = edgellm_session_open(engine, &options, &session, err);
    float *logits = calloc(t->count * info.vocab, sizeof *logits);
    if (status == EDGELLM_OK && logits)
        status = evaluate(session, t, info.vocab, a->decode, logits, err);
    if (status == EDGELLM_OK && (!logits || !write_all(a->out, logits, t->count * info.vocab))) {
        snprintf(err->message, sizeof err->message, "%s: cannot write the logits", a->out);
        status = EDGELLM_ERR_IO;
    }
    free(logits);
    edgellm_session_close(session);
    return status;
}

int main(int argc, char **argv)
{
    arguments a;
    tokens t = {0};
    edgellm_engine *engine = NULL;
    edgellm_error err = {0};
    if (!parse(argc, argv, &a)) {
        fprintf(stderr, "usage: dump_logits MODEL IDS OUT [--exact] [--decode] [--batch N] "
                        "[--kernel NAME] [-j N] [--adapter FILE=SCALE]...\n");
        return EDGELLM_ERR_USAGE;
    }
    if (!read_ids(a.ids, &t)) {
        fprintf(stderr, "dump_logits: %s: no list of token ids\n", a.ids);
        free(t.ids);
        return EDGELLM_ERR_IO;
    }
    edgellm_engine_options options = {
        .kernel = a.kernel, .adapters = a.adapters, .n_adapters = a.n_adapters};
    edgellm_status status = edgellm_engine_open(a.model, &options, &engine, &err);
    if (status == EDGELLM_OK) status = dump(engine, &a, &t, &err);
    if (status != EDGELLM_OK) fprintf(stderr, "dump_logits: %s\n", err.message);
    edgellm_engine_close(engine);
    free(t.ids);
    return (int)status;
}
