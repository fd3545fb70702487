#include "train/forms.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/manifest.h"
#include "quant/plan.h"
#include "quant/round.h"
#include "train/allocate.h"
#include "train/hadamard.h"
#include "train/probe.h"

/*
 * What a file of a given size is made of; the coarsest comes first, the kept last. Rotated weights
 * are alike everywhere, so few scales do, and offsets gain nothing. Columns that are no multiple of
 * 64 cannot be rotated.
 * A source of 4 bits (Q4_1, Q4_0) has 16 levels for 32 weights: where these are kept, next to
 * nothing is lost. Yet a matrix that is kept makes up for nothing that others lose, and where all
 * others have 2 bits that is worth more than its bits.
 */
#define KEPT_4_BITS                                                                                \
    {                                                                                              \
        EL_CODEC_O4, 32, .kept = true                                                              \
    }
static const el_form rotated_forms[] = {{EL_CODEC_C2, 128, .rotated = true},
                                        {EL_CODEC_C3, 128, .rotated = true},
                                        {EL_CODEC_S4, 128, .rotated = true},
                                        {EL_CODEC_I8, 128, .rotated = true},
                                        KEPT_4_BITS};
/* The same with levels that are evenly spaced: where a level cannot be looked up in a register, or
 * in half of one, chained codes take their time (docs/CODECS.md). */
static const el_form even_forms[] = {{EL_CODEC_S2, 128, .rotated = true},
                                     {EL_CODEC_S3, 128, .rotated = true},
                                     {EL_CODEC_S4, 128, .rotated = true},
                                     {EL_CODEC_I8, 128, .rotated = true},
                                     KEPT_4_BITS};
static const el_form plain_forms[] = {
    {.codec = EL_CODEC_O2, .group = 128}, {.codec = EL_CODEC_O2, .group = 64},
    {.codec = EL_CODEC_S3, .group = 64},  {.codec = EL_CODEC_O3, .group = 64},
    {.codec = EL_CODEC_S4, .group = 64},  {.codec = EL_CODEC_O4, .group = 64},
    {.codec = EL_CODEC_I8, .group = 64},  KEPT_4_BITS};
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
enum { COARSEST = 0, THREE_BITS = 1 }; /* of rotated_forms */

enum {
    MOST_FREQUENT = 16,   /* that part of a vocabulary has bits of its own, */
    USUAL = 3,            /* and so have those after it up to this part, and the rest */
    PROBE_SEQUENCES = 16, /* for second moments */
    PROBE_SEGMENTS = 2,
    PROBE_SPAN = 256,
};

static bool is_table(const el_source *s, uint32_t index)
{
    return index < el_student_tables(s);
}

static bool can_rotate(const el_config *c)
{
    uint32_t heads = c->heads * c->head_dim;
    return c->dim % EL_ROTATION_WIDTH == 0 && c->ffn_dim % EL_ROTATION_WIDTH == 0 &&
           heads % EL_ROTATION_WIDTH == 0;
}

/* Has the file room for more than so many bits a weight? */
static bool has_room(const el_source *s, uint64_t fit, unsigned bits)
{
    uint64_t weights = 0;
    for (uint32_t i = 0; i < el_student_count(s); i++) {
        const el_extent e = el_student_extent(s, i);
        weights += (uint64_t)e.rows * e.tensor->cols;
    }
    return fit > weights * bits / 8;
}

static el_probe_forms forms_for(const el_source *s, const el_compress_options *o, float damping)
{
    if (!can_rotate(&s->config))
        return (el_probe_forms){plain_forms, LENGTH(plain_forms), COARSEST, damping};
    const uint32_t all = LENGTH(rotated_forms);
    const uint32_t offered = o->fit && !has_room(s, o->fit, 3) ? all - 1 : all;
    /* Where few matrices will have 2 bits, 3 are nearer to what comes of it. */
    const uint32_t probed = has_room(s, o->fit, 4) ? THREE_BITS : COARSEST;
    return (el_probe_forms){o->even ? even_forms : rotated_forms, offered, probed, damping};
}

