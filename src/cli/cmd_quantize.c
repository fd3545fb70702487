/*
 * cmd_quantize.c: `edgellm quantize`: a GGUF file to a TM2 file. The target appears whole or not
 * at all; what was there stays until then. With --plan nothing is read but a model's numbers.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_options.h"
#include "cli/cli_output.h"
#include "cli/cli_signals.h"
#include "cli/cli_stats.h"
#include "cli/quantize_plan.h"
#include "quant/quantize.h"

typedef struct quantize_values {
    const char *target, *calibrate, *plan;
    uint64_t fit;
    uint32_t bits, embedding_bits, group, embedding_group, scales;
    bool offset, json, quiet;
} quantize_values;

#define SAME UINT32_MAX /* as the option for the other matrices */

static const el_cli_choice bits_words[] = {{"keep", 0}, {"2", 2}, {"3", 3},
                                           {"4", 4},    {"8", 8}, {NULL, 0}};
static const el_cli_choice embedding_bits_words[] = {{"same", 0}, {"2", 2}, {"3", 3},
                                                     {"4", 4},    {"8", 8}, {NULL, 0}};
static const el_cli_choice group_words[] = {
    {"32", 32}, {"64", 64}, {"128", 128}, {"row", 0}, {NULL, 0}};
static const el_cli_choice embedding_group_words[] = {{"same", SAME}, {"32", 32}, {"64", 64},
                                                      {"128", 128},   {"row", 0}, {NULL, 0}};
static const el_cli_choice scales_words[] = {
    {"f16", EL_SCALE_F16}, {"byte", EL_SCALE_BYTE}, {NULL, 0}};

/* context: non-NULL if progress is shown. */
static bool on_progress(void *context, uint32_t done, uint32_t total, const char *tensor)
{
    if (context != NULL) fprintf(stderr, "\r%u/%u %.60s\033[K", done, total, tensor);
    return el_cli_interrupted() == 0;
}

static void print_text(const el_quantize_result *r, const quantize_values *v, double seconds)
{
    printf("%s: %.1f MB from %.1f MB, %.2f bits per weight, %u tensors (%u matrices as they were, "
           "%u rounded), %.1f s\n",
           v->target, (double)r->file_bytes / EL_CLI_MB, (double)r->source_bytes / EL_CLI_MB,
           (double)r->file_bytes * 8 / (double)r->parameters, r->tensors, r->kept, r->rounded,
           seconds);
}

static json_t *as_json(const el_quantize_result *r, const quantize_values *v, double seconds)
{
    json_t *o = json_object();
    json_object_set_new(o, "target", el_cli_json_text(v->target, strlen(v->target)));
    json_object_set_new(o, "source_bytes", json_integer((json_int_t)r->source_bytes));
    json_object_set_new(o, "file_bytes", json_integer((json_int_t)r->file_bytes));
    json_object_set_new(o, "parameters", json_integer((json_int_t)r->parameters));
    json_object_set_new(o, "tensors", json_integer(r->tensors));
    json_object_set_new(o, "kept", json_integer(r->kept));
    json_object_set_new(o, "rounded", json_integer(r->rounded));
    json_object_set_new(o, "bits_per_weight",
                        el_cli_json_real((double)r->file_bytes * 8 / (double)r->parameters));
    json_object_set_new(o, "seconds", json_real(seconds));
    return o;
}

/* A file that this version cannot open would only disappoint later. */
static edgellm_status can_be_run(void *context, const char *temporary, edgellm_error *err)
{
    edgellm_engine *engine = NULL;
    edgellm_error why = {0};
    edgellm_status status = edgellm_engine_open(temporary, NULL, &engine, &why);
    (void)context;
    edgellm_engine_close(engine);
    if (status == EDGELLM_OK) return status;
    const char *reason = strstr(why.message, "': "); /* behind the name of the temporary */
    return el_cli_fail(err, status, "nothing was written: the model could not be run: %.300s",
                       reason ? reason + 3 : why.message);
}

static edgellm_status check(const quantize_values *v, int n_operands, edgellm_error *err)
{
    if (n_operands == 0) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "an argument is missing: usage: edgellm %s",
                           el_cli_cmd_quantize.synopsis);
    }
    if (v->fit != 0) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "--fit needs --plan FILE: this version tells what fits into a size, but "
                           "does not make such a file");
    }
    if (v->target == NULL) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "no target: give one with -o FILE");
    }
    if (strcmp(v->calibrate, "none") == 0) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "calibration '%.80s' does not exist in this version: only none does",
                       v->calibrate);
}

static edgellm_status plan(const quantize_values *v, int n_operands, edgellm_error *err)
{
    if (v->fit == 0) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "--plan needs --fit SIZE: what is to fit?");
    }
    if (n_operands > 0 || v->target != NULL) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "--plan reads no model and writes none: leave out %s",
                           n_operands > 0 ? "IN.gguf" : "-o");
    }
    return el_cli_plan(v->plan, v->fit, v->json, err);
}

