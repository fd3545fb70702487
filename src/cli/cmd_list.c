/*
 * cmd_list.c: `edgellm list`: the models in the store, and what was not fetched to its end.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_options.h"
#include "cli/cli_output.h"
#include "cli/cli_store.h"

typedef struct list_values {
    bool json;
} list_values;

typedef struct listing {
    char *root;
    el_cli_store_names models, partial;
} listing;

/* ---- what lies there ----------------------------------------------------------------------- */

/* What an unfinished download was to be; NULL: what lies there is a remainder without a name. */
static json_t *source_of(const listing *l, const char *key, edgellm_error *err)
{
    char *path;
    json_error_t why;
    if (el_cli_store_path(l->root, EL_CLI_STORE_PARTIAL, key, EL_CLI_STORE_SOURCE, &path, err) !=
        EDGELLM_OK)
        return NULL;
    json_t *about = json_load_file(path, 0, &why);
    free(path);
    json_t *source = json_incref(json_object_get(about, "source"));
    json_decref(about);
    if (json_is_string(source)) return source;
    json_decref(source);
    return NULL;
}

/* ---- text ---------------------------------------------------------------------------------- */

static const char *kind_of(const json_t *entry)
{
    const char *origin = json_string_value(json_object_get(entry, "origin"));
    if (json_object_get(entry, "model") != NULL) return "tm2";
    return origin != NULL && strcmp(origin, ".") == 0 ? "folder" : "gguf";
}

static void print_row(const char *name, const json_t *entry)
{
    const char *pulled = json_string_value(json_object_get(entry, "pulled"));
    printf("%-40s %9.1f MB  %-6s  %-10.10s  %s\n", name,
           (double)el_cli_store_bytes(entry) / EL_CLI_MB, kind_of(entry),
           pulled != NULL ? pulled : "-", json_string_value(json_object_get(entry, "source")));
}

static edgellm_status print_text(const listing *l, edgellm_error *err)
{
    edgellm_error damaged;
    json_t *entry;
    for (size_t i = 0; i < l->models.n; i++) {
        const edgellm_status status =
            el_cli_store_read(l->root, l->models.name[i], &entry, &damaged);
        if (status == EDGELLM_ERR_MEMORY) return el_cli_fail(err, status, "%s", damaged.message);
        if (status != EDGELLM_OK) {
            printf("%-40s damaged: remove it with 'edgellm rm'\n", l->models.name[i]);
            continue;
        }
        print_row(l->models.name[i], entry);
        json_decref(entry);
    }
    for (size_t i = 0; i < l->partial.n; i++) {
        json_t *source = source_of(l, l->partial.name[i], err);
        printf("unfinished: %s; pull it again to go on, or 'edgellm rm --unfinished'\n",
               source != NULL ? json_string_value(source) : l->partial.name[i]);
        json_decref(source);
    }
    return EDGELLM_OK;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static edgellm_status print_json(const listing *l, edgellm_error *err)
{
    edgellm_error damaged;
    json_t *entry, *o = json_object(), *models = json_array(), *partial = json_array();
    for (size_t i = 0; i < l->models.n; i++) {
        const char *name = l->models.name[i];
        const bool sound = el_cli_store_read(l->root, name, &entry, &damaged) == EDGELLM_OK;
        if (!sound) entry = json_object();
        json_object_set_new(entry, "name", json_string(name));
        json_object_set_new(entry, "bytes", json_integer((json_int_t)el_cli_store_bytes(entry)));
        if (!sound) json_object_set_new(entry, "damaged", json_true());
        json_array_append_new(models, entry);
    }
    for (size_t i = 0; i < l->partial.n; i++) {
        json_t *source = source_of(l, l->partial.name[i], err);
        json_array_append_new(partial, source != NULL ? source : json_null());
    }
    json_object_set_new(o, "store", el_cli_json_text(l->root, strlen(l->root)));
    json_object_set_new(o, "models", models);
    json_object_set_new(o, "unfinished", partial);
    return el_cli_print_json(o, err);
}

/* ---- the command --------------------------------------------------------------------------- */

static edgellm_status list(const void *values, char **operands, int n_operands, edgellm_error *err)
{
    const list_values *v = values;
    listing l = {0};
    (void)operands, (void)n_operands;
    EL_CLI_TRY(el_cli_store_root(&l.root, err));
    edgellm_status status = el_cli_store_list(l.root, EL_CLI_STORE_MODELS, &l.models, err);
    if (status == EDGELLM_OK)
        status = el_cli_store_list(l.root, EL_CLI_STORE_PARTIAL, &l.partial, err);
    if (status == EDGELLM_OK) status = v->json ? print_json(&l, err) : print_text(&l, err);
    el_cli_store_forget(&l.models);
    el_cli_store_forget(&l.partial);
    free(l.root);
    return status;
}

static const el_cli_option options[] = {
    {"json", 0, EL_CLI_ON, offsetof(list_values, json), NULL, NULL, "one JSON object", 0, 0, NULL},
    {0},
};

const el_cli_command el_cli_cmd_list = {
    .name = "list",
    .summary = "list the models in the store",
    .synopsis = "list [options]",
    .about = "Name, size, kind (tm2: runs; gguf, folder: to be quantized), day and source of each\n"
             "model that 'edgellm pull' fetched, and what it did not fetch to the end. The store\n"
             "is $EDGELLM_HOME, else edgellm in $XDG_DATA_HOME (~/.local/share).\n",
    .examples = "  edgellm list\n"
                "  edgellm list --json\n",
    .options = options,
    .values_size = sizeof(list_values),
    .min_operands = 0,
    .max_operands = 0,
    .run = list,
};
