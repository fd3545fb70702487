/* cli_certificate.c: the file. Its use: cli_certified.c. */
#include "cli/cli_certificate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fnv.h"
#include "cli/cli_folders.h"
#include "cli/cli_output.h"
#include "cli/cli_stats.h"

static const char kind[] = "EdgeLLM latency certificate: measured, not proven";

enum { NS_PER_MS = 1000000, DIGITS = 12 };

/* ---- what runs ---------------------------------------------------------------------------- */

el_cli_setup el_cli_setup_of(const el_cli_model *model, const edgellm_session_options *options)
{
    edgellm_memory_plan plan;
    edgellm_session_plan(model->session, &plan);
    return el_cli_setup_planned(model, &plan, options);
}

el_cli_setup el_cli_setup_planned(const el_cli_model *model, const edgellm_memory_plan *plan,
                                  const edgellm_session_options *options)
{
    const uint32_t *id = model->info.identity;
    el_cli_setup s = {.kv_bits = options->kv_bits != 0 ? options->kv_bits : 8,
                      .exact = options->exact,
                      .constant_time = options->constant_time,
                      .realtime = options->realtime,
                      .copied = model->info.copied};
    snprintf(s.version, sizeof s.version, "%s", edgellm_version());
    snprintf(s.kernel, sizeof s.kernel, "%s", model->info.kernel);
    snprintf(s.identity, sizeof s.identity, "%08x-%08x-%08x", id[0], id[1], id[2]);
    s.threads = plan->n_threads;
    s.batch = plan->batch;
    s.context = plan->context;
    return s;
}

char *el_cli_certificate_path(const el_cli_setup *s)
{
    char *folder = el_cli_cache_folder(NULL), *path = NULL, kv[16] = "";
    if (folder == NULL) return NULL;
    if (s->kv_bits != 8) snprintf(kv, sizeof kv, "-kv%u", s->kv_bits);
    int n = asprintf(&path, "%s/latency-%s-%s-%u%s%s%s%s.json", folder, s->identity, s->kernel,
                     s->threads, kv, s->exact ? "-exact" : "", s->constant_time ? "-constant" : "",
                     s->realtime ? "-rt"
                     : s->copied ? "-copy"
                                 : "");
    free(folder);
    return n < 0 ? NULL : path;
}

/* ---- writing ------------------------------------------------------------------------------ */

static json_t *setup_json(const el_cli_setup *s)
{
    json_t *o = json_object();
    json_object_set_new(o, "version", json_string(s->version));
    json_object_set_new(o, "model_identity", json_string(s->identity));
    json_object_set_new(o, "kernel", json_string(s->kernel));
    json_object_set_new(o, "threads", json_integer(s->threads));
    json_object_set_new(o, "batch", json_integer(s->batch));
    json_object_set_new(o, "context", json_integer(s->context));
    if (s->kv_bits != 8) json_object_set_new(o, "kv_bits", json_integer(s->kv_bits));
    json_object_set_new(o, "exact", json_boolean(s->exact));
    json_object_set_new(o, "constant_time", json_boolean(s->constant_time));
    json_object_set_new(o, "realtime", json_boolean(s->realtime));
    json_object_set_new(o, "copied", json_boolean(s->copied));
    return o;
}

static json_t *ms(double ns)
{
    return el_cli_json_real(ns / NS_PER_MS);
}

/* The numbers of a certificate that are read again: its key, its place, in nanoseconds or not. */
static const struct number {
    const char *key;
    size_t field;
    bool time;
} numbers[] = {
    {"step_ms", offsetof(el_cli_certificate, costs.step), true},
    {"step_position_ms", offsetof(el_cli_certificate, costs.step_position), true},
    {"step_margin_ms", offsetof(el_cli_certificate, costs.step_margin), true},
    {"chunk_pair_ms", offsetof(el_cli_certificate, costs.chunk_pair), true},
    {"chunk_margin_ms", offsetof(el_cli_certificate, costs.chunk_margin), true},
    {"mask_ms", offsetof(el_cli_certificate, costs.mask), true},
    {"logprobs_ms", offsetof(el_cli_certificate, costs.logprobs), true},
    {"top_logprobs_ms", offsetof(el_cli_certificate, costs.top_logprobs), true},
    {"most_over_ms", offsetof(el_cli_certificate, most_over), true},
    {"step_share", offsetof(el_cli_certificate, step_share), false},
    {"chunk_share", offsetof(el_cli_certificate, chunk_share), false},
};
enum { NUMBERS = sizeof numbers / sizeof numbers[0] };

