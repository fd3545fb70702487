#include "server/ollama.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "server/server_state.h"

/* ---- the model ----------------------------------------------------------------------------- */

/* NAME, or NAME:TAG with any tag: there is one model. */
static bool is_model(const el_server *server, const char *name)
{
    const size_t len = strlen(server->model);
    return strncmp(name, server->model, len) == 0 && (name[len] == '\0' || name[len] == ':');
}

bool el_ollama_check(const el_server *server, el_ask *ask, el_problem *problem)
{
    const uint32_t context = server->now->memory.context;
    if (!is_model(server, ask->model))
        return el_problem_set(problem, EL_PROBLEM_MODEL, "model",
                              "model '%.100s' not found: this server has '%s'", ask->model,
                              server->model);
    if (ask->num_ctx > context)
        return el_problem_set(
            problem, EL_PROBLEM_REQUEST, "options.num_ctx",
            "'num_ctx' is %u, and the context of a session has %u tokens: ask for "
            "less, or start the server with -c %u",
            ask->num_ctx, context, ask->num_ctx);
    /* As `edgellm run`: a text goes on where there is no template. */
    if (ask->form == EL_ASK_OLLAMA_GENERATE && ask->n_messages == 1 &&
        !server->now->info.has_chat_template && !server->now->info.has_unknown_template)
        ask->n_messages = 0;
    return true;
}

int64_t el_ollama_modified(const el_server *server)
{
    struct stat file;
    return stat(server->options->model, &file) == 0 ? file.st_mtime : server->started;
}

/* ---- parts of replies ---------------------------------------------------------------------- */

void el_ollama_write_time(int64_t seconds, el_out *out)
{
    const time_t time = (time_t)seconds;
    struct tm parts;
    char text[48] = "";
    if (gmtime_r(&time, &parts)) strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    el_out_string(out, text);
}

void el_ollama_write_head(const char *model, int64_t created, el_out *out)
{
    el_out_text(out, "{\"model\":");
    el_out_string(out, model);
    el_out_text(out, ",\"created_at\":");
    el_ollama_write_time(created, out);
}

static void write_tagged(const el_server *server, const char *before, el_out *out)
{
    el_out_text(out, before);
    el_out_escaped(out, server->model, strlen(server->model));
    el_out_text(out, ":latest\"");
}

void el_ollama_write_entry(const el_server *server, uint64_t size, el_out *out)
{
    const uint32_t *id = server->now->info.identity;
    write_tagged(server, "{\"name\":\"", out);
    write_tagged(server, ",\"model\":\"", out);
    el_out_print(out, ",\"digest\":\"%08x%08x%08x\",\"size\":%" PRIu64 ",", id[0], id[1], id[2],
                 size);
}

/* The weights that each codec has. */
typedef struct tally {
    const char *codec;
    uint64_t weights;
} tally;

enum { CODECS = 32 };

static void count(tally *tallies, const edgellm_tensor_info *tensor)
{
    size_t i = 0;
    while (i + 1 < CODECS && tallies[i].codec && strcmp(tallies[i].codec, tensor->codec) != 0)
        i++;
    tallies[i].codec = tensor->codec;
    tallies[i].weights += (uint64_t)tensor->rows * tensor->cols;
}

/* The codec that most of the weights have. */
static const char *main_codec(const el_server *server)
{
    tally tallies[CODECS] = {{"", 0}};
    const tally *most = tallies;
    for (uint32_t i = 0; i < server->now->info.tensors; i++) {
        edgellm_tensor_info tensor;
        edgellm_error err;
        if (edgellm_engine_tensor(server->now->engine, i, &tensor, &err) == EDGELLM_OK)
            count(tallies, &tensor);
    }
    for (size_t i = 1; i < CODECS; i++)
        if (tallies[i].weights > most->weights) most = &tallies[i];
    return most->codec;
}

/* As Ollama has it: 134.52M, 1.50B. */
static void write_size(uint64_t n, el_out *out)
{
    static const struct {
        double unit;
        const char *name;
    } units[] = {{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "K"}, {1, ""}};
    size_t i = 0;
    while ((double)n < units[i].unit && units[i].unit > 1)
        i++;
    el_out_print(out, units[i].unit > 1 ? "\"%.2f%s\"" : "\"%.0f%s\"", (double)n / units[i].unit,
                 units[i].name);
}

void el_ollama_write_details(const el_server *server, el_out *out)
{
    const edgellm_model_info *info = &server->now->info;
    el_out_text(out, "\"details\":{\"parent_model\":\"\",\"format\":\"tm2\",\"family\":");
    el_out_string(out, info->architecture);
    el_out_text(out, ",\"families\":[");
    el_out_string(out, info->architecture);
    el_out_text(out, "],\"parameter_size\":");
    write_size(info->parameters, out);
    el_out_text(out, ",\"quantization_level\":");
    el_out_string(out, main_codec(server));
    el_out_text(out, "}");
}

void el_ollama_reply_loaded(el_conn *conn, const char *empty)
{
    el_out out = el_conn_text(conn);
    el_ollama_write_head(conn->server->model, time(NULL), &out);
    el_out_print(&out, ",%s,\"done\":true,\"done_reason\":\"load\"}", empty);
    el_conn_reply(conn, 200, &out);
}
