/* serve_completions.c: POST /v1/completions: a text that goes on; names of special tokens in it are
 * those tokens. */
#include "server/openai.h"

void el_serve_completions(el_conn *conn)
{
    el_openai_serve(conn, EL_ASK_COMPLETION);
}
