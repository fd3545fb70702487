/*
 * cmd_info.c: `edgellm info`: what a model file holds, which kernel would run it here, and how
 * many bytes it needs under the options given.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_model.h"
#include "cli/cli_output.h"

typedef struct info_values {
    el_cli_model_values model;
    bool json, tensors;
} info_values;

/* One kind of tensor in the file, summed up. */
typedef struct kind_sum {
    edgellm_tensor_info like;
    uint64_t count, weights, bytes;
} kind_sum;

typedef struct report {
    const char *path;
    const info_values *values;
    const el_cli_model *model;
    edgellm_memory_plan plan;
    kind_sum *kinds; /* (n_kinds), in order of appearance */
    size_t n_kinds;
    long page_bytes;
} report;

/* ---- collecting --------------------------------------------------------------------------- */

static bool same_kind(const edgellm_tensor_info *a, const edgellm_tensor_info *b)
{
    return strcmp(a->codec, b->codec) == 0 && strcmp(a->scales, b->scales) == 0 &&
           strcmp(a->rotation, b->rotation) == 0 && a->group == b->group;
}

static kind_sum *kind_of(report *r, const edgellm_tensor_info *tensor)
{
    for (size_t i = 0; i < r->n_kinds; i++) {
        if (same_kind(&r->kinds[i].like, tensor)) return &r->kinds[i];
    }
    r->kinds[r->n_kinds] = (kind_sum){*tensor, 0, 0, 0};
    return &r->kinds[r->n_kinds++];
}

static edgellm_status sum_kinds(report *r, edgellm_error *err)
{
    uint32_t n = r->model->info.tensors;
    r->kinds = calloc((size_t)n + 1, sizeof *r->kinds);
    r->n_kinds = 0;
    if (r->kinds == NULL)
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory to count %u tensors", n);
    for (uint32_t i = 0; i < n; i++) {
        edgellm_tensor_info tensor;
        EL_CLI_TRY(edgellm_engine_tensor(r->model->engine, i, &tensor, err));
        kind_sum *kind = kind_of(r, &tensor);
        kind->count++;
        kind->weights += (uint64_t)tensor.rows * tensor.cols;
        kind->bytes += tensor.bytes;
    }
    return EDGELLM_OK;
}

/* "32", "row" or "-". */
static const char *group_text(const edgellm_tensor_info *tensor, char *text, size_t size)
{
    if (strcmp(tensor->scales, "none") == 0) return "-";
    if (tensor->group == 0) return "row";
    snprintf(text, size, "%u", tensor->group);
    return text;
}

/* ---- text --------------------------------------------------------------------------------- */

static const char *template_text(const edgellm_model_info *m, char *text, size_t size)
{
    if (m->has_unknown_template) return "a chat template that is not known";
    if (!m->has_chat_template) return "no chat template";
    snprintf(text, size, "chat template %s", m->chat_form);
    return text;
}

static void print_model(const report *r)
{
    char form[64];
    const edgellm_model_info *m = &r->model->info;
    printf("file            %s\n", r->path);
    printf("size            %llu bytes (%.1f MB)\n", (unsigned long long)m->file_bytes,
           (double)m->file_bytes / EL_CLI_MB);
    printf("model           %s%s%s\n", m->architecture, m->name[0] != '\0' ? ", " : "", m->name);
    printf("parameters      %llu\n", (unsigned long long)m->parameters);
    printf("layers          %u\n", m->layers);
    printf("width           %u, feed-forward %u\n", m->dim, m->ffn_dim);
    printf("heads           %u of %u, key/value %u\n", m->heads, m->head_dim, m->kv_heads);
    printf("vocabulary      %u tokens, pre-tokenizer %s, %s\n", m->vocab, m->pretokenizer,
           template_text(m, form, sizeof form));
    printf("trained context %u tokens\n", m->context_trained);
    printf("manifest        %s\n", m->manifest);
}