static edgellm_status quantize(const void *values, char **operands, int n_operands,
                               edgellm_error *err)
{
    const quantize_values *v = values;
    bool show = !v->quiet && !v->json && isatty(STDERR_FILENO);
    const el_tm2_judge judge = {.accept = can_be_run};
    el_quantize_options options = {
        .bits = v->bits,
        .embedding_bits = v->embedding_bits,
        .group = v->group,
        .embedding_group = v->embedding_group == SAME ? v->group : v->embedding_group,
        .offset = v->offset,
        .scales = (el_scale_kind)v->scales,
        .progress = on_progress,
        .progress_context = show ? &show : NULL,
        .judge = &judge,
    };
    el_quantize_result result = {0};
    if (v->plan != NULL) return plan(v, n_operands, err);
    EL_CLI_TRY(check(v, n_operands, err));
    double start = el_cli_now_ms();
    edgellm_status status = el_quantize(operands[0], v->target, &options, &result, err);
    double seconds = (el_cli_now_ms() - start) / 1e3;
    if (show) fputs("\r\033[K", stderr);
    if (status != EDGELLM_OK) return status;
    if (v->json) return el_cli_print_json(as_json(&result, v, seconds), err);
    if (!v->quiet) print_text(&result, v, seconds);
    return EDGELLM_OK;
}

#define FIELD(member) offsetof(quantize_values, member)

static const el_cli_option option_rows[] = {
    {"output", 'o', EL_CLI_TEXT, FIELD(target), "FILE", NULL, "the TM2 file to write", 0, 0, NULL},
    {"bits", 0, EL_CLI_CHOICE, FIELD(bits), "B", "keep",
     "2, 3, 4, 8; keep: weights as they are, 8 where TM2 cannot", 0, 0, bits_words},
    {"group", 0, EL_CLI_CHOICE, FIELD(group), "G", "32",
     "weights that share a scale: 32, 64, 128, row", 0, 0, group_words},
    {"embedding-bits", 0, EL_CLI_CHOICE, FIELD(embedding_bits), "B", "same",
     "of the token embedding and the head: 2, 3, 4, 8", 0, 0, embedding_bits_words},
    {"embedding-group", 0, EL_CLI_CHOICE, FIELD(embedding_group), "G", "same",
     "of the token embedding and the head", 0, 0, embedding_group_words},
    {"offset", 0, EL_CLI_ON, FIELD(offset), NULL, NULL,
     "an offset beside each scale: better, and larger", 0, 0, NULL},
    {"no-offset", 0, EL_CLI_OFF, FIELD(offset), NULL, NULL, "scales only; the default", 0, 0, NULL},
    {"scales", 0, EL_CLI_CHOICE, FIELD(scales), "KIND", "f16", "f16, or byte: half the size", 0, 0,
     scales_words},
    {"calibrate", 0, EL_CLI_TEXT, FIELD(calibrate), "HOW", "none", "only none in this version", 0,
     0, NULL},
    {"plan", 0, EL_CLI_TEXT, FIELD(plan), "FILE", NULL,
     "no file is made: what of the model of these shapes (JSON) fits?", 0, 0, NULL},
    {"fit", 0, EL_CLI_SIZE, FIELD(fit), "SIZE", NULL,
     "with --plan: into so much (40MB: 40 million bytes; 40MiB)", 1, 9007199254740991.0, NULL},
    {"json", 0, EL_CLI_ON, FIELD(json), NULL, NULL, "one JSON object, no progress", 0, 0, NULL},
    {"quiet", 'q', EL_CLI_ON, FIELD(quiet), NULL, NULL, "no progress, no summary", 0, 0, NULL},
    {0},
};

const el_cli_command el_cli_cmd_quantize = {
    .name = "quantize",
    .synopsis = "quantize IN.gguf -o OUT.tm2.bin [options]",
    .about = "Makes the file that the other commands run. Without --bits no weight changes: Q4_0,\n"
             "Q4_1 and Q8_0 are taken over bit by bit. The target appears when it is complete.\n"
             "--plan FILE --fit SIZE, alone or with --json, only counts bytes.\n",
    .examples = "  edgellm quantize model.gguf -o model.tm2.bin\n"
                "  edgellm quantize model.gguf -o small.tm2.bin --bits 4 --group 32 --offset \\\n"
                "      --embedding-bits 8\n"
                "  edgellm quantize model.gguf -o tiny.tm2.bin --bits 2 --group 64 --scales byte\n"
                "  edgellm quantize --plan examples/shapes/qwen2-0.5b.json --fit 125MB\n",
    .options = option_rows,
    .values_size = sizeof(quantize_values),
    .min_operands = 0, /* with --plan */
    .max_operands = 1,
    .run = quantize,
};
