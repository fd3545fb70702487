#include "cli/quantize_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_output.h"
#include "cli/cli_stats.h"
#include "quant/quantize.h"

/* ---- figures ------------------------------------------------------------------------------ */

/* How one kind is shown; text: false if there is nothing to show. */
typedef struct kind_row {
    bool (*text)(const void *field, char *room, size_t size);
    json_t *(*json)(const void *field);
} kind_row;

static bool flag_text(const void *field, char *room, size_t size)
{
    snprintf(room, size, "%s", *(const bool *)field ? "yes" : "no");
    return true;
}

static bool u32_text(const void *field, char *room, size_t size)
{
    snprintf(room, size, "%u", *(const uint32_t *)field);
    return true;
}

static bool u64_text(const void *field, char *room, size_t size)
{
    snprintf(room, size, "%llu", (unsigned long long)*(const uint64_t *)field);
    return true;
}

static bool is_measured(double value)
{
    return isfinite(value) && value != 0;
}

static bool real_text(const void *field, char *room, size_t size)
{
    const double value = *(const double *)field;
    snprintf(room, size, "%.4g", value);
    return is_measured(value);
}

static bool share_text(const void *field, char *room, size_t size)
{
    const double value = *(const double *)field;
    snprintf(room, size, "%.2f %%", 100 * value);
    return is_measured(value);
}

static bool chars_text(const void *field, char *room, size_t size)
{
    snprintf(room, size, "%s", (const char *)field);
    return room[0] != '\0';
}

static bool pointer_text(const void *field, char *room, size_t size)
{
    const char *text = *(const char *const *)field;
    return text != NULL && chars_text(text, room, size);
}

static json_t *flag_json(const void *field)
{
    return json_boolean(*(const bool *)field);
}

static json_t *u32_json(const void *field)
{
    return json_integer(*(const uint32_t *)field);
}

static json_t *u64_json(const void *field)
{
    return json_integer((json_int_t) * (const uint64_t *)field);
}

static json_t *real_json(const void *field)
{
    const double value = *(const double *)field;
    return is_measured(value) ? json_real(value) : json_null();
}

static json_t *chars_json(const void *field)
{
    return el_cli_json_text(field, strlen(field));
}

static json_t *pointer_json(const void *field)
{
    const char *text = *(const char *const *)field;
    return text != NULL ? chars_json(text) : json_null();
}

static const kind_row kinds[] = {
    [EL_CLI_FIGURE_FLAG] = {flag_text, flag_json},
    [EL_CLI_FIGURE_U32] = {u32_text, u32_json},
    [EL_CLI_FIGURE_U64] = {u64_text, u64_json},
    [EL_CLI_FIGURE_REAL] = {real_text, real_json},
    [EL_CLI_FIGURE_SHARE] = {share_text, real_json},
    [EL_CLI_FIGURE_TEXT] = {pointer_text, pointer_json},
    [EL_CLI_FIGURE_CHARS] = {chars_text, chars_json},
};

static const void *field_of(const el_cli_figure *figure, const void *values)
{
    return (const char *)values + figure->field;
}

void el_cli_figures_print(const el_cli_figure *table, const void *values)
{
    char text[64];
    for (const el_cli_figure *f = table; f->name != NULL; f++) {
        if (f->title == NULL) continue;
        if (!kinds[f->kind].text(field_of(f, values), text, sizeof text)) continue;
        printf("%-38s %s\n", f->title, text);
    }
}

void el_cli_figures_json(const el_cli_figure *table, const void *values, json_t *object)
{
    for (const el_cli_figure *f = table; f->name != NULL; f++)
        json_object_set_new(object, f->name, kinds[f->kind].json(field_of(f, values)));
}

json_t *el_cli_bits_json(unsigned bits)
{
    return bits == EL_ROUND_TERNARY ? el_cli_json_real(1.6) : json_integer(bits);
}

/* ---- the finished file --------------------------------------------------------------------- */

static el_cli_made_kind *kind_of(el_cli_made *m, const edgellm_tensor_info *t)
{
    for (size_t i = 0; i < m->n_kinds; i++) {
        el_cli_made_kind *k = &m->kinds[i];
        if (k->group == t->group && strcmp(k->codec, t->codec) == 0) return k;
    }
    el_cli_made_kind *k = &m->kinds[m->n_kinds++];
    *k = (el_cli_made_kind){.group = t->group};
    snprintf(k->codec, sizeof k->codec, "%s", t->codec);
    return k;
}

