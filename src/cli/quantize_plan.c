#include "cli/quantize_plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_model.h"
#include "cli/cli_output.h"
#include "cli/quantize_report.h"
#include "quant/plan.h"

/* ---- reading ------------------------------------------------------------------------------ */

typedef struct shapes {
    json_t *root; /* owns the texts */
    const char *name, *note;
    el_plan_model model;
} shapes;

typedef enum member_kind { MEMBER_TEXT, MEMBER_NUMBER, MEMBER_BYTES, MEMBER_FLAG } member_kind;

static const char *const kind_names[] = {[MEMBER_TEXT] = "a text",
                                         [MEMBER_NUMBER] = "a whole number below 2^32",
                                         [MEMBER_BYTES] = "a whole number of bytes",
                                         [MEMBER_FLAG] = "true or false"};

static const struct member {
    const char *name;
    member_kind kind;
    size_t field;
    bool optional;
} members[] = {
    {"name", MEMBER_TEXT, offsetof(shapes, name), false},
    {"note", MEMBER_TEXT, offsetof(shapes, note), true},
    {"architecture", MEMBER_TEXT, offsetof(shapes, model.architecture), false},
    {"layers", MEMBER_NUMBER, offsetof(shapes, model.layers), false},
    {"dim", MEMBER_NUMBER, offsetof(shapes, model.dim), false},
    {"ffn_dim", MEMBER_NUMBER, offsetof(shapes, model.ffn_dim), false},
    {"heads", MEMBER_NUMBER, offsetof(shapes, model.heads), false},
    {"kv_heads", MEMBER_NUMBER, offsetof(shapes, model.kv_heads), false},
    {"head_dim", MEMBER_NUMBER, offsetof(shapes, model.head_dim), false},
    {"vocab", MEMBER_NUMBER, offsetof(shapes, model.vocab), false},
    {"tied_embedding", MEMBER_FLAG, offsetof(shapes, model.tied_embedding), false},
    {"qkv_bias", MEMBER_FLAG, offsetof(shapes, model.qkv_bias), false},
    {"tokenizer_bytes", MEMBER_BYTES, offsetof(shapes, model.tokenizer_bytes), false},
};
enum { N_MEMBERS = sizeof members / sizeof members[0] };

static const struct member *find_member(const char *name)
{
    for (int i = 0; i < N_MEMBERS; i++) {
        if (strcmp(members[i].name, name) == 0) return &members[i];
    }
    return NULL;
}

/* False: the value is of another kind. */
static bool take(const struct member *m, const json_t *value, shapes *s)
{
    void *field = (char *)s + m->field;
    const json_int_t number = json_integer_value(value); /* 0 if it is none */
    switch (m->kind) {
    case MEMBER_TEXT:
        *(const char **)field = json_string_value(value);
        return json_is_string(value);
    case MEMBER_NUMBER:
        *(uint32_t *)field = (uint32_t)number;
        return json_is_integer(value) && number >= 0 && number <= UINT32_MAX;
    case MEMBER_BYTES:
        *(uint64_t *)field = (uint64_t)number;
        return json_is_integer(value) && number >= 0;
    case MEMBER_FLAG:
        *(bool *)field = json_is_true(value);
        return json_is_boolean(value);
    }
    return false;
}

static edgellm_status take_members(shapes *s, const char *path, edgellm_error *err)
{
    const char *key;
    json_t *value;
    for (int i = 0; i < N_MEMBERS; i++) {
        value = json_object_get(s->root, members[i].name);
        if (value == NULL && members[i].optional) continue;
        if (value == NULL || !take(&members[i], value, s)) {
            return el_cli_fail(err, EDGELLM_ERR_FORMAT, "'%.200s': %s %s, but must be %s", path,
                               members[i].name, value == NULL ? "is missing" : "is something else",
                               kind_names[members[i].kind]);
        }
    }
    json_object_foreach(s->root, key, value)
    {
        if (find_member(key) != NULL) continue;
        return el_cli_fail(err, EDGELLM_ERR_FORMAT, "'%.200s': there is no member '%.80s'", path,
                           key);
    }
    return EDGELLM_OK;
}

static edgellm_status parse(const el_cli_bytes *bytes, const char *path, shapes *s,
                            edgellm_error *err)
{
    json_error_t why;
    s->root = json_loadb(bytes->text, bytes->len, JSON_REJECT_DUPLICATES, &why);
    if (el_cli_json_starved()) {
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory to read '%.200s'", path);
    }
    if (s->root == NULL) {
        return el_cli_fail(err, EDGELLM_ERR_FORMAT, "'%.200s', line %d: no JSON: %.120s", path,
                           why.line, why.text);
    }
    if (!json_is_object(s->root)) {
        return el_cli_fail(err, EDGELLM_ERR_FORMAT, "'%.200s': not a JSON object", path);
    }
    return take_members(s, path, err);
}

/* ---- printing ----------------------------------------------------------------------------- */

static double mb(uint64_t bytes)
{
    return (double)bytes / EL_CLI_MB;
}

typedef struct word {
    char text[12];
} word;

static word bits_number(unsigned bits)
{
    word w = {"1.6"};
    if (bits != EL_ROUND_TERNARY) snprintf(w.text, sizeof w.text, "%u", bits);
    return w;
}

static const char *bits_unit(unsigned bits)
{
    return bits == 1 ? "bit" : "bits";
}

