/*
 * cmd_quantize.c: `edgellm quantize`: a GGUF file, or a Hugging Face folder, to a TM2 file. The
 * target appears whole or not at all; what was there stays until then. Here are the options and
 * what excludes what; the two ways from source to target are quantize_plain.c and
 * quantize_calibrated.c. With --plan nothing is read but a model's numbers.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli_outputs.h"
#include "cli/quantize_calibrated.h"
#include "cli/quantize_lora.h"
#include "cli/quantize_plain.h"
#include "cli/quantize_plan.h"
#include "quant/quantize.h"

typedef el_cli_quantize_values quantize_values;

static const el_cli_choice bits_words[] = {{"keep", 0}, {"1", 1}, {"1.6", EL_ROUND_TERNARY},
                                           {"2", 2},    {"3", 3}, {"4", 4},
                                           {"8", 8},    {NULL, 0}};
static const el_cli_choice embedding_bits_words[] = {
    {"same", 0}, {"1", 1}, {"1.6", EL_ROUND_TERNARY}, {"2", 2}, {"3", 3}, {"4", 4},
    {"8", 8},    {NULL, 0}};
static const el_cli_choice group_words[] = {
    {"32", 32}, {"64", 64}, {"128", 128}, {"row", 0}, {NULL, 0}};
static const el_cli_choice embedding_group_words[] = {{"same", EL_CLI_SAME}, {"32", 32}, {"64", 64},
                                                      {"128", 128},          {"row", 0}, {NULL, 0}};
static const el_cli_choice scales_words[] = {
    {"f16", EL_SCALE_F16 + 1}, {"byte", EL_SCALE_BYTE + 1}, {NULL, 0}};

static const el_cli_choice ternary_words[] = {{"1.6", 1}, {"2", 2}, {NULL, 0}};
static const el_cli_choice i2s_words[] = {{"auto", EL_I2S_UNKNOWN},
                                          {"avx", EL_I2S_AVX},
                                          {"neon", EL_I2S_NEON},
                                          {"rows", EL_I2S_ROWS},
                                          {NULL, 0}};

enum { DEFAULT_GROUP = 32 };

/* ---- what excludes what -------------------------------------------------------------------- */

static bool fits_uncalibrated(const quantize_values *v)
{
    return v->fit != 0 && v->calibrate != NULL && strcmp(v->calibrate, "none") == 0;
}

static bool fits_and_has_bits(const quantize_values *v)
{
    return v->fit != 0 && v->bits != 0;
}

static bool fits_and_has_groups(const quantize_values *v)
{
    return v->fit != 0 &&
           (v->offset || v->group != DEFAULT_GROUP || v->embedding_group != EL_CLI_SAME);
}

static bool calibrates_half_floats(const quantize_values *v)
{
    return el_cli_is_calibrated(v) && v->scales == EL_SCALE_F16 + 1;
}

static bool calibrates_below_2_bits(const quantize_values *v)
{
    return el_cli_is_calibrated(v) &&
           (v->bits == 1 || v->bits == EL_ROUND_TERNARY || v->embedding_bits == 1 ||
            v->embedding_bits == EL_ROUND_TERNARY);
}

static bool has_nothing_to_calibrate(const quantize_values *v)
{
    return !el_cli_is_calibrated(v) && v->calibrate != NULL && strcmp(v->calibrate, "none") != 0;
}

static bool is_plain_with_patterns(const quantize_values *v)
{
    return !el_cli_is_calibrated(v) && v->tensors.n != 0;
}

static bool is_plain_and_resumes(const quantize_values *v)
{
    return !el_cli_is_calibrated(v) && (v->resume || v->restart || v->force);
}

static bool evens_what_is_even(const quantize_values *v)
{
    return v->even && !el_cli_is_calibrated(v);
}

static bool resumes_anew(const quantize_values *v)
{
    return v->resume && v->restart;
}

static bool adapts_and_rounds(const quantize_values *v)
{
    return v->lora != NULL && (v->fit != 0 || v->bits != 0 || v->report != NULL);
}

static bool rounds_three_levels(const quantize_values *v)
{
    return v->levels == 2 && (v->fit != 0 || v->bits != 0);
}