static const char *choice_text(const char *choice)
{
    static const char *const texts[][2] = {
        {"given", "as asked for"},
        {"newest", "the newest"},
        {"measured", "the fastest, measured now"},
        {"remembered", "the fastest, measured before"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(choice, texts[i][0]) == 0) return texts[i][1];
    return choice;
}

/* What a build without Clang lacks (cmake/rvv.cmake). */
#if defined(__riscv) && !defined(EL_RVV)
#define LEFT_OUT "; built without V"
#else
#define LEFT_OUT ""
#endif

/* Of a processor of which few know that it is special. */
static const char *no_vectors(void)
{
#ifdef __arm__
    if (edgellm_kernel_name(1) == NULL) return "; it has no NEON, which is several times slower";
#endif
    return "";
}

static void print_machine(const report *r)
{
    const char *name;
    printf("kernel          %s (%s; this CPU can run:", r->model->info.kernel,
           choice_text(r->model->info.kernel_choice));
    for (uint32_t i = 0; (name = edgellm_kernel_name(i)) != NULL; i++)
        printf(" %s", name);
    printf("%s" LEFT_OUT ")\npage size       %ld bytes\n", no_vectors(), r->page_bytes);
}

static void print_kinds(const report *r)
{
    char group[16];
    printf("\ncodec  group  scales  rotation    tensors      weights        bytes  bits/weight\n");
    for (size_t i = 0; i < r->n_kinds; i++) {
        const kind_sum *k = &r->kinds[i];
        printf("%-5s  %-5s  %-6s  %-10s  %7llu  %11llu  %11llu  %11.3f\n", k->like.codec,
               group_text(&k->like, group, sizeof group), k->like.scales, k->like.rotation,
               (unsigned long long)k->count, (unsigned long long)k->weights,
               (unsigned long long)k->bytes, (double)k->bytes * 8 / (double)k->weights);
    }
}

/* The rows of a memory plan, for text and JSON. */
static const struct plan_row {
    const char *name, *title;
    size_t field;
} plan_rows[] = {
    {"weights", "weights (mapped file)", offsetof(edgellm_memory_plan, weights)},
    {"tables", "tokenizer and directory", offsetof(edgellm_memory_plan, tables)},
    {"kv_cache", "KV cache", offsetof(edgellm_memory_plan, kv_cache)},
    {"scratch", "scratch", offsetof(edgellm_memory_plan, scratch)},
    {"threads", "threads", offsetof(edgellm_memory_plan, threads)},
    {"program", "program", offsetof(edgellm_memory_plan, program)},
    {"total", "total", offsetof(edgellm_memory_plan, total)},
};
enum { N_PLAN_ROWS = sizeof plan_rows / sizeof plan_rows[0] };

static uint64_t plan_bytes(const report *r, int row)
{
    uint64_t bytes;
    memcpy(&bytes, (const char *)&r->plan + plan_rows[row].field, sizeof bytes);
    return bytes;
}

static void print_plan(const report *r)
{
    printf("\nmemory for a context of %u, batches of %u, %u thread%s%s:\n", r->plan.context,
           r->plan.batch, r->plan.n_threads, r->plan.n_threads == 1 ? "" : "s",
           r->values->model.session.exact ? ", exact mode" : "");
    for (int i = 0; i < N_PLAN_ROWS; i++) {
        printf("  %-24s %12llu bytes\n", plan_rows[i].title, (unsigned long long)plan_bytes(r, i));
    }
    if (r->plan.window_positions != 0)
        printf("  layers with a window keep %u positions\n", r->plan.window_positions);
}

static edgellm_status print_tensors(const report *r, edgellm_error *err)
{
    char group[16];
    printf("\ncodec  group  scales  rotation        rows      cols        bytes  tensor\n");
    for (uint32_t i = 0; i < r->model->info.tensors; i++) {
        edgellm_tensor_info t;
        EL_CLI_TRY(edgellm_engine_tensor(r->model->engine, i, &t, err));
        printf("%-5s  %-5s  %-6s  %-10s  %8u  %8u  %11llu  %s\n", t.codec,
               group_text(&t, group, sizeof group), t.scales, t.rotation, t.rows, t.cols,
               (unsigned long long)t.bytes, t.name);
    }
    return EDGELLM_OK;
}

static edgellm_status print_text(const report *r, edgellm_error *err)
{
    print_model(r);
    print_machine(r);
    print_kinds(r);
    print_plan(r);
    return r->values->tensors ? print_tensors(r, err) : EDGELLM_OK;
}

/* ---- JSON --------------------------------------------------------------------------------- */

static json_t *text_json(const char *text)
{
    return el_cli_json_text(text, strlen(text));
}

static void add_model(json_t *o, const report *r)
{
    const edgellm_model_info *m = &r->model->info;
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        {"file_bytes", m->file_bytes}, {"parameters", m->parameters},
        {"layers", m->layers},         {"dim", m->dim},
        {"ffn_dim", m->ffn_dim},       {"heads", m->heads},
        {"kv_heads", m->kv_heads},     {"head_dim", m->head_dim},
        {"vocab", m->vocab},           {"context_trained", m->context_trained},
        {"tensors", m->tensors},       {"page_bytes", (uint64_t)r->page_bytes},
    };
    json_object_set_new(o, "file", text_json(r->path));
    json_object_set_new(o, "architecture", text_json(m->architecture));
    json_object_set_new(o, "name", text_json(m->name));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        json_object_set_new(o, numbers[i].key, json_integer((json_int_t)numbers[i].value));
    }
    json_object_set_new(o, "pretokenizer", text_json(m->pretokenizer));
    json_object_set_new(o, "chat_template", json_boolean(m->has_chat_template));
    json_object_set_new(o, "chat_form", m->chat_form ? json_string(m->chat_form) : json_null());
    json_t *manifest = json_loads(m->manifest, 0, NULL);
    json_object_set_new(o, "manifest", manifest != NULL ? manifest : text_json(m->manifest));
}

