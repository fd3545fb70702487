#include "cli/quantize_calibrated.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/cli_output.h"
#include "cli/cli_signals.h"
#include "cli/cli_stats.h"
#include "cli/quantize_progress.h"
#include "cli/quantize_report.h"
#include "cli/quantize_source.h"
#include "train/compress.h"

typedef struct work {
    const el_cli_quantize_values *values;
    const char *source;
    el_compress_rule rules[EL_CLI_TEXTS_MAX];
    el_compress_options options;
    el_compress_result result;
    el_cli_progress progress;
    el_cli_made made;
    el_outfile report;
    double seconds;
} work;

/* ---- what is told -------------------------------------------------------------------------- */

#define RESULT(member) offsetof(el_compress_result, member)
#define OPTION(member) offsetof(el_compress_options, member)

static const el_cli_figure result_figures[] = {
    {"source_bytes", NULL, EL_CLI_FIGURE_U64, RESULT(source_bytes)},
    {"file_bytes", NULL, EL_CLI_FIGURE_U64, RESULT(file_bytes)},
    {"matrices", NULL, EL_CLI_FIGURE_U32, RESULT(matrices)},
    {"sequences", NULL, EL_CLI_FIGURE_U32, RESULT(sequences)},
    {"length", NULL, EL_CLI_FIGURE_U32, RESULT(length)},
    {"error_rounded", "error of a layer, rounded", EL_CLI_FIGURE_REAL, RESULT(error_rounded)},
    {"error_trained", "error of a layer, trained", EL_CLI_FIGURE_REAL, RESULT(error_trained)},
    {"kl_first", "KL divergence in the first steps", EL_CLI_FIGURE_REAL, RESULT(kl_first)},
    {"kl_last", "KL divergence in the last steps", EL_CLI_FIGURE_REAL, RESULT(kl_last)},
    {"held_out_tokens", NULL, EL_CLI_FIGURE_U32, RESULT(quality.tokens)},
    {"kl", "KL divergence on text held back", EL_CLI_FIGURE_REAL, RESULT(quality.kl)},
    {"same_best", "same best token", EL_CLI_FIGURE_SHARE, RESULT(quality.same_best)},
    {"source_perplexity", "perplexity of the source", EL_CLI_FIGURE_REAL,
     RESULT(quality.source_perplexity)},
    {"perplexity", "perplexity of the file", EL_CLI_FIGURE_REAL, RESULT(quality.perplexity)},
    {"blas_kernels", NULL, EL_CLI_FIGURE_CHARS, RESULT(kernels)},
    {NULL, NULL, EL_CLI_FIGURE_U32, 0},
};

static const el_cli_figure option_figures[] = {
    {"embedding_bits", NULL, EL_CLI_FIGURE_U32, OPTION(embedding_bits)},
    {"calibration_file", NULL, EL_CLI_FIGURE_TEXT, OPTION(calibration)},
    {"sequences", NULL, EL_CLI_FIGURE_U32, OPTION(sequences)},
    {"length", NULL, EL_CLI_FIGURE_U32, OPTION(length)},
    {"epochs", NULL, EL_CLI_FIGURE_U32, OPTION(epochs)},
    {"steps", NULL, EL_CLI_FIGURE_U32, OPTION(steps)},
    {"rate", NULL, EL_CLI_FIGURE_REAL, OPTION(rate)},
    {"even_levels", NULL, EL_CLI_FIGURE_FLAG, OPTION(even)},
    {"seed", NULL, EL_CLI_FIGURE_U64, OPTION(seed)},
    {"threads", NULL, EL_CLI_FIGURE_U32, OPTION(threads)},
    {"resume", NULL, EL_CLI_FIGURE_FLAG, OPTION(resume)},
    {NULL, NULL, EL_CLI_FIGURE_U32, 0},
};

static const el_cli_figure fit_figures[] = {
    {"fit", NULL, EL_CLI_FIGURE_U64, OPTION(fit)},
    {NULL, NULL, EL_CLI_FIGURE_U32, 0},
};

static const el_cli_figure bits_figures[] = {
    {"bits", NULL, EL_CLI_FIGURE_U32, OPTION(bits)},
    {"group", NULL, EL_CLI_FIGURE_U32, OPTION(group)},
    {"embedding_group", NULL, EL_CLI_FIGURE_U32, OPTION(embedding_group)},
    {"offset", NULL, EL_CLI_FIGURE_FLAG, OPTION(offset)},
    {NULL, NULL, EL_CLI_FIGURE_U32, 0},
};

static double bits_per_weight(const work *w)
{
    return (double)w->result.file_bytes * 8 / (double)w->made.parameters;
}

static json_t *result_json(const work *w)
{
    json_t *o = json_object();
    const char *target = w->values->target;
    json_object_set_new(o, "target", el_cli_json_text(target, strlen(target)));
    el_cli_figures_json(result_figures, &w->result, o);
    json_object_set_new(o, "parameters", json_integer((json_int_t)w->made.parameters));
    json_object_set_new(o, "bits_per_weight", el_cli_json_real(bits_per_weight(w)));
    json_object_set_new(o, "seconds", json_real(w->seconds));
    return o;
}

