/*
 * folder_unigram.c: SentencePiece's unigram model in tokenizer.json: a list of pieces with scores,
 * whose places are their ids.
 */
#include <string.h>

#include "folder/folder_tokens.h"
#include "format/gguf_value.h"

#define WHERE EL_FOLDER_TOKENIZER ": "
#define SPACE "\xe2\x96\x81" /* U+2581 */

static const json_t *list_of(const el_folder_tokens *t)
{
    return json_object_get(t->model, "vocab");
}

static const char *piece_of(const el_folder_tokens *t, size_t i)
{
    return json_string_value(json_array_get(json_array_get(list_of(t), i), 0));
}

static edgellm_status add_name(json_t *names, const el_folder_tokens *t, size_t i)
{
    const char *text = piece_of(t, i);
    if (!text || !json_is_number(json_array_get(json_array_get(list_of(t), i), 1)))
        return el_fail(t->f->err, EDGELLM_ERR_FORMAT,
                       WHERE "entry %zu of 'vocab' in 'model' is no piece with a score", i);
    if (json_object_get(names, text))
        return el_fail(t->f->err, EDGELLM_ERR_FORMAT,
                       WHERE "piece '%.60s' is twice in 'vocab' of 'model'", text);
    if (json_object_set_new(names, text, json_real((double)i)) == 0) return EDGELLM_OK;
    return el_fail(t->f->err, EDGELLM_ERR_MEMORY, "out of memory for the vocabulary");
}

edgellm_status el_folder_unigram_names(el_folder_tokens *t)
{
    const size_t n = json_array_size(list_of(t));
    edgellm_status status = EDGELLM_OK;
    if (n == 0)
        return el_fail(t->f->err, EDGELLM_ERR_FORMAT,
                       WHERE "'vocab' in 'model' is no list of pieces with scores");
    json_t *names = json_object();
    if (!names) return el_fail(t->f->err, EDGELLM_ERR_MEMORY, "out of memory for the vocabulary");
    for (size_t i = 0; i < n && status == EDGELLM_OK; i++)
        status = add_name(names, t, i);
    if (status == EDGELLM_OK)
        status =
            el_folder_u32(t->f, EL_FOLDER_TOKENIZER, t->model, "unk_id", EL_TOKEN_NONE, &t->unk);
    if (status != EDGELLM_OK) {
        json_decref(names);
        return status;
    }
    if (t->unk >= n) t->unk = EL_TOKEN_NONE;
    t->names = names;
    return EDGELLM_OK;
}

edgellm_status el_folder_unigram_scores(const el_folder_tokens *t)
{
    uint8_t *at =
        el_folder_put_array(t->f, "tokenizer.ggml.scores", EL_GGUF_F32, t->n, t->n * sizeof(float));
    for (uint32_t i = 0; at && i < t->n; i++) {
        const json_t *entry = json_array_get(list_of(t), i);
        const float score = (float)json_number_value(json_array_get(entry, 1));
        memcpy(at + i * sizeof score, &score, sizeof score);
    }
    return EDGELLM_OK;
}

bool el_folder_unigram_is_of_words(const el_folder_tokens *t)
{
    for (size_t i = 0; i < json_array_size(list_of(t)); i++) {
        const char *text = piece_of(t, i);
        if (text && *text && strstr(text + 1, SPACE)) return false;
    }
    return true;
}
