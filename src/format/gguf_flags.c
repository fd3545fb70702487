/* gguf_flags.c: see gguf_flags.h. */
#include "format/gguf_flags.h"

#include <ctype.h>
#include <string.h>

#include "format/gguf_value.h"

static edgellm_status copy_flags(const el_gguf_value *said, uint32_t n, uint8_t *flags,
                                 edgellm_error *err)
{
    if (said->type != EL_GGUF_ARRAY || said->element_type != EL_GGUF_U8 || said->count != n)
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "metadata, tokenizer: '" EL_GGUF_TOKEN_FLAGS "' is not one byte for each of "
                       "%u tokens",
                       n);
    memcpy(flags, said->data, n);
    return EDGELLM_OK;
}

/* Is the text in there, whatever the case of its letters? */
static bool has_text(const char *in, size_t len, const char *text)
{
    const size_t n = strlen(text);
    for (size_t i = 0; i + n <= len; i++) {
        size_t same = 0;
        while (same < n && tolower((unsigned char)in[i + same]) == text[same])
            same++;
        if (same == n) return true;
    }
    return false;
}

/* Phi-3 and Phi-3.5, which have SentencePiece's pieces; Phi-4 has not. */
static bool is_phi3(const el_gguf *file, const el_vocab *vocab)
{
    const char *text;
    size_t len;
    if (vocab->ranks == NULL) return false;
    if (el_gguf_string(file, "general.architecture", &text, &len) && len == 4 &&
        memcmp(text, "phi3", 4) == 0)
        return true;
    return el_gguf_string(file, "general.name", &text, &len) &&
           (has_text(text, len, "phi-3") || has_text(text, len, "phi3"));
}

static bool is_named(const el_vocab *vocab, uint32_t id, const char *const *names, size_t n)
{
    const uint32_t start = vocab->starts[id], len = vocab->starts[id + 1] - start;
    for (size_t i = 0; i < n; i++)
        if (strlen(names[i]) == len && memcmp(vocab->bytes + start, names[i], len) == 0)
            return true;
    return false;
}

/* Its tokenizer.json has it so: all that were added take in the white space behind them, but for
 * these three. */
static void flag_phi3(const el_vocab *vocab, uint8_t *flags)
{
    static const char *const others[] = {"<unk>", "<s>", "<|endoftext|>"};
    for (uint32_t id = 0; id < vocab->n_tokens; id++) {
        const unsigned type = vocab->types[id];
        if ((type == EL_TOKEN_USER || type == EL_TOKEN_CONTROL || type == EL_TOKEN_UNKNOWN) &&
            !is_named(vocab, id, others, sizeof others / sizeof others[0]))
            flags[id] = EL_TOKEN_RSTRIP;
    }
}

edgellm_status el_gguf_flags(const el_gguf *file, const el_vocab *vocab, uint8_t *flags, bool *any,
                             edgellm_error *err)
{
    const el_gguf_value *said = el_gguf_get(file, EL_GGUF_TOKEN_FLAGS);
    memset(flags, 0, vocab->n_tokens);
    if (said)
        EL_TRY(copy_flags(said, vocab->n_tokens, flags, err));
    else if (is_phi3(file, vocab))
        flag_phi3(vocab, flags);
    *any = false;
    for (uint32_t id = 0; id < vocab->n_tokens; id++)
        *any |= flags[id] != 0;
    return EDGELLM_OK;
}
