#include "cli/quantize_plain.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_output.h"
#include "cli/cli_signals.h"
#include "cli/cli_stats.h"
#include "cli/quantize_report.h"
#include "cli/quantize_source.h"
#include "offline/layouts.h"
#include "quant/quantize.h"

typedef struct work {
    const el_cli_quantize_values *values;
    const char *source;
    el_quantize_options options;
    el_quantize_result result;
    el_layouts_found found;
    el_cli_made made;
    el_outfile report;
    double seconds;
} work;

#define RESULT(member) offsetof(el_quantize_result, member)
#define OPTION(member) offsetof(el_quantize_options, member)

static const el_cli_figure result_figures[] = {
    {"source_bytes", NULL, EL_CLI_FIGURE_U64, RESULT(source_bytes)},
    {"file_bytes", NULL, EL_CLI_FIGURE_U64, RESULT(file_bytes)},
    {"parameters", NULL, EL_CLI_FIGURE_U64, RESULT(parameters)},
    {"tensors", NULL, EL_CLI_FIGURE_U32, RESULT(tensors)},
    {"kept", NULL, EL_CLI_FIGURE_U32, RESULT(kept)},
    {"rounded", NULL, EL_CLI_FIGURE_U32, RESULT(rounded)},
    {NULL, NULL, EL_CLI_FIGURE_U32, 0},
};

static const el_cli_figure option_figures[] = {
    {"group", NULL, EL_CLI_FIGURE_U32, OPTION(group)},
    {"embedding_group", NULL, EL_CLI_FIGURE_U32, OPTION(embedding_group)},
    {"offset", NULL, EL_CLI_FIGURE_FLAG, OPTION(offset)},
    {NULL, NULL, EL_CLI_FIGURE_U32, 0},
};

/* context: non-NULL if progress is shown. */
static bool on_progress(void *context, uint32_t done, uint32_t total, const char *tensor)
{
    if (context != NULL) fprintf(stderr, "\r%u/%u %.60s\033[K", done, total, tensor);
    return el_cli_interrupted() == 0;
}

static double bits_per_weight(const el_quantize_result *r)
{
    return (double)r->file_bytes * 8 / (double)r->parameters;
}

static void print_text(const work *w)
{
    const el_quantize_result *r = &w->result;
    printf("%s: %.1f MB from %.1f MB, %.2f bits per weight, %u tensors (%u matrices as they were, "
           "%u rounded), %.1f s\n",
           w->values->target, (double)r->file_bytes / EL_CLI_MB,
           (double)r->source_bytes / EL_CLI_MB, bits_per_weight(r), r->tensors, r->kept, r->rounded,
           w->seconds);
    if (w->found.layout == EL_I2S_UNKNOWN) return;
    printf("I2_S is laid out as '%s'", el_i2s_names[w->found.layout]);
    for (int l = 0; l < EL_I2S_LAYOUTS; l++)
        if (w->found.nats[l] > 0)
            printf("; %s: %.2f nats a token", el_i2s_names[l], w->found.nats[l]);
    printf("\n");
}

static json_t *result_json(const work *w)
{
    json_t *o = json_object();
    const char *target = w->values->target;
    json_object_set_new(o, "target", el_cli_json_text(target, strlen(target)));
    el_cli_figures_json(result_figures, &w->result, o);
    if (w->found.layout != EL_I2S_UNKNOWN)
        json_object_set_new(o, "i2s_layout", json_string(el_i2s_names[w->found.layout]));
    json_object_set_new(o, "bits_per_weight", el_cli_json_real(bits_per_weight(&w->result)));
    json_object_set_new(o, "seconds", json_real(w->seconds));
    return o;
}

static json_t *options_json(const work *w)
{
    json_t *o = json_object();
    json_object_set_new(o, "bits", el_cli_bits_json(w->options.bits));
    json_object_set_new(o, "embedding_bits", el_cli_bits_json(w->options.embedding_bits));
    el_cli_figures_json(option_figures, &w->options, o);
    json_object_set_new(o, "scales",
                        json_string(w->options.scales == EL_SCALE_BYTE ? "byte" : "f16"));
    return o;
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

static edgellm_status quantize(work *w, edgellm_error *err)
{
    double start = el_cli_now_ms();
    EL_CLI_TRY(el_cli_report_open(&w->report, w->values->report, err));
    edgellm_status status =
        el_layouts_quantize(w->source, w->values->target, &w->options, &w->result, &w->found, err);
    w->seconds = (el_cli_now_ms() - start) / 1e3;
    if (w->options.progress_context != NULL) fputs("\r\033[K", stderr);
    return status;
}

edgellm_status el_cli_plain(const el_cli_quantize_values *v, const char *source, edgellm_error *err)
{
    work w = {.values = v, .source = source};
    bool show = !v->quiet && !v->json && isatty(STDERR_FILENO);
    const el_tm2_judge judge = {.accept = el_cli_made_look, .context = &w.made};
    w.options = (el_quantize_options){
        .bits = v->bits,
        .embedding_bits = v->embedding_bits,
        .group = v->group,
        .embedding_group = v->embedding_group == EL_CLI_SAME ? v->group : v->embedding_group,
        .offset = v->offset,
        .scales = v->scales != 0 ? (el_scale_kind)(v->scales - 1) : EL_SCALE_F16,
        .open = el_cli_quantize_open,
        .two_bits = v->levels == 2,
        .i2s = (el_i2s)v->i2s,
        .progress = on_progress,
        .progress_context = show ? &show : NULL,
        .judge = &judge,
    };
    edgellm_status status = quantize(&w, err);
    if (status == EDGELLM_OK) status = tell(&w, err);
    el_cli_report_cancel(&w.report);
    el_cli_made_free(&w.made);
    return status;
}
