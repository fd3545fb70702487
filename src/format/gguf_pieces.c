/* gguf_pieces.c: see gguf_pieces.h. */
#include "format/gguf_pieces.h"

#include <stdlib.h>
#include <string.h>

#include "base/half.h"

#define WHERE       "metadata, tokenizer"
#define SPACE       "\xe2\x96\x81" /* U+2581 */
#define SPACE_BYTES 3

uint32_t el_gguf_piece_type(el_token_type type, const char *text, size_t len)
{
    static const char *const borders[] = {"<start_of_turn>", "<end_of_turn>"};
    for (size_t i = 0; i < sizeof borders / sizeof *borders; i++)
        if (len == strlen(borders[i]) && memcmp(text, borders[i], len) == 0)
            return EL_TOKEN_CONTROL;
    return type;
}

static int digit_of(char c)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *found = c != '\0' ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* <0x41>: its byte; -1 if that is not the form of the name. */
static int byte_of_name(const char *text, size_t len)
{
    if (len != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return -1;
    const int high = digit_of(text[3]), low = digit_of(text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Copies text with its spaces put back; returns the number of bytes. */
static size_t put_spaces_back(uint8_t *out, const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        const bool space = len - i >= SPACE_BYTES && memcmp(text + i, SPACE, SPACE_BYTES) == 0;
        out[n++] = space ? ' ' : (uint8_t)text[i];
        i += space ? SPACE_BYTES : 1;
    }
    return n;
}

edgellm_status el_gguf_piece(uint8_t *out, el_token_type type, const char *text, size_t *len,
                             uint32_t id, edgellm_error *err)
{
    if (type == EL_TOKEN_BYTE) {
        const int byte = byte_of_name(text, *len);
        if (byte < 0)
            return el_fail(err, EDGELLM_ERR_FORMAT,
                           WHERE ": token %u is a byte, but its name '%.*s' is not like <0x41>", id,
                           *len > 32 ? 32 : (int)*len, text);
        out[0] = (uint8_t)byte;
        *len = 1;
    } else if (type == EL_TOKEN_NORMAL || type == EL_TOKEN_USER) {
        *len = put_spaces_back(out, text, *len);
    } else if (*len > 0) {
        memcpy(out, text, *len);
    }
    return EDGELLM_OK;
}

/* ---- ranks ------------------------------------------------------------------------------ */

typedef struct scored {
    float score;
    uint32_t id;
} scored;

/* Best score first. */
static int by_score(const void *a, const void *b)
{
    const scored *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Lists the normal tokens; *n becomes how many there are. */
static edgellm_status list_scores(const el_gguf_value *scores, const uint8_t *types, scored *list,
                                  uint32_t *n, edgellm_error *err)
{
    for (uint32_t id = 0; id < scores->count; id++) {
        const float score =
            el_float_of_bits((uint32_t)el_gguf_load(scores->data + 4 * (size_t)id, 4));
        if (types[id] != EL_TOKEN_NORMAL) continue;
        if (score != score)
            return el_fail(err, EDGELLM_ERR_FORMAT, WHERE ": the score of token %u is no number",
                           id);
        list[(*n)++] = (scored){score, id};
    }
    return EDGELLM_OK;
}

edgellm_status el_gguf_ranks(const el_gguf_value *scores, const uint8_t *types, uint32_t *ranks,
                             edgellm_error *err)
{
    uint32_t n = 0, rank = 0;
    scored *list = malloc((size_t)scores->count * sizeof *list);
    if (!list) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for the vocabulary");
    edgellm_status status = list_scores(scores, types, list, &n, err);
    if (status == EDGELLM_OK && n > 0) qsort(list, n, sizeof *list, by_score);
    for (uint32_t i = 0; status == EDGELLM_OK && i < n; i++) {
        if (i > 0 && list[i].score != list[i - 1].score) rank++;
        ranks[list[i].id] = rank;
    }
    free(list);
    return status;
}

void el_gguf_scores(const el_gguf_value *scores, uint32_t *bits)
{
    for (uint32_t id = 0; id < scores->count; id++)
        bits[id] = (uint32_t)el_gguf_load(scores->data + 4 * (size_t)id, 4);
}

edgellm_status el_gguf_refuse_normalizing(const el_gguf *file, edgellm_error *err)
{
    static const char map[] = "tokenizer.ggml.precompiled_charsmap";
    static const char spaces[] = "tokenizer.ggml.remove_extra_whitespaces";
    const el_gguf_value *found = el_gguf_get(file, map);
    bool removes = false;
    el_gguf_bool(file, spaces, &removes);
    if (!removes && !(found && found->type == EL_GGUF_ARRAY && found->count > 0)) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_UNSUPPORTED, WHERE ": '%s': this version takes text as it is",
                   removes ? spaces : map);
}