static const struct exclusion {
    bool (*holds)(const quantize_values *v);
    const char *message;
} exclusions[] = {
    {fits_uncalibrated,
     "--fit needs calibration: leave out --calibrate none, or say the bits with --bits"},
    {fits_and_has_bits, "--fit chooses the bits: leave out --bits, and say those of some matrices "
                        "with --tensor and --embedding-bits"},
    {fits_and_has_groups,
     "--fit chooses groups and offsets: leave out --group, --embedding-group and --offset"},
    {calibrates_half_floats, "calibrated files have byte scales: leave out --scales f16, or round "
                             "plainly with --calibrate none"},
    {calibrates_below_2_bits, "calibration makes 2, 3, 4 and 8 bits: 1 and 1.6 are for the plain "
                              "way, with --bits and --calibrate none"},
    {has_nothing_to_calibrate,
     "without --bits and --fit weights stay as they are: there is nothing to calibrate"},
    {is_plain_with_patterns, "--tensor needs calibration: give --fit SIZE, or --bits without "
                             "--calibrate none"},
    {is_plain_and_resumes,
     "--resume, --restart and --force are for calibrated runs: give --fit SIZE, or "
     "--bits without --calibrate none"},
    {evens_what_is_even, "--even-levels is for calibrated runs: the plain way makes no others"},
    {adapts_and_rounds, "--lora takes an adapter as it is: leave out --fit, --bits and --report"},
    {rounds_three_levels,
     "--ternary is for three levels that stay as they are: leave out --bits and --fit"},
    {resumes_anew,
     "--resume goes on with an unfinished run, --restart begins anew: give one of them"},
};

static edgellm_status check(const quantize_values *v, int n_operands, edgellm_error *err)
{
    if (n_operands == 0) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "an argument is missing: usage: edgellm %s",
                           el_cli_cmd_quantize.synopsis);
    }
    if (v->target == NULL) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "no target: give one with -o FILE");
    }
    for (size_t i = 0; i < sizeof exclusions / sizeof exclusions[0]; i++) {
        if (!exclusions[i].holds(v)) continue;
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "%s", exclusions[i].message);
    }
    return EDGELLM_OK;
}

/* What is written must be none of what is read, nor one thing twice. */
static edgellm_status check_files(const el_cli_quantize_values *v, const char *source,
                                  edgellm_error *err)
{
    const char *target = v->target, *report = v->report, *text = el_cli_calibration_file(v);
    const struct {
        const char *written, *other, *name;
    } pairs[] = {{target, text, "the text to calibrate with"},
                 {report, text, "the text to calibrate with"},
                 {report, source, "the source"},
                 {report, target, "the target"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (pairs[i].written == NULL || pairs[i].other == NULL) continue;
        if (!el_cli_same_file(pairs[i].written, pairs[i].other)) continue;
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "'%.300s' cannot be written: it is %s; give another name",
                           pairs[i].written, pairs[i].name);
    }
    return EDGELLM_OK;
}

/* ---- the command --------------------------------------------------------------------------- */

static edgellm_status plan(const quantize_values *v, int n_operands, edgellm_error *err)
{
    if (v->fit == 0) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE, "--plan needs --fit SIZE: what is to fit?");
    }
    if (n_operands > 0 || v->target != NULL) {
        return el_cli_fail(err, EDGELLM_ERR_USAGE,
                           "--plan reads no model and writes none: leave out %s",
                           n_operands > 0 ? "SOURCE" : "-o");
    }
    return el_cli_plan(v->plan, v->fit, v->json, err);
}

static edgellm_status quantize(const void *values, char **operands, int n_operands,
                               edgellm_error *err)
{
    const quantize_values *v = values;
    if (v->plan != NULL) return plan(v, n_operands, err);
    EL_CLI_TRY(check(v, n_operands, err));
    EL_CLI_TRY(check_files(v, operands[0], err));
    if (v->lora != NULL) return el_cli_quantize_lora(v, operands[0], err);
    return el_cli_is_calibrated(v) ? el_cli_calibrated(v, operands[0], err)
                                   : el_cli_plain(v, operands[0], err);
}