static json_t *kernels_json(void)
{
    json_t *names = json_array();
    const char *name;
    for (uint32_t i = 0; (name = edgellm_kernel_name(i)) != NULL; i++) {
        json_array_append_new(names, json_string(name));
    }
    return names;
}

static json_t *plan_json(const report *r)
{
    json_t *o = json_object();
    json_object_set_new(o, "context", json_integer(r->plan.context));
    json_object_set_new(o, "batch", json_integer(r->plan.batch));
    json_object_set_new(o, "n_threads", json_integer(r->plan.n_threads));
    for (int i = 0; i < N_PLAN_ROWS; i++) {
        json_object_set_new(o, plan_rows[i].name, json_integer((json_int_t)plan_bytes(r, i)));
    }
    json_object_set_new(o, "window_positions", json_integer(r->plan.window_positions));
    json_object_set_new(o, "session_bytes", json_integer((json_int_t)r->plan.session_bytes));
    return o;
}

static json_t *tensor_json(const edgellm_tensor_info *t)
{
    json_t *o = json_object();
    json_object_set_new(o, "codec", json_string(t->codec));
    json_object_set_new(o, "scales", json_string(t->scales));
    json_object_set_new(o, "group", json_integer(t->group));
    json_object_set_new(o, "rotation", json_string(t->rotation));
    return o;
}

static json_t *kinds_json(const report *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_kinds; i++) {
        json_t *o = tensor_json(&r->kinds[i].like);
        json_object_set_new(o, "tensors", json_integer((json_int_t)r->kinds[i].count));
        json_object_set_new(o, "weights", json_integer((json_int_t)r->kinds[i].weights));
        json_object_set_new(o, "bytes", json_integer((json_int_t)r->kinds[i].bytes));
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *tensors_json(const report *r)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < r->model->info.tensors; i++) {
        edgellm_tensor_info t;
        if (edgellm_engine_tensor(r->model->engine, i, &t, NULL) != EDGELLM_OK) continue;
        json_t *o = tensor_json(&t);
        json_object_set_new(o, "name", text_json(t.name));
        json_object_set_new(o, "rows", json_integer(t.rows));
        json_object_set_new(o, "cols", json_integer(t.cols));
        json_object_set_new(o, "bytes", json_integer((json_int_t)t.bytes));
        json_array_append_new(list, o);
    }
    return list;
}

static edgellm_status print_json(const report *r, edgellm_error *err)
{
    json_t *o = json_object();
    add_model(o, r);
    json_object_set_new(o, "kernel", json_string(r->model->info.kernel));
    json_object_set_new(o, "kernel_choice", json_string(r->model->info.kernel_choice));
    json_object_set_new(o, "kernels_available", kernels_json());
    json_object_set_new(o, "codecs", kinds_json(r));
    json_object_set_new(o, "plan", plan_json(r));
    if (r->values->tensors) json_object_set_new(o, "tensor_list", tensors_json(r));
    return el_cli_print_json(o, err);
}

/* ---- command ------------------------------------------------------------------------------ */

static edgellm_status info(const void *values, char **operands, int n_operands, edgellm_error *err)
{
    el_cli_model model;
    report r = {.path = operands[0], .values = values, .model = &model};
    (void)n_operands;
    /* The plan first: it counts what the process holds before a model is loaded. */
    EL_CLI_TRY(edgellm_plan(r.path, &r.values->model.session, &r.plan, err));
    EL_CLI_TRY(el_cli_model_open(&model, r.path, &r.values->model.engine, err));
    r.page_bytes = sysconf(_SC_PAGESIZE);
    edgellm_status status = sum_kinds(&r, err);
    if (status == EDGELLM_OK) {
        status = r.values->json ? print_json(&r, err) : print_text(&r, err);
    }
    free(r.kinds);
    el_cli_model_close(&model);
    return status;
}

static const el_cli_option options[] = {
    {"tensors", 0, EL_CLI_ON, offsetof(info_values, tensors), NULL, NULL, "list every tensor", 0, 0,
     NULL},
    {"json", 0, EL_CLI_ON, offsetof(info_values, json), NULL, NULL, "one JSON object", 0, 0, NULL},
    EL_CLI_CONTEXT_ROW(info_values, NULL,
                       "context in tokens; 512, or less if the model knows less"),
    EL_CLI_SESSION_ROWS(info_values),
    EL_CLI_ENGINE_ROWS(info_values),
    {0},
};

const el_cli_command el_cli_cmd_info = {
    .name = "info",
    .summary = "show a model file and the memory it needs",
    .synopsis = "info MODEL [options]",
    .about = "Prints the model's numbers, how its weights are coded, the kernel that would run\n"
             "it here, and every byte a session with these options will need.\n",
    .examples = "  edgellm info model.tm2.bin\n"
                "  edgellm info model.tm2.bin -c 2048 --max-ram 200M\n"
                "  edgellm info model.tm2.bin --tensors --json\n",
    .options = options,
    .values_size = sizeof(info_values),
    .min_operands = 1,
    .max_operands = 1,
    .model = EL_CLI_RUNS_MODEL,
    .run = info,
};
