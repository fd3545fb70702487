/* serve_props.c: GET /props: what clients of llama.cpp's server look for: the context, the number
 * of sessions, and how tokens are chosen if nobody says. */
#include "server/server_state.h"

static void write_settings(uint32_t context, el_out *out)
{
    const edgellm_sampler_options s = edgellm_sampler_defaults();
    const struct {
        const char *name;
        double value;
    } rows[] = {{"temperature", s.temperature},
                {"top_p", s.top_p},
                {"min_p", s.min_p},
                {"typical_p", s.typical_p},
                {"repeat_penalty", s.repeat_penalty},
                {"presence_penalty", s.presence_penalty},
                {"frequency_penalty", s.frequency_penalty}};
    el_out_print(out,
                 "\"default_generation_settings\":{\"n_ctx\":%u,\"params\":{\"top_k\":%u,"
                 "\"repeat_last_n\":%u",
                 context, s.top_k, s.repeat_last);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        el_out_print(out, ",\"%s\":", rows[i].name);
        el_out_real(out, rows[i].value);
    }
    el_out_text(out, "}}");
}

void el_serve_props(el_conn *conn)
{
    const el_server *server = conn->server;
    const el_server_options *o = server->options;
    el_out out = el_conn_text(conn);
    el_out_text(&out, "{");
    write_settings(server->now->memory.context, &out);
    el_out_print(&out, ",\"total_slots\":%u,\"model_alias\":", o->sessions);
    el_out_string(&out, server->model);
    el_out_print(&out,
                 ",\"build_info\":\"edgellm-%s\",\"modalities\":{\"vision\":false,\"audio\":false},"
                 "\"has_chat_template\":%s,\"slot_files\":%s,\"context_shift\":false,"
                 "\"forecasts_by\":",
                 EDGELLM_VERSION, server->now->info.has_chat_template ? "true" : "false",
                 o->slot_folder ? "true" : "false");
    el_out_string(&out, server->now->forecasts.by);
    el_out_text(&out, ",\"chat_form\":");
    if (server->now->info.chat_form)
        el_out_string(&out, server->now->info.chat_form);
    else
        el_out_text(&out, "null");
    el_out_text(&out, "}");
    el_conn_reply(conn, 200, &out);
}