static uint32_t part_of_vocab(const el_source *s, uint32_t part)
{
    return s->config.vocab / part / EL_TILE * EL_TILE;
}

/* Tokens are numbered in the order in which merges made them, so low ids are the frequent ones. */
void el_forms_cut(el_source *s, const el_compress_options *o)
{
    if (!o->fit) return;
    s->cuts[0] = part_of_vocab(s, MOST_FREQUENT);
    if (s->cuts[0]) s->cuts[1] = part_of_vocab(s, USUAL);
}

/* ---- rules ------------------------------------------------------------------------------ */

static edgellm_status compile(const el_compress_rule *rule, regex_t *regex, edgellm_error *err)
{
    char why[100];
    int failed = regcomp(regex, rule->pattern, REG_EXTENDED | REG_NOSUB);
    if (!failed) return EDGELLM_OK;
    regerror(failed, regex, why, sizeof why);
    return el_fail(err, EDGELLM_ERR_USAGE, "pattern '%.200s': %s", rule->pattern, why);
}

/* bits[i] of the matrices that match; returns how many do. */
static uint32_t apply(const el_source *s, const regex_t *regex, unsigned rule_bits, unsigned *bits)
{
    uint32_t matches = 0;
    for (uint32_t i = 0; i < el_student_count(s); i++) {
        const el_extent e = el_student_extent(s, i);
        if (regexec(regex, e.name, 0, NULL, 0) != 0) continue;
        bits[i] = rule_bits;
        matches++;
    }
    return matches;
}

/* What rules and options fix: bits (el_student_count()) of each matrix, 0 if they leave it open. */
static edgellm_status fix_bits(const el_source *s, const el_compress_options *o, unsigned *bits,
                               edgellm_error *err)
{
    for (uint32_t i = 0; i < el_student_count(s); i++) {
        bits[i] = o->fit ? 0 : o->bits;
        if (is_table(s, i) && o->embedding_bits) bits[i] = o->embedding_bits;
    }
    for (uint32_t i = 0; i < o->n_rules; i++) {
        regex_t regex;
        EL_TRY(compile(&o->rules[i], &regex, err));
        uint32_t matches = apply(s, &regex, o->rules[i].bits, bits);
        regfree(&regex);
        if (matches == 0) {
            return el_fail(err, EDGELLM_ERR_USAGE,
                           "pattern '%.200s' matches no matrix: their names are such as '%s' and "
                           "'%s'",
                           o->rules[i].pattern, s->embedding->name,
                           el_source_part(s, 0, EL_PART_DOWN)->name);
        }
    }
    return EDGELLM_OK;
}

static bool bits_exist(unsigned bits)
{
    return bits == 2 || bits == 3 || bits == 4 || bits == 8;
}

/* ---- by a number of bytes --------------------------------------------------------------- */

static el_size_form size_form(el_form form)
{
    return (el_size_form){form.codec, EL_SCALE_BYTE, form.group};
}

/* Everything but matrices; what a manifest may need is allowed for. */
static uint64_t fixed_bytes(const el_source *s, const el_compress_options *o)
{
    el_size size;
    const el_vocab *v = &s->vocab;
    const el_size_form vector = {EL_CODEC_F32, EL_SCALE_F16, 0};
    el_size_begin(&size, el_size_vocab(v), strlen(v->chat_template) + 1);
    for (uint32_t i = 0; i < 2 * s->config.layers + 1; i++)
        el_size_put(&size, 1, s->config.dim, &vector);
    for (int i = 0; i < EL_FIXED; i++)
        for (uint32_t k = 0; el_source_has_fixed(s, i) && k < s->config.layers; k++)
            el_size_put(&size, 1, el_source_fixed_cols(s, i), &vector);
    for (int i = 0; i < EL_FACTORS; i++)
        if (s->factors[i]) el_size_put(&size, 1, s->config.rotary_dim / 2, &vector);
    size.tensors += el_student_count(s);
    uint64_t manifest = EL_PLAN_MANIFEST_BYTES;
    for (uint32_t i = 0; i < o->n_rules; i++)
        manifest += 6 * strlen(o->rules[i].pattern) + 16;
    return el_size_finish(&size, manifest);
}

