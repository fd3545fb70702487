/* serve_api_show.c: POST /api/show: what is known of the model. */
#include <inttypes.h>

#include "server/ollama.h"
#include "server/server_state.h"

static void write_number(const edgellm_model_info *info, const char *name, uint32_t n, el_out *out)
{
    el_out_print(out, ",\"%s.%s\":%u", info->architecture, name, n);
}

/* Under the names that GGUF has for it. */
static void write_info(const edgellm_model_info *info, el_out *out)
{
    el_out_text(out, "\"model_info\":{\"general.architecture\":");
    el_out_string(out, info->architecture);
    el_out_text(out, ",\"general.name\":");
    el_out_string(out, info->name);
    el_out_print(out, ",\"general.parameter_count\":%" PRIu64, info->parameters);
    write_number(info, "context_length", info->context_trained, out);
    write_number(info, "embedding_length", info->dim, out);
    write_number(info, "block_count", info->layers, out);
    write_number(info, "feed_forward_length", info->ffn_dim, out);
    write_number(info, "attention.head_count", info->heads, out);
    write_number(info, "attention.head_count_kv", info->kv_heads, out);
    write_number(info, "attention.key_length", info->head_dim, out);
    write_number(info, "vocab_size", info->vocab, out);
    el_out_text(out, "}");
}

static void reply(el_conn *conn)
{
    const el_server *server = conn->server;
    el_out out = el_conn_text(conn);
    /* Texts that the file does not keep: none rather than no field, which clients count on. */
    el_out_text(&out,
                "{\"license\":\"\",\"modelfile\":\"\",\"parameters\":\"\",\"template\":\"\",");
    el_ollama_write_details(server, &out);
    el_out_text(&out, ",");
    write_info(&server->now->info, &out);
    el_out_print(&out, ",\"capabilities\":[\"completion\"%s],\"modified_at\":",
                 el_call_form_find(server->now->info.chat_form) ? ",\"tools\"" : "");
    el_ollama_write_time(el_ollama_modified(server), &out);
    el_out_text(&out, "}");
    el_conn_reply(conn, 200, &out);
}

void el_serve_api_show(el_conn *conn)
{
    static const el_endpoint endpoint = {
        .form = EL_ASK_OLLAMA_SHOW, .check = el_ollama_check, .reply = reply};
    el_request_serve(conn, &endpoint);
}
