/* serve_completions.c: POST /v1/completions: a text that goes on; names of special tokens in it are
 * those tokens. */
#include "server/openai.h"
#include "server/request.h"

void el_serve_completions(el_conn *conn)
{
    static const el_endpoint endpoint = {.form = EL_ASK_COMPLETION,
                                         .id = "cmpl",
                                         .whole = &el_openai_completion,
                                         .streamed = &el_openai_completion_stream};
    el_request_serve(conn, &endpoint);
}