static json_t *rules_json(const work *w)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < w->options.n_rules; i++) {
        const el_compress_rule *rule = &w->rules[i];
        json_t *o = json_object();
        json_object_set_new(o, "pattern", el_cli_json_text(rule->pattern, strlen(rule->pattern)));
        json_object_set_new(o, "bits", json_integer(rule->bits));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *options_json(const work *w)
{
    json_t *o = json_object();
    el_cli_figures_json(w->options.fit ? fit_figures : bits_figures, &w->options, o);
    el_cli_figures_json(option_figures, &w->options, o);
    json_object_set_new(o, "tensors", rules_json(w));
    return o;
}

static void print_text(const work *w)
{
    const el_compress_result *r = &w->result;
    char time[32];
    el_cli_pace_text(w->seconds, time, sizeof time);
    printf("%s: %.1f MB from %.1f MB, %.2f bits per weight, calibrated on %u x %u tokens of %s, "
           "%s\n",
           w->values->target, (double)r->file_bytes / EL_CLI_MB,
           (double)r->source_bytes / EL_CLI_MB, bits_per_weight(w), r->sequences, r->length,
           w->options.calibration ? w->options.calibration : "its own text", time);
    el_cli_figures_print(result_figures, r);
    el_cli_made_print(&w->made);
}

/* ---- callbacks ------------------------------------------------------------------------------ */

static bool on_progress(void *context, const char *stage, double done)
{
    work *w = context;
    el_cli_progress_draw(&w->progress, stage, done);
    return el_cli_interrupted() == 0;
}

/* ---- options -------------------------------------------------------------------------------- */

/* "REGEX=BITS": the pattern is a copy, to be freed. */
static edgellm_status parse_rule(const char *text, el_compress_rule *rule, edgellm_error *err)
{
    const char *equals = strrchr(text, '=');
    bool good = equals != NULL && equals > text && equals[1] != '\0' && equals[2] == '\0' &&
                strchr("2348", equals[1]) != NULL;
    if (!good) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "bad value '%.200s' for --tensor: expected REGEX=BITS with 2, 3, 4 or 8 "
                           "bits, such as ffn_down=4",
                           text);
    }
    rule->bits = (unsigned)(equals[1] - '0');
    rule->pattern = strndup(text, (size_t)(equals - text));
    if (rule->pattern == NULL)
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a pattern");
    return EDGELLM_OK;
}

static edgellm_status parse_rules(work *w, edgellm_error *err)
{
    const el_cli_texts *texts = &w->values->tensors;
    for (uint32_t i = 0; i < texts->n; i++)
        EL_CLI_TRY(parse_rule(texts->text[i], &w->rules[w->options.n_rules++], err));
    return EDGELLM_OK;
}

static void take_options(work *w, const el_tm2_judge *judge)
{
    const el_cli_quantize_values *v = w->values;
    w->options = (el_compress_options){
        .fit = v->fit,
        .bits = v->bits,
        .embedding_bits = v->embedding_bits,
        .group = v->group,
        .embedding_group = v->embedding_group == EL_CLI_SAME ? v->group : v->embedding_group,
        .offset = v->offset,
        .even = v->even,
        .rules = w->rules,
        .calibration = el_cli_calibration_file(v),
        .sequences = v->sequences,
        .length = v->length,
        .epochs = v->epochs,
        .steps = v->steps,
        .rate = v->rate,
        .seed = v->seed,
        .threads = v->threads,
        .resume = v->resume,
        .force = v->force,
        .max_kl = v->max_kl,
        .open = el_cli_quantize_open,
        .progress = on_progress,
        .progress_context = w,
        .judge = judge,
    };
}

/* ---- the command ----------------------------------------------------------------------------- */

/* An unfinished run, unless it goes on just now: then el_compress() refuses this one. */
static edgellm_status forget_unfinished(const char *target, edgellm_error *err)
{
    static const char suffix[] = ".unfinished-edgellm";
    edgellm_status status = EDGELLM_OK;
    size_t room = strlen(target) + sizeof suffix;
    char *path = malloc(room);
    if (path == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a file's name");
    snprintf(path, room, "%s%s", target, suffix);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool goes_on = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if ((fd < 0 && errno != ENOENT) || (fd >= 0 && !goes_on && unlink(path) != 0)) {
        status =
            el_cli_fail(err, EDGELLM_ERR_IO, "cannot remove '%.300s': %s", path, strerror(errno));
    }
    if (fd >= 0) close(fd);
    free(path);
    return status;
}

static edgellm_status compress(work *w, edgellm_error *err)
{
    double start = el_cli_now_ms();
    if (w->values->restart) EL_CLI_TRY(forget_unfinished(w->values->target, err));
    edgellm_status status = el_compress(w->source, w->values->target, &w->options, &w->result, err);
    w->seconds = (el_cli_now_ms() - start) / 1e3;
    el_cli_progress_clear(&w->progress);
    return status;
}

static edgellm_status tell(work *w, edgellm_error *err)
{
    const el_cli_quantize_values *v = w->values;
    if (v->report != NULL) {
        const el_cli_report_parts parts = {w->source, v->target, options_json(w), result_json(w),
                                           &w->made};
        EL_CLI_TRY(el_cli_report_write(&w->report, &parts, err));
    }
    if (v->json) return el_cli_print_json(result_json(w), err);
    if (!v->quiet) print_text(w);
    return EDGELLM_OK;
}

static edgellm_status run(work *w, edgellm_error *err)
{
    EL_CLI_TRY(parse_rules(w, err));
    EL_CLI_TRY(el_cli_report_open(&w->report, w->values->report, err));
    edgellm_status status = compress(w, err);
    if (status == EDGELLM_OK) status = tell(w, err);
    el_cli_report_cancel(&w->report);
    return status;
}

edgellm_status el_cli_calibrated(const el_cli_quantize_values *v, const char *source,
                                 edgellm_error *err)
{
    work w = {.values = v, .source = source};
    const el_tm2_judge judge = {.accept = el_cli_made_look, .context = &w.made};
    w.progress.show = !v->quiet && !v->json && isatty(STDERR_FILENO);
    take_options(&w, &judge);
    edgellm_status status = run(&w, err);
    for (uint32_t i = 0; i < w.options.n_rules; i++)
        free((void *)w.rules[i].pattern);
    el_cli_made_free(&w.made);
    return status;
}
