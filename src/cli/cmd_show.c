/*
 * cmd_show.c: `edgellm show`: a model in the store, its files and where it came from.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_options.h"
#include "cli/cli_output.h"
#include "cli/cli_store.h"

typedef struct show_values {
    bool json;
} show_values;

static void print_field(const char *title, const json_t *entry, const char *key)
{
    const char *text = json_string_value(json_object_get(entry, key));
    if (text != NULL) printf("%-10s %s\n", title, text);
}

static void print_text(const json_t *entry)
{
    const json_t *files = json_object_get(entry, "files");
    print_field("name", entry, "name");
    print_field("source", entry, "source");
    print_field("revision", entry, "revision");
    print_field("pulled", entry, "pulled");
    print_field("folder", entry, "folder");
    print_field("runs", entry, "model");
    print_field("quantizes", entry, "origin");
    printf("\n%15s  %-64s  file\n", "bytes", "SHA-256");
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        const char *sum = json_string_value(json_object_get(file, "sha256"));
        printf("%15" JSON_INTEGER_FORMAT "  %-64s  %s\n",
               json_integer_value(json_object_get(file, "bytes")), sum != NULL ? sum : "-",
               json_string_value(json_object_get(file, "name")));
    }
}

static edgellm_status show(const void *values, char **operands, int n_operands, edgellm_error *err)
{
    const show_values *v = values;
    char *root, *folder = NULL;
    json_t *entry = NULL;
    (void)n_operands;
    EL_CLI_TRY(el_cli_store_root(&root, err));
    edgellm_status status = el_cli_store_read(root, operands[0], &entry, err);
    if (status == EDGELLM_OK)
        status = el_cli_store_path(root, EL_CLI_STORE_MODELS, operands[0], NULL, &folder, err);
    free(root);
    if (status == EDGELLM_OK) {
        json_object_set_new(entry, "name", json_string(operands[0]));
        json_object_set_new(entry, "folder", el_cli_json_text(folder, strlen(folder)));
        json_object_set_new(entry, "bytes", json_integer((json_int_t)el_cli_store_bytes(entry)));
        if (!v->json) print_text(entry);
    }
    free(folder);
    if (status == EDGELLM_OK && v->json) return el_cli_print_json(entry, err);
    json_decref(entry);
    return status;
}

static const el_cli_option options[] = {
    {"json", 0, EL_CLI_ON, offsetof(show_values, json), NULL, NULL, "one JSON object", 0, 0, NULL},
    {0},
};

const el_cli_command el_cli_cmd_show = {
    .name = "show",
    .summary = "show a model in the store",
    .synopsis = "show NAME [options]",
    .about = "Where a model of the store came from, and its files with their SHA-256. What is in\n"
             "the model file itself: edgellm info NAME.\n",
    .examples = "  edgellm show smollm2\n"
                "  edgellm show smollm2 --json\n",
    .options = options,
    .values_size = sizeof(show_values),
    .min_operands = 1,
    .max_operands = 1,
    .run = show,
};