static void print_mix(const el_plan_mix *mix)
{
    const unsigned bits = mix->embedding_bits;
    if (bits == 0)
        printf("  embedding as body ");
    else
        printf("  embedding %3s %-4s", bits_number(bits).text, bits_unit(bits));
    if (!mix->fits) {
        printf(" does not fit: %.2f MB with 1 bit in the body\n", mb(mix->least_bytes));
        return;
    }
    for (int i = 0; i < EL_PLAN_LEVELS; i++) {
        if (mix->share[i] <= 0) continue;
        printf(" %5.1f %% at %s %s", 100 * mix->share[i], bits_number(el_plan_bits[i]).text,
               bits_unit(el_plan_bits[i]));
    }
    printf("\n");
}

static void print_fits(const el_plan *p)
{
    if (!p->fits) {
        printf("fits       no: %.2f MB too large with the codecs there are\n",
               mb(p->smallest_bytes - p->size));
        return;
    }
    printf("fits       yes%s; mixed evenly, with byte scales and groups of 128:\n",
           p->calibrated_bytes <= p->size ? ""
                                          : ", for a model that was trained for less than 2 bits");
    for (int i = 0; i < EL_PLAN_MIXES; i++)
        print_mix(&p->mixes[i]);
}

static void print_text(const shapes *s, const el_plan *p)
{
    const uint64_t weights = p->body_weights + p->embedding_weights;
    printf("%s in %.2f MB (%llu bytes)\n", s->name, mb(p->size), (unsigned long long)p->size);
    printf("weights    %.1f million: %.1f in the body, %.1f in the embedding\n",
           (double)weights / 1e6, (double)p->body_weights / 1e6,
           (double)p->embedding_weights / 1e6);
    printf("fixed      %.3f MB: tokenizer %.3f, norms and biases %.3f, the rest %.3f\n",
           mb(p->fixed_bytes), mb(s->model.tokenizer_bytes), mb(p->vector_bytes),
           mb(p->frame_bytes));
    printf("left       %.3f bits per weight, scales included\n", p->bits_left);
    printf("smallest   %.2f MB (%llu bytes): 1 bit, byte scales, groups of 128, embedding too\n",
           mb(p->smallest_bytes), (unsigned long long)p->smallest_bytes);
    printf("calibrated %.2f MB (%llu bytes) or more: from 2 bits on\n", mb(p->calibrated_bytes),
           (unsigned long long)p->calibrated_bytes);
    print_fits(p);
}

static json_t *mix_json(const el_plan_mix *mix)
{
    json_t *o = json_object(), *shares = json_object();
    json_object_set_new(o, "embedding_bits",
                        mix->embedding_bits ? el_cli_bits_json(mix->embedding_bits) : json_null());
    json_object_set_new(o, "fits", json_boolean(mix->fits));
    json_object_set_new(o, "least_bytes", json_integer((json_int_t)mix->least_bytes));
    for (int i = 0; i < EL_PLAN_LEVELS; i++) {
        json_object_set_new(shares, bits_number(el_plan_bits[i]).text, json_real(mix->share[i]));
    }
    json_object_set_new(o, "share", shares);
    return o;
}

static json_t *as_json(const shapes *s, const el_plan *p)
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"size", p->size},
        {"fixed_bytes", p->fixed_bytes},
        {"tokenizer_bytes", s->model.tokenizer_bytes},
        {"vector_bytes", p->vector_bytes},
        {"frame_bytes", p->frame_bytes},
        {"body_weights", p->body_weights},
        {"embedding_weights", p->embedding_weights},
        {"smallest_bytes", p->smallest_bytes},
        {"calibrated_bytes", p->calibrated_bytes},
    };
    json_t *o = json_object(), *mixes = json_array();
    json_object_set_new(o, "name", el_cli_json_text(s->name, strlen(s->name)));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_object_set_new(o, numbers[i].name, json_integer((json_int_t)numbers[i].value));
    json_object_set_new(o, "bits_left", json_real(p->bits_left));
    json_object_set_new(o, "fits", json_boolean(p->fits));
    for (int i = 0; i < EL_PLAN_MIXES; i++)
        json_array_append_new(mixes, mix_json(&p->mixes[i]));
    json_object_set_new(o, "mixes", mixes);
    return o;
}

/* ---- the command -------------------------------------------------------------------------- */

static edgellm_status plan(const el_cli_bytes *bytes, const char *path, shapes *s, el_plan *result,
                           uint64_t size, edgellm_error *err)
{
    edgellm_error why = {EDGELLM_OK, ""};
    EL_CLI_TRY(parse(bytes, path, s, err));
    edgellm_status status = el_plan_make(&s->model, size, result, &why);
    if (status == EDGELLM_OK) return status;
    return el_cli_fail(err, status, "'%.200s': %.200s", path, why.message);
}

edgellm_status el_cli_plan(const char *path, uint64_t size, bool json, edgellm_error *err)
{
    el_cli_bytes bytes = {NULL, 0};
    shapes s = {.root = NULL};
    el_plan result;
    EL_CLI_TRY(el_cli_read(path, &bytes, err));
    edgellm_status status = plan(&bytes, path, &s, &result, size, err);
    if (status == EDGELLM_OK && json) {
        status = el_cli_print_json(as_json(&s, &result), err);
    } else if (status == EDGELLM_OK) {
        print_text(&s, &result);
    }
    json_decref(s.root);
    free(bytes.text);
    return status;
}