/* Candidates of matrix `index`, with the damages that the probe found (NULL: none are known). */
static void list_candidates(const el_source *s, const el_probe *p, const el_probe_forms *forms,
                            uint32_t index, unsigned bits, el_candidate *list, el_allocation *a)
{
    const double *damage = p ? el_probe_damage_of(p, index) : NULL;
    const el_extent e = el_student_extent(s, index);
    *a = (el_allocation){.candidates = list, .count = forms->count, .fixed = EL_NOT_FIXED};
    for (uint32_t i = 0; i < forms->count; i++) {
        const el_size_form form = size_form(forms->forms[i]);
        uint64_t bytes = el_size_tensor(e.rows, e.tensor->cols, &form);
        list[i] = (el_candidate){bytes, damage ? damage[i] : 0.0};
        /* Of several forms with the bits asked for, the finest that suits every source. */
        if (bits && !forms->forms[i].kept && el_codecs[forms->forms[i].codec].bits == bits)
            a->fixed = (int32_t)i;
    }
}

/* forms: may be NULL, if only the question is whether the size can be met. */
static edgellm_status allocate(const el_source *s, const el_probe *p, const el_compress_options *o,
                               const unsigned *bits, el_form *forms, edgellm_error *err)
{
    uint32_t n = el_student_count(s);
    el_allocation *list = malloc(n * sizeof *list);
    el_candidate *candidates = malloc((size_t)n * EL_CANDIDATES_MAX * sizeof *candidates);
    edgellm_status status = EDGELLM_OK;
    if (list && candidates) {
        const el_probe_forms of_source = forms_for(s, o, 0);
        for (uint32_t i = 0; i < n; i++) {
            el_candidate *of = candidates + (size_t)i * EL_CANDIDATES_MAX;
            list_candidates(s, p, &of_source, i, bits[i], of, &list[i]);
        }
        status = el_allocate(list, n, fixed_bytes(s, o), o->fit, err);
        for (uint32_t i = 0; i < n && forms && status == EDGELLM_OK; i++)
            forms[i] = of_source.forms[list[i].choice];
    } else {
        status = el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for the choice of bits");
    }
    free(candidates);
    free(list);
    return status;
}

edgellm_status el_forms_check(const el_source *s, const el_compress_options *o, edgellm_error *err)
{
    if ((!o->fit && !bits_exist(o->bits)) || (o->embedding_bits && !bits_exist(o->embedding_bits)))
        return el_fail(err, EDGELLM_ERR_USAGE, "bits must be 2, 3, 4 or 8");
    for (uint32_t i = 0; i < o->n_rules; i++) {
        if (!bits_exist(o->rules[i].bits)) {
            return el_fail(err, EDGELLM_ERR_USAGE, "pattern '%.200s': bits must be 2, 3, 4 or 8",
                           o->rules[i].pattern);
        }
    }
    unsigned *bits = calloc(el_student_count(s), sizeof *bits);
    if (!bits) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for the rules");
    edgellm_status status = fix_bits(s, o, bits, err);
    if (status == EDGELLM_OK && o->fit) status = allocate(s, NULL, o, bits, NULL, err);
    free(bits);
    return status;
}

static edgellm_status choose_by_bytes(const el_source *s, const el_compress_options *o,
                                      const el_forms_means *m, const unsigned *bits, el_form *forms,
                                      edgellm_error *err)
{
    el_probe p = {.source = s,
                  .shape = m->shape,
                  .crew = m->crew,
                  .members = m->members,
                  .tokens = m->tokens,
                  .sequences = m->sequences < PROBE_SEQUENCES ? m->sequences : PROBE_SEQUENCES,
                  .length = m->length,
                  .parts = forms_for(s, o, 0.01f),
                  .tables = forms_for(s, o, 0.03f),
                  .progress = m->progress,
                  .progress_context = m->progress_context};
    p.segments = p.sequences < PROBE_SEGMENTS ? p.sequences : PROBE_SEGMENTS;
    p.span = m->length < PROBE_SPAN ? m->length : PROBE_SPAN;
    el_arena arena = el_arena_measure();
    el_probe_layout(&p, &arena);
    EL_TRY(el_arena_reserve(&arena, arena.used, err));
    el_probe_layout(&p, &arena);
    edgellm_status status = el_probe_run(&p, err);
    if (status == EDGELLM_OK) status = allocate(s, &p, o, bits, forms, err);
    el_arena_release(&arena);
    return status;
}