/* A table of times by number, which is called `key`. */
static json_t *table_json(const char *key, const uint32_t *counts, const double *times, uint32_t n)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < n; i++) {
        json_t *row = json_object();
        json_object_set_new(row, key, json_integer(counts[i]));
        json_object_set_new(row, "ms", ms(times[i]));
        json_array_append_new(list, row);
    }
    return list;
}

/* Passes are told only where there are any: a certificate without is as it was before there were.
 */
static json_t *costs_json(const el_cli_certificate *c)
{
    const edgellm_costs *k = &c->costs;
    json_t *o = json_object();
    for (int i = 0; i < NUMBERS; i++) {
        double value;
        memcpy(&value, (const char *)c + numbers[i].field, sizeof value);
        json_object_set_new(o, numbers[i].key,
                            el_cli_json_real(numbers[i].time ? value / NS_PER_MS : value));
    }
    json_object_set_new(o, "chunks", table_json("tokens", k->chunk_tokens, k->chunk, k->n_chunks));
    if (k->n_passes > 0)
        json_object_set_new(o, "passes",
                            table_json("sessions", k->pass_sessions, k->pass, k->n_passes));
    return o;
}

json_t *el_cli_certificate_json(const el_cli_certificate *c)
{
    json_t *o = json_object();
    json_object_set_new(o, "kind", json_string(kind));
    json_object_set_new(o, "format", json_integer(EL_CLI_CERTIFICATE_FORMAT));
    json_object_set_new(o, "setup", setup_json(&c->setup));
    json_object_set_new(o, "board", el_cli_board_json(&c->board));
    json_object_set_new(o, "costs", costs_json(c));
    return o;
}

/* FNV-1a of the text without its checksum. What is written with so many digits reads as a number
 * that is written the same way. False: no memory. */
static bool checksum(json_t *object, char text[20])
{
    json_t *rest = json_copy(object);
    json_object_del(rest, "checksum");
    char *dump =
        el_cli_json_dump(rest, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(DIGITS));
    if (dump == NULL) return false;
    const uint64_t hash = el_fnv(EDGELLM_HASH_START, dump, strlen(dump));
    free(dump);
    snprintf(text, 20, "%016llx", (unsigned long long)hash);
    return true;
}

edgellm_status el_cli_certificate_seal(json_t *object, edgellm_error *err)
{
    char sum[20];
    if (!checksum(object, sum))
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the certificate");
    json_object_set_new(object, "checksum", json_string(sum));
    return EDGELLM_OK;
}

/* ---- reading ------------------------------------------------------------------------------ */

static bool read_u32(const json_t *object, const char *key, uint32_t *value)
{
    const json_t *found = json_object_get(object, key);
    const json_int_t number = json_integer_value(found);
    if (!json_is_integer(found) || number < 0 || number > UINT32_MAX) return false;
    *value = (uint32_t)number;
    return true;
}

static bool read_bool(const json_t *object, const char *key, bool *value)
{
    const json_t *found = json_object_get(object, key);
    *value = json_is_true(found);
    return json_is_boolean(found);
}

static bool read_text(const json_t *object, const char *key, char *text, size_t size)
{
    const char *found = json_string_value(json_object_get(object, key));
    return found != NULL && (size_t)snprintf(text, size, "%s", found) < size;
}

static bool read_copied(el_cli_setup *s, const json_t *o)
{
    s->copied = s->realtime;
    return json_object_get(o, "copied") == NULL || read_bool(o, "copied", &s->copied);
}

