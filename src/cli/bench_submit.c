/*
 * bench_submit.c: what was measured, and on what, as a file to be published
 * (docs/boards/README.md). Whatever stands in it is named in the tables here, so that nothing else
 * gets out: no name of a machine or a user, no address, no serial number, no path.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "cli/bench_report.h"
#include "cli/cli_board.h"
#include "cli/cli_output.h"
#include "cli/doctor_facts.h"

static const char kind[] = "EdgeLLM board report";

enum { FORMAT = 1 };

/* Of the facts that `edgellm doctor --json` has, under the same keys. */
static const char *const of_program[] = {"version", "compiler", "optimised", "sanitized", NULL};
static const char *const of_board[] = {"cpu_vendor",
                                       "cpu_model",
                                       "cpu_features",
                                       "cores_online",
                                       "cores_allowed",
                                       "cores_quota_milli",
                                       "cores_fast",
                                       "governor",
                                       "frequency_driver",
                                       "frequency_max_khz",
                                       "frequency_hardware_max_khz",
                                       "memory_total_bytes",
                                       "memory_group_limit_bytes",
                                       "page_bytes",
                                       "transparent_huge_pages",
                                       "swap_bytes",
                                       "kernel_release",
                                       "preemption",
                                       "clock_source",
                                       "virtual_machine",
                                       "container",
                                       "steal_millionths",
                                       "load_milli",
                                       NULL};
static const char *const of_throttling[] = {"firmware_throttled_bits", "under_voltage",
                                            "throttle_events", NULL};

/* Of what `edgellm bench --json` has. */
static const char *const of_measured[] = {
    "decode_tok_s", "prefill_tok_s", "request_ms", "ttft_ms",       "token_ms",   "jitter_ms",
    "roofline",     "peak_rss",      "runs",       "prompt_tokens", "tokens",     "kernel",
    "threads",      "batch",         "context",    "file_bytes",    "conditions", NULL};

/* Those members of an object, as a new one. */
static json_t *pick(json_t *from, const char *const *keys)
{
    json_t *o = json_object();
    for (; *keys != NULL; keys++)
        json_object_set(o, *keys, json_object_get(from, *keys));
    return o;
}

static json_t *text_or_null(const char *text)
{
    return text[0] != '\0' ? el_cli_json_text(text, strlen(text)) : json_null();
}

static json_t *board_json(el_cli_tree *tree, json_t *facts)
{
    struct utsname system;
    char name[96] = "";
    json_t *o = pick(facts, of_board);
    el_cli_board_name(tree, name, sizeof name);
    json_object_set_new(o, "name", text_or_null(name));
    json_object_set_new(o, "machine", text_or_null(uname(&system) == 0 ? system.machine : ""));
    return o;
}

static json_t *model_json(const edgellm_model_info *info, const el_cli_setup *setup)
{
    json_t *o = json_object();
    json_object_set_new(o, "name", text_or_null(info->name));
    json_object_set_new(o, "architecture", json_string(info->architecture));
    json_object_set_new(o, "identity", json_string(setup->identity));
    json_object_set_new(o, "parameters", json_integer((json_int_t)info->parameters));
    json_object_set_new(o, "token_bytes", json_integer((json_int_t)info->token_bytes));
    return o;
}

static json_t *measured_json(const el_cli_bench_report *report, const el_cli_model *model,
                             const el_cli_setup *setup)
{
    edgellm_realtime realtime;
    json_t *all = el_cli_bench_plain_json(report), *o = pick(all, of_measured);
    json_decref(all);
    edgellm_session_realtime(model->session, &realtime);
    json_object_set_new(o, "warmup", json_integer(report->bench->plan.warmup));
    json_object_set_new(o, "exact", json_boolean(setup->exact));
    if (setup->kv_bits != 8) json_object_set_new(o, "kv_bits", json_integer(setup->kv_bits));
    json_object_set_new(o, "constant_time", json_boolean(setup->constant_time));
    json_object_set_new(o, "policy", realtime.active ? json_string(realtime.policy) : json_null());
    return o;
}

/* What the system says of the processor is of the one that emulates it. */
static void name_emulated(json_t *board, const char *model)
{
    json_object_set_new(board, "cpu_vendor", json_null());
    json_object_set_new(board, "cpu_model", json_string(model));
    json_object_set_new(board, "cpu_features", json_null());
}

static json_t *submission(const el_cli_bench_report *report, el_cli_tree *tree,
                          el_cli_facts *gathered)
{
    el_cli_bench_facts engine;
    const el_cli_bench_plan *plan = &report->bench->plan;
    (void)el_cli_bench_facts_of(report->bench, &engine); /* there is one in this form */
    const el_cli_setup setup = el_cli_setup_of(engine.model, &plan->model.session);
    tree->root = plan->climate.root != NULL ? plan->climate.root : "";
    el_cli_facts_gather(gathered, tree, false);
    json_t *facts = el_cli_facts_json(gathered), *o = json_object();
    json_object_set_new(o, "kind", json_string(kind));
    json_object_set_new(o, "format", json_integer(FORMAT));
    json_object_set_new(o, "emulated", json_boolean(plan->emulated != NULL));
    json_object_set_new(o, "program", pick(facts, of_program));
    json_t *board = board_json(tree, facts);
    if (plan->emulated != NULL) name_emulated(board, plan->emulated);
    json_object_set_new(o, "board", board);
    json_object_set_new(o, "model", model_json(&engine.model->info, &setup));
    json_object_set_new(o, "measured", measured_json(report, engine.model, &setup));
    json_object_set_new(o, "throttling", pick(facts, of_throttling));
    json_decref(facts);
    return o;
}

bool el_cli_bench_write_submission(const el_cli_bench_report *report, el_outfile *out)
{
    char *text = NULL;
    el_cli_tree *tree = malloc(sizeof *tree);
    el_cli_facts *facts = malloc(sizeof *facts);
    if (tree != NULL && facts != NULL)
        text = el_cli_json_dump(submission(report, tree, facts),
                                JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    free(facts);
    free(tree);
    if (text == NULL) return false;
    el_outfile_write(out, text, strlen(text));
    el_outfile_write(out, "\n", 1);
    free(text);
    return true;
}