#define FIELD(member) offsetof(quantize_values, member)
#define WHOLE_MAX     9007199254740991.0

static const el_cli_option option_rows[] = {
    {"output", 'o', EL_CLI_TEXT, FIELD(target), "FILE", NULL, "the TM2 file to write", 0, 0, NULL},
    {"fit", 0, EL_CLI_SIZE, FIELD(fit), "SIZE", NULL,
     "at most so large (40MB: 40 million bytes; 40MiB); calibrated", 1, WHOLE_MAX, NULL},
    {"even-levels", 0, EL_CLI_ON, FIELD(even), NULL, NULL,
     "calibrated, without chained codes: often faster, further off", 0, 0, NULL},
    {"bits", 0, EL_CLI_CHOICE, FIELD(bits), "B", "keep",
     "1, 1.6, 2, 3, 4, 8; keep: as they are, 8 where TM2 cannot", 0, 0, bits_words},
    {"tensor", 0, EL_CLI_TEXTS, FIELD(tensors), "REGEX=B", NULL,
     "bits of matrices whose names match; again and again, the last counts", 0, 0, NULL},
    {"embedding-bits", 0, EL_CLI_CHOICE, FIELD(embedding_bits), "B", "same",
     "of the token embedding and the head, likewise", 0, 0, embedding_bits_words},
    {"group", 0, EL_CLI_CHOICE, FIELD(group), "G", "32",
     "weights that share a scale: 32, 64, 128, row", 0, 0, group_words},
    {"embedding-group", 0, EL_CLI_CHOICE, FIELD(embedding_group), "G", "same",
     "of the token embedding and the head", 0, 0, embedding_group_words},
    {"offset", 0, EL_CLI_ON, FIELD(offset), NULL, NULL,
     "an offset beside each scale: better, and larger", 0, 0, NULL},
    {"no-offset", 0, EL_CLI_OFF, FIELD(offset), NULL, NULL, "scales only; the default", 0, 0, NULL},
    {"scales", 0, EL_CLI_CHOICE, FIELD(scales), "KIND", NULL,
     "plain way: f16, the default, or byte: half the size, as calibrated", 0, 0, scales_words},
    {"ternary", 0, EL_CLI_CHOICE, FIELD(levels), "B", "1.6",
     "bits of three levels that are kept: 1.6, or 2, often faster", 0, 0, ternary_words},
    {"i2s-layout", 0, EL_CLI_CHOICE, FIELD(i2s), "L", "auto",
     "of tensors of type I2_S: avx, neon, rows; auto: found by trying", 0, 0, i2s_words},
    {"calibrate", 0, EL_CLI_TEXT, FIELD(calibrate), "HOW", NULL,
     "self (the default): text that the model writes; FILE: text; none", 0, 0, NULL},
    {"sequences", 0, EL_CLI_U32, FIELD(sequences), "N", "144", "calibration texts", 1, 65532, NULL},
    {"length", 0, EL_CLI_U32, FIELD(length), "N", "512", "tokens of each", 2, 1048576, NULL},
    {"epochs", 0, EL_CLI_U32, FIELD(epochs), "N", "0",
     "times that each layer learns from them; 0: it is rounded only", 0, 1000, NULL},
    {"steps", 0, EL_CLI_U32, FIELD(steps), "N", "72",
     "in which all layers together learn from the source; 0: none", 0, 1000000, NULL},
    {"rate", 0, EL_CLI_FLOAT, FIELD(rate), "CODES", "0.0004",
     "what a weight moves in a step, at first; for hundreds: 0.001", 0.000001, 1, NULL},
    {"seed", 0, EL_CLI_U64, FIELD(seed), "N", "0", "of the texts that the model writes", 0,
     WHOLE_MAX, NULL},
    {"threads", 'j', EL_CLI_U32, FIELD(threads), "N", NULL,
     "for calibration; all allowed cores if not given", 1, 64, NULL},
    {"resume", 0, EL_CLI_ON, FIELD(resume), NULL, NULL,
     "go on with a calibrated run that was stopped or killed", 0, 0, NULL},
    {"restart", 0, EL_CLI_ON, FIELD(restart), NULL, NULL, "begin anew: forget such a run", 0, 0,
     NULL},
    {"max-kl", 0, EL_CLI_FLOAT, FIELD(max_kl), "NATS", "2",
     "a file further from the source than this is refused as ruined", 0.000001, 100, NULL},
    {"force", 0, EL_CLI_ON, FIELD(force), NULL, NULL, "write a ruined file too", 0, 0, NULL},
    {"report", 0, EL_CLI_TEXT, FIELD(report), "FILE", NULL,
     "write options, figures and matrices there, as JSON", 0, 0, NULL},
    {"lora", 0, EL_CLI_TEXT, FIELD(lora), "ADAPTER", NULL,
     "a PEFT folder or GGUF adapter, to make a file of for TM2 file SOURCE", 0, 0, NULL},
    {"plan", 0, EL_CLI_TEXT, FIELD(plan), "FILE", NULL,
     "no file is made: what of the model of these shapes (JSON) fits?", 0, 0, NULL},
    {"json", 0, EL_CLI_ON, FIELD(json), NULL, NULL, "one JSON object, no progress", 0, 0, NULL},
    {"quiet", 'q', EL_CLI_ON, FIELD(quiet), NULL, NULL, "no progress, no summary", 0, 0, NULL},
    {0},
};