static bool read_setup(el_cli_setup *s, const json_t *o)
{
    s->kv_bits = 8;
    if (json_object_get(o, "kv_bits") != NULL && !read_u32(o, "kv_bits", &s->kv_bits)) return false;
    return read_text(o, "version", s->version, sizeof s->version) &&
           read_text(o, "kernel", s->kernel, sizeof s->kernel) &&
           read_text(o, "model_identity", s->identity, sizeof s->identity) &&
           read_u32(o, "threads", &s->threads) && read_u32(o, "batch", &s->batch) &&
           read_u32(o, "context", &s->context) && read_bool(o, "exact", &s->exact) &&
           read_bool(o, "constant_time", &s->constant_time) &&
           read_bool(o, "realtime", &s->realtime) && read_copied(s, o);
}

/* What table_json() wrote, of at most `most` rows; *n: how many. */
static bool read_table(const json_t *list, const char *key, uint32_t most, uint32_t *n,
                       uint32_t *counts, double *times)
{
    if (!json_is_array(list) || json_array_size(list) > most) return false;
    *n = (uint32_t)json_array_size(list);
    for (uint32_t i = 0; i < *n; i++) {
        const json_t *row = json_array_get(list, i), *time = json_object_get(row, "ms");
        if (!json_is_number(time) || !read_u32(row, key, &counts[i])) return false;
        times[i] = json_number_value(time) * NS_PER_MS;
    }
    return true;
}

static bool read_tables(edgellm_costs *c, const json_t *o)
{
    const json_t *passes = json_object_get(o, "passes");
    c->n_passes = 0;
    return read_table(json_object_get(o, "chunks"), "tokens", EDGELLM_COSTS_CHUNKS, &c->n_chunks,
                      c->chunk_tokens, c->chunk) &&
           (passes == NULL || read_table(passes, "sessions", EDGELLM_COSTS_PASSES, &c->n_passes,
                                         c->pass_sessions, c->pass));
}

static bool read_costs(el_cli_certificate *c, const json_t *o)
{
    for (int i = 0; i < NUMBERS; i++) {
        const json_t *found = json_object_get(o, numbers[i].key);
        const double value = json_number_value(found) * (numbers[i].time ? NS_PER_MS : 1);
        if (!json_is_number(found) || !(value >= 0 && value < 1e18)) return false;
        memcpy((char *)c + numbers[i].field, &value, sizeof value);
    }
    return read_tables(&c->costs, o);
}

static edgellm_status read_object(el_cli_certificate *c, const char *path, json_t *o,
                                  edgellm_error *err)
{
    uint32_t format = 0;
    char sum[20], said[20], of_kind[sizeof kind];
    if (!read_text(o, "kind", of_kind, sizeof of_kind) || strcmp(of_kind, kind) != 0)
        return el_cli_fail(err, EDGELLM_ERR_FORMAT, "'%.300s' is no certificate of edgellm certify",
                           path);
    if (!read_u32(o, "format", &format) || format != EL_CLI_CERTIFICATE_FORMAT)
        return el_cli_fail(err, EDGELLM_ERR_UNSUPPORTED,
                           "the certificate '%.200s' has another format than %d: certify anew",
                           path, EL_CLI_CERTIFICATE_FORMAT);
    if (!checksum(o, sum))
        return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the certificate");
    if (!read_text(o, "checksum", said, sizeof said) || strcmp(sum, said) != 0)
        return el_cli_fail(err, EDGELLM_ERR_FORMAT,
                           "the certificate '%.200s' was changed or is damaged (its checksum does "
                           "not match): certify anew",
                           path);
    if (read_setup(&c->setup, json_object_get(o, "setup")) &&
        el_cli_board_read(&c->board, json_object_get(o, "board")) &&
        read_costs(c, json_object_get(o, "costs")))
        return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_FORMAT,
                       "the certificate '%.200s' lacks something: certify "
                       "anew",
                       path);
}

