/* text.c: the public calls for text and tokens, over the tokenizer and the chat templates. */
#include <string.h>

#include "engine/engine.h"

edgellm_status edgellm_tokenize(const edgellm_engine *engine, const char *text, size_t len,
                                unsigned flags, uint32_t *tokens, size_t capacity, size_t *count,
                                edgellm_error *err)
{
    const el_vocab *v = &engine->file.vocab;
    const size_t first = (flags & EDGELLM_TOKENIZE_BOS) && v->add_bos && v->bos != EL_TOKEN_NONE;
    const size_t stored = first < capacity ? first : capacity;
    EL_TRY(el_tokenizer_encode(engine->tokenizer, text, len, flags, tokens ? tokens + stored : NULL,
                               capacity - stored, count, err));
    if (stored > 0) tokens[0] = v->bos;
    *count += first;
    return EDGELLM_OK;
}

edgellm_status edgellm_detokenize(const edgellm_engine *engine, const uint32_t *tokens,
                                  size_t count, bool special, char *text, size_t capacity,
                                  size_t *len, edgellm_error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n;
        const uint8_t *bytes = el_tokenizer_bytes(engine->tokenizer, tokens[i], &n);
        if (!bytes)
            return el_fail(err, EDGELLM_ERR_USAGE, "token %u (at %zu): ids are 0 to %u", tokens[i],
                           i, engine->file.vocab.n_tokens - 1);
        if (!special && el_tokenizer_is_special(engine->tokenizer, tokens[i])) continue;
        size_t room = total < capacity ? capacity - total : 0;
        if (room > 0) memcpy(text + total, bytes, n < room ? n : room);
        total += n;
    }
    *len = total;
    return EDGELLM_OK;
}

size_t edgellm_stream_push(const edgellm_engine *engine, edgellm_stream *stream, uint32_t token,
                           char *text)
{
    return el_tokenizer_stream_push(engine->tokenizer, stream, token, text);
}

size_t edgellm_stream_flush(edgellm_stream *stream, char *text)
{
    return el_tokenizer_stream_flush(stream, text);
}

bool edgellm_is_end(const edgellm_engine *engine, uint32_t token)
{
    return el_tokenizer_is_end(engine->tokenizer, token);
}

edgellm_status edgellm_chat_prompt(const edgellm_engine *engine, const edgellm_message *messages,
                                   size_t n_messages, unsigned flags, uint32_t *tokens,
                                   size_t capacity, size_t *count, edgellm_error *err)
{
    return el_chat_encode(&engine->chat, engine->tokenizer, messages, n_messages, flags, tokens,
                          capacity, count, err);
}

const char *edgellm_chat_form(uint32_t index)
{
    return el_chat_form_name(index);
}