const el_cli_command el_cli_cmd_quantize = {
    .name = "quantize",
    .synopsis = "quantize SOURCE -o OUT.tm2.bin [options]",
    .about =
        "Makes the file that the other commands run; it appears when it is complete.\n"
        "SOURCE is a GGUF file, or any of NAME-00001-of-00003.gguf and so on, or a folder as\n"
        "Hugging Face has them: config.json, tokenizer.json and model.safetensors, or its\n"
        "parts, in F32, F16 or BF16.\n\n"
        "Without --bits and --fit no weight changes that TM2 can hold: Q4_0, Q4_1, Q8_0, Q1_0,\n"
        "Q2_0, TQ1_0, TQ2_0 and three levels in any type are taken over as they are.\n"
        "With --bits or --fit the model is calibrated: rounded, then trained, so that it\n"
        "answers as the source does: minutes (a small model) to hours, and several times the\n"
        "source's memory.\n"
        "Finished parts are kept in OUT.tm2.bin.unfinished-edgellm: a run that was stopped goes\n"
        "on with the same options and --resume. --fit chooses the bits of each matrix by what\n"
        "it can bear; with --bits you do, and --tensor and --embedding-bits go before both.\n"
        "--bits with --calibrate none is the plain way: each weight is rounded, in seconds; to\n"
        "1 bit (-1, 1) or 1.6 (-1, 0, 1) too, for models that were trained for it.\n"
        "--lora ADAPTER makes of a LoRA adapter the file that run, chat, bench, perplexity,\n"
        "certify and serve take with --lora (docs/ADAPTERS.md).\n"
        "--plan FILE --fit SIZE, alone or with --json, only counts bytes.\n",
    .examples =
        "  edgellm quantize model.gguf -o model.tm2.bin\n"
        "  edgellm quantize SmolLM2-135M-Instruct/ -o model.tm2.bin --bits 8 --calibrate none\n"
        "  edgellm quantize model.gguf -o small.tm2.bin --fit 40MB\n"
        "  edgellm quantize model.gguf -o small.tm2.bin --fit 40MB --resume\n"
        "  edgellm quantize model.gguf -o small.tm2.bin --bits 2 --group 64 \\\n"
        "      --tensor ffn_down=3 --tensor 'blk\\.(0|1)\\.=4' --report small.json\n"
        "  edgellm quantize model.gguf -o plain.tm2.bin --bits 4 --offset --calibrate none \\\n"
        "      --embedding-bits 8\n"
        "  edgellm quantize model.tm2.bin --lora adapter/ -o adapter.tma\n"
        "  edgellm quantize --plan examples/shapes/qwen2-0.5b.json --fit 125MB\n",
    .options = option_rows,
    .values_size = sizeof(quantize_values),
    .min_operands = 0, /* with --plan */
    .max_operands = 1,
    .model = EL_CLI_QUANTIZES_MODEL,
    .run = quantize,
};
