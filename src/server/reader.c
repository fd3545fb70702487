#include "server/reader.h"

/* The text in the next `len` bytes, which stand in the room. With the first call it is over, and
 * what was held back for a stop text is text. */
static size_t read_bytes(el_reader *reader, size_t len, const char **text)
{
    char *bytes = reader->room + EL_STOP_BYTES;
    size_t call = 0;
    const bool was_text = reader->calls.stage == EL_CALLS_TEXT;
    size_t n = was_text ? el_calls_text(&reader->calls, bytes, len, &call) : 0;
    reader->call = bytes + call;
    reader->call_len = len - call;
    if (!was_text) return 0;
    n = el_stop_push(reader->stops, &reader->search, reader->room, n, text);
    if (reader->calls.stage != EL_CALLS_TEXT && !reader->search.found) {
        n += reader->search.n_held; /* it stands behind the rest */
        reader->search.n_held = 0;
    }
    return n;
}

size_t el_reader_push(el_reader *reader, const edgellm_engine *engine, uint32_t token,
                      const char **text)
{
    char *bytes = reader->room + EL_STOP_BYTES;
    const size_t held = el_calls_unhold(&reader->calls, bytes);
    const size_t len = edgellm_stream_push(engine, &reader->stream, token, bytes + held);
    reader->at++;
    return read_bytes(reader, held + len, text);
}

el_call_part el_reader_call(el_reader *reader, const char **piece, size_t *len)
{
    const char *at = reader->call;
    if (!at || reader->calls.stage == EL_CALLS_TEXT || reader->search.found) return EL_CALL_NONE;
    const char *end = at + reader->call_len;
    const el_call_part part = el_calls_next(&reader->calls, &at, end, piece, len);
    reader->call = at;
    reader->call_len = (size_t)(end - at);
    return part;
}

/* What may have been the beginning of a call, and bytes of a character that was never finished. */
static size_t flush_bytes(el_reader *reader)
{
    char *bytes = reader->room + EL_STOP_BYTES;
    const size_t held = el_calls_unhold(&reader->calls, bytes);
    return held + edgellm_stream_flush(&reader->stream, bytes + held);
}

size_t el_reader_flush(el_reader *reader, const char **text)
{
    if (reader->calls.stage != EL_CALLS_TEXT) return 0;
    const size_t len = flush_bytes(reader);
    if (len > 0) {
        const size_t n = el_stop_push(reader->stops, &reader->search, reader->room, len, text);
        if (n > 0) return n;
    }
    return el_stop_flush(&reader->search, text);
}