/* As the forms of a size are. */
static el_codec codec_of(const el_compress_options *o, unsigned bits, bool rotated)
{
    if (rotated && !o->offset && !o->even && bits == 2) return EL_CODEC_C2;
    if (rotated && !o->offset && !o->even && bits == 3) return EL_CODEC_C3;
    return el_round_codec(bits, o->offset);
}

static void choose_by_bits(const el_source *s, const el_compress_options *o, const unsigned *bits,
                           el_form *forms)
{
    for (uint32_t i = 0; i < el_student_count(s); i++) {
        const uint32_t group = is_table(s, i) ? o->embedding_group : o->group;
        const bool rotated = can_rotate(&s->config);
        forms[i] = (el_form){codec_of(o, bits[i], rotated), group, .rotated = rotated};
    }
}

edgellm_status el_forms_choose(const el_source *s, const el_compress_options *o,
                               const el_forms_means *means, el_form *forms, edgellm_error *err)
{
    unsigned *bits = calloc(el_student_count(s), sizeof *bits);
    if (!bits) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for the choice of bits");
    edgellm_status status = fix_bits(s, o, bits, err);
    if (status == EDGELLM_OK && o->fit) {
        status = choose_by_bytes(s, o, means, bits, forms, err);
    } else if (status == EDGELLM_OK) {
        choose_by_bits(s, o, bits, forms);
    }
    free(bits);
    return status;
}

/* ---- manifest --------------------------------------------------------------------------- */

static void add_rules(el_manifest *m, const el_compress_options *o)
{
    el_manifest_add(m, "\"rules\":[");
    for (uint32_t i = 0; i < o->n_rules; i++) {
        el_manifest_add(m, "%s{\"pattern\":", i ? "," : "");
        el_manifest_add_string(m, o->rules[i].pattern);
        el_manifest_add(m, ",\"bits\":%u}", o->rules[i].bits);
    }
    el_manifest_add(m, "],");
}

static void add_options(el_manifest *m, const el_compress_options *o, uint32_t sequences)
{
    el_manifest_add(m, "\"options\":{\"fit\":%llu,\"bits\":%u,\"embedding_bits\":%u,",
                    (unsigned long long)o->fit, o->fit ? 0 : o->bits, o->embedding_bits);
    add_rules(m, o);
    el_manifest_add(m, "\"calibrate\":\"%s\",\"sequences\":%u,\"length\":%u,\"seed\":%llu,",
                    o->calibration ? "file" : "self", sequences, o->length,
                    (unsigned long long)o->seed);
    el_manifest_add(m, "\"epochs\":%u,\"steps\":%u", o->epochs, o->steps);
    if (o->rate > 0) el_manifest_add(m, ",\"rate\":%g", o->rate);
    if (o->even) el_manifest_add(m, ",\"even_levels\":true");
    el_manifest_add(m, "},");
}

char *el_forms_manifest(const char *path, const el_source *s, const el_form *forms,
                        const el_compress_options *o, uint32_t sequences, const char *kernels)
{
    el_manifest m;
    el_codec_counts counts = {0};
    el_manifest_begin(&m, path, el_gguf_bytes(&s->gguf), el_gguf_crc(&s->gguf));
    add_options(&m, o, sequences);
    /* Sums of floats round otherwise on another kind of CPU. */
    el_manifest_add(&m, "\"cpu\":\"%.40s\",", kernels);
    for (uint32_t i = 0; i < el_student_count(s); i++)
        el_codec_count(&counts, forms[i].codec, EL_SCALE_BYTE, forms[i].group);
    for (uint32_t i = 0; i < 2 * s->config.layers + 1 + el_source_fixed_count(s); i++)
        el_codec_count(&counts, EL_CODEC_F32, EL_SCALE_F16, 0);
    return el_manifest_end(&m, &counts);
}
