#include "server/reader.h"

size_t el_reader_push(el_reader *reader, const edgellm_engine *engine, uint32_t token,
                      const char **text)
{
    const size_t len =
        edgellm_stream_push(engine, &reader->stream, token, reader->room + EL_STOP_BYTES);
    reader->at++;
    return el_stop_push(reader->stops, &reader->search, reader->room, len, text);
}

size_t el_reader_flush(el_reader *reader, const char **text)
{
    if (reader->stream.count > 0) { /* bytes of a character that was never finished */
        const size_t len = edgellm_stream_flush(&reader->stream, reader->room + EL_STOP_BYTES);
        const size_t n = el_stop_push(reader->stops, &reader->search, reader->room, len, text);
        if (n > 0) return n;
    }
    return el_stop_flush(&reader->search, text);
}