edgellm_status el_cli_certificate_load(el_cli_certificate *c, const char *path, edgellm_error *err)
{
    json_error_t where;
    el_cli_bytes bytes = {NULL, 0};
    EL_CLI_TRY(el_cli_read(path, &bytes, err));
    json_t *o = json_loadb(bytes.text, bytes.len, JSON_REJECT_DUPLICATES, &where);
    free(bytes.text);
    edgellm_status status = EDGELLM_OK;
    if (el_cli_json_starved()) {
        status = el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the certificate");
    } else if (o == NULL) {
        status = el_cli_fail(err, EDGELLM_ERR_FORMAT, "'%.200s' is no certificate: line %d: %.100s",
                             path, where.line, where.text);
    } else {
        status = read_object(c, path, o, err);
    }
    json_decref(o);
    return status;
}

/* ---- does it hold? ------------------------------------------------------------------------ */

static edgellm_status differs(const char *path, const char *what, const char *then, const char *now,
                              edgellm_error *err)
{
    return el_cli_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "the certificate '%.160s' is of another %s: %s, here it is %s", path, what,
                       then, now);
}

static edgellm_status check_texts(const el_cli_setup *then, const el_cli_setup *now,
                                  const char *path, edgellm_error *err)
{
    if (strcmp(then->identity, now->identity) != 0)
        return differs(path, "model", then->identity, now->identity, err);
    if (strcmp(then->version, now->version) != 0)
        return differs(path, "version", then->version, now->version, err);
    if (strcmp(then->kernel, now->kernel) != 0)
        return differs(path, "kernel level", then->kernel, now->kernel, err);
    return EDGELLM_OK;
}

static const char *mode_of(const el_cli_setup *s)
{
    if (s->exact) return "exact";
    return s->constant_time ? "constant time" : "plain";
}

static edgellm_status check_numbers(const el_cli_setup *then, const el_cli_setup *now,
                                    const char *path, edgellm_error *err)
{
    char was[16], is[16];
    const bool larger = now->context > then->context;
    if (then->threads != now->threads) {
        snprintf(was, sizeof was, "%u", then->threads);
        snprintf(is, sizeof is, "%u", now->threads);
        return differs(path, "number of threads", was, is, err);
    }
    if (then->kv_bits != now->kv_bits) {
        snprintf(was, sizeof was, "%u bits", then->kv_bits);
        snprintf(is, sizeof is, "%u bits", now->kv_bits);
        return differs(path, "KV cache", was, is, err);
    }
    if (then->exact != now->exact || then->constant_time != now->constant_time)
        return differs(path, "mode", mode_of(then), mode_of(now), err);
    if (then->realtime != now->realtime)
        return differs(path, "scheduling", then->realtime ? "real-time (--rt)" : "ordinary",
                       now->realtime ? "real-time (--rt)" : "ordinary", err);
    if (then->copied != now->copied)
        return differs(path, "placing of weights", then->copied ? "copied (--copy)" : "mapped",
                       now->copied ? "copied (--copy)" : "mapped", err);
    if (larger || (now->constant_time && now->context != then->context))
        return el_cli_fail(err, EDGELLM_ERR_UNSUPPORTED,
                           "the certificate '%.160s' is of a context of %u, here it is %u: certify "
                           "with -c %u",
                           path, then->context, now->context, now->context);
    if (now->batch > then->batch)
        return el_cli_fail(err, EDGELLM_ERR_UNSUPPORTED,
                           "the certificate '%.160s' is of a batch of %u, here it is %u: certify "
                           "with -b %u",
                           path, then->batch, now->batch, now->batch);
    return EDGELLM_OK;
}

edgellm_status el_cli_certificate_check(const el_cli_certificate *c, const char *path,
                                        const el_cli_setup *setup, const el_cli_board *board,
                                        edgellm_error *err)
{
    char what[200];
    snprintf(what, sizeof what, "the certificate '%.160s'", path);
    EL_CLI_TRY(check_texts(&c->setup, setup, path, err));
    EL_CLI_TRY(check_numbers(&c->setup, setup, path, err));
    return el_cli_board_compare(&c->board, board, what, err);
}