static json_t *matrix_json(const edgellm_tensor_info *t)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", el_cli_json_text(t->name, strlen(t->name)));
    json_object_set_new(o, "rows", json_integer(t->rows));
    json_object_set_new(o, "cols", json_integer(t->cols));
    json_object_set_new(o, "codec", json_string(t->codec));
    json_object_set_new(o, "scales", json_string(t->scales));
    json_object_set_new(o, "group", t->group != 0 ? json_integer(t->group) : json_null());
    json_object_set_new(o, "rotation", json_string(t->rotation));
    json_object_set_new(o, "bytes", json_integer((json_int_t)t->bytes));
    return o;
}

static void add_matrix(el_cli_made *m, const edgellm_tensor_info *t)
{
    el_cli_made_kind *kind = kind_of(m, t);
    kind->matrices++;
    kind->weights += (uint64_t)t->rows * t->cols;
    kind->bytes += t->bytes;
    json_array_append_new(m->matrices, matrix_json(t));
}

static edgellm_status read_matrices(el_cli_made *m, const edgellm_engine *engine,
                                    edgellm_error *err)
{
    edgellm_model_info info;
    edgellm_engine_info(engine, &info);
    el_cli_made_free(m);
    m->parameters = info.parameters;
    m->matrices = json_array();
    m->kinds = calloc((size_t)info.tensors + 1, sizeof *m->kinds);
    if (m->kinds == NULL || m->matrices == NULL) {
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory to count %u tensors", info.tensors);
    }
    for (uint32_t i = 0; i < info.tensors; i++) {
        edgellm_tensor_info tensor;
        EL_CLI_TRY(edgellm_engine_tensor(engine, i, &tensor, err));
        if (tensor.rows > 1) add_matrix(m, &tensor); /* norms and biases are one row */
    }
    return EDGELLM_OK;
}

edgellm_status el_cli_made_look(void *made, const char *temporary, edgellm_error *err)
{
    edgellm_engine *engine = NULL;
    edgellm_error why = {EDGELLM_OK, ""};
    edgellm_status status = edgellm_engine_open(temporary, NULL, &engine, &why);
    if (status == EDGELLM_OK) {
        status = read_matrices(made, engine, err);
        edgellm_engine_close(engine);
        return status;
    }
    const char *reason = strstr(why.message, "': "); /* behind the name of the temporary */
    return el_cli_fail(err, status, "nothing was written: the model could not be run: %.300s",
                       reason ? reason + 3 : why.message);
}

void el_cli_made_print(const el_cli_made *m)
{
    printf("\ncodec  group  matrices      weights        bytes  bits/weight\n");
    for (size_t i = 0; i < m->n_kinds; i++) {
        const el_cli_made_kind *k = &m->kinds[i];
        char group[16] = "row";
        if (k->group != 0) snprintf(group, sizeof group, "%u", k->group);
        printf("%-5s  %-5s  %8llu  %11llu  %11llu  %11.3f\n", k->codec, group,
               (unsigned long long)k->matrices, (unsigned long long)k->weights,
               (unsigned long long)k->bytes, (double)k->bytes * 8 / (double)k->weights);
    }
}

void el_cli_made_free(el_cli_made *m)
{
    json_decref(m->matrices);
    free(m->kinds);
    *m = (el_cli_made){.matrices = NULL};
}

/* ---- the report ---------------------------------------------------------------------------- */

edgellm_status el_cli_report_open(el_outfile *out, const char *path, edgellm_error *err)
{
    *out = (el_outfile){.temporary = NULL};
    return path != NULL ? el_outfile_create(out, path, err) : EDGELLM_OK;
}

static json_t *report_json(const el_cli_report_parts *p)
{
    json_t *o = json_object();
    json_object_set_new(o, "version", json_string(edgellm_version()));
    json_object_set_new(o, "source", el_cli_json_text(p->source, strlen(p->source)));
    json_object_set_new(o, "options", p->options);
    json_object_set_new(o, "result", p->result);
    json_object_set(o, "matrices", p->made->matrices);
    return o;
}

static edgellm_status write_report(el_outfile *out, const el_cli_report_parts *parts,
                                   edgellm_error *err)
{
    char *text = el_cli_json_dump(report_json(parts), JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    if (text == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for its text");
    el_outfile_write(out, text, strlen(text));
    el_outfile_write(out, "\n", 1);
    free(text);
    return el_outfile_commit(out, err);
}

edgellm_status el_cli_report_write(el_outfile *out, const el_cli_report_parts *parts,
                                   edgellm_error *err)
{
    edgellm_error why = {EDGELLM_OK, ""};
    edgellm_status status = write_report(out, parts, &why);
    if (status == EDGELLM_OK) return status;
    return el_cli_fail(err, status, "'%.300s' is complete, but its report is not written: %.300s",
                       parts->target, why.message);
}

void el_cli_report_cancel(el_outfile *out)
{
    if (out->temporary != NULL) el_outfile_cancel(out);
}
