/*
 * folder_tokens.c: tokenizer.json: every token's text under its id, and its type. Ids that no token
 * has, since embeddings are padded, are unused ones.
 */
#include "folder/folder_tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/gguf_value.h"

#define WHERE       EL_FOLDER_TOKENIZER ": "
#define MOST_BEYOND 16 /* added tokens that the model has no embedding for, and cannot meet */
#define PAD_BYTES   16

/* ---- the list ----------------------------------------------------------------------------- */

static bool id_of(const json_t *json, uint32_t *id)
{
    const double number = json_number_value(json);
    if (!json_is_number(json) || !(number >= 0 && number < UINT32_MAX)) return false;
    *id = (uint32_t)number;
    return *id == number;
}

uint32_t el_folder_token_id(const el_folder_tokens *t, const char *text)
{
    uint32_t id;
    return id_of(json_object_get(t->names, text), &id) && id < t->n ? id : EL_TOKEN_NONE;
}

static edgellm_status set(const el_folder_tokens *t, uint32_t id, const char *text, uint32_t type,
                          uint32_t flags)
{
    el_folder_token *token = &t->list[id];
    if (token->text && strcmp(token->text, text) != 0)
        return el_fail(t->f->err, EDGELLM_ERR_FORMAT,
                       WHERE "tokens '%.60s' and '%.60s' both have the id %u", token->text, text,
                       id);
    *token = (el_folder_token){text, (uint8_t)type, (uint8_t)flags};
    return EDGELLM_OK;
}

/* <0x41> */
static bool is_byte(const char *text)
{
    char name[8];
    if (strncmp(text, "<0x", 3) != 0 || strlen(text) != 6) return false;
    snprintf(name, sizeof name, "<0x%02X>", (unsigned)strtoul(text + 3, NULL, 16) & 255);
    return strcmp(name, text) == 0;
}

static bool is_added(const el_folder_tokens *t, const char *text)
{
    for (size_t i = 0; i < json_array_size(t->added); i++) {
        const char *name = el_folder_text(json_array_get(t->added, i), "content");
        if (name && strcmp(name, text) == 0) return true;
    }
    return false;
}

static edgellm_status set_names(const el_folder_tokens *t)
{
    const char *text;
    json_t *value;
    uint32_t id, beyond = 0;
    json_object_foreach((json_t *)t->names, text, value)
    {
        if (id_of(value, &id) && id >= t->n && ++beyond <= MOST_BEYOND && is_added(t, text))
            continue;
        if (!id_of(value, &id) || id >= t->n)
            return el_fail(t->f->err, EDGELLM_ERR_FORMAT,
                           WHERE "token '%.60s' has the id %g, but by " EL_FOLDER_CONFIG
                                 " the model has %u tokens: they don't belong together",
                           text, json_number_value(value), t->n);
        EL_TRY(set(t, id, text,
                   t->bytes && is_byte(text)    ? EL_TOKEN_BYTE
                   : t->unigram && id == t->unk ? EL_TOKEN_UNKNOWN
                                                : EL_TOKEN_NORMAL,
                   0));
    }
    return EDGELLM_OK;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t len = strlen(text), n = strlen(end);
    return len >= n && strcmp(text + len - n, end) == 0;
}

/* Names of this look are not text, whatever the file says, as converters to GGUF have it. */
static bool looks_special(const char *text)
{
    static const struct {
        const char *begin, *end;
    } looks[] = {{"<|", "|>"},
                 {"<\xef\xbd\x9c", "\xef\xbd\x9c>"},
                 {"<unused", ">"},
                 {"<pad>", ""},
                 {"<mask>", ""}};
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++)
        if (strncmp(text, looks[i].begin, strlen(looks[i].begin)) == 0 &&
            ends_with(text, looks[i].end))
            return true;
    return false;
}

/* el_token_flag. Errors: UNSUPPORTED. */
static edgellm_status flags_of(const el_folder_tokens *t, const json_t *entry, const char *text,
                               uint32_t *flags)
{
    static const struct {
        const char *key;
        el_token_flag flag;
    } rows[] = {{"rstrip", EL_TOKEN_RSTRIP},
                {"lstrip", EL_TOKEN_LSTRIP},
                {"single_word", EL_TOKEN_SINGLE_WORD},
                {"normalized", EL_TOKEN_NORMALIZED}};
    *flags = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (json_is_true(json_object_get(entry, rows[i].key))) *flags |= rows[i].flag;
    if (!(*flags & EL_TOKEN_NORMALIZED) || !t->marks) return EDGELLM_OK;
    if (!(*flags & (EL_TOKEN_RSTRIP | EL_TOKEN_LSTRIP))) return EDGELLM_OK;
    return el_fail(t->f->err, EDGELLM_ERR_UNSUPPORTED,
                   WHERE "added token '%.60s' is 'normalized' and has 'lstrip' or 'rstrip': where "
                         "the normalizer writes spaces as U+2581, this is not supported",
                   text);
}

static edgellm_status set_added(const el_folder_tokens *t)
{
    uint32_t id, beyond = 0;
    for (size_t i = 0; i < json_array_size(t->added); i++) {
        const json_t *entry = json_array_get(t->added, i);
        const char *text = el_folder_text(entry, "content");
        if (!text || !id_of(json_object_get(entry, "id"), &id))
            return el_fail(t->f->err, EDGELLM_ERR_FORMAT,
                           WHERE "entry %zu of 'added_tokens' has no id or no content", i);
        if (id >= t->n && ++beyond <= MOST_BEYOND) continue;
        if (id >= t->n)
            return el_fail(t->f->err, EDGELLM_ERR_FORMAT,
                           WHERE "added token '%.60s' has the id %u, but by " EL_FOLDER_CONFIG
                                 " the model has %u tokens: they don't belong together",
                           text, id, t->n);
        const bool special = json_is_true(json_object_get(entry, "special"));
        uint32_t flags;
        EL_TRY(flags_of(t, entry, text, &flags));
        EL_TRY(set(t, id, text, special || looks_special(text) ? EL_TOKEN_CONTROL : EL_TOKEN_USER,
                   flags));
    }
    return EDGELLM_OK;
}

/* Embeddings are padded by a few; many more are another model's. */
static edgellm_status check_number(const el_folder_tokens *t)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < t->n; i++)
        used += t->list[i].text != NULL;
    if (used >= t->n - t->n / 4) return EDGELLM_OK;
    return el_fail(t->f->err, EDGELLM_ERR_FORMAT,
                   WHERE "it has %u tokens, but by " EL_FOLDER_CONFIG
                         " the model has %u: they don't "
                         "belong together",
                   used, t->n);
}

/* ---- putting it --------------------------------------------------------------------------- */

static const char *name_of(const el_folder_tokens *t, uint32_t id, char pad[PAD_BYTES])
{
    if (t->list[id].text) return t->list[id].text;
    snprintf(pad, PAD_BYTES, "[PAD%u]", id);
    return pad;
}

static void put_list(const el_folder_tokens *t)
{
    char pad[PAD_BYTES];
    size_t bytes = 0;
    for (uint32_t i = 0; i < t->n; i++)
        bytes += sizeof(uint64_t) + strlen(name_of(t, i, pad));
    uint8_t *at = el_folder_put_array(t->f, "tokenizer.ggml.tokens", EL_GGUF_STRING, t->n, bytes);
    for (uint32_t i = 0; at && i < t->n; i++) {
        const char *name = name_of(t, i, pad);
        at = el_folder_write_text(at, name, strlen(name));
    }
    at = el_folder_put_array(t->f, "tokenizer.ggml.token_type", EL_GGUF_I32, t->n,
                             t->n * sizeof(uint32_t));
    for (uint32_t i = 0; at && i < t->n; i++) {
        const uint32_t type = t->list[i].text ? t->list[i].type : EL_TOKEN_UNUSED;
        memcpy(at + i * sizeof type, &type, sizeof type);
    }
}

/* A vocabulary of which every program takes the same: if nothing tells the two ways apart. */
static el_space_first usual_space(const el_folder_tokens *t)
{
    for (uint32_t i = 0; t->first == EL_SPACE_EACH && i < t->n; i++)
        if (t->list[i].type == EL_TOKEN_USER || (t->list[i].flags & EL_TOKEN_NORMALIZED))
            return EL_SPACE_EACH;
    return t->first == EL_SPACE_EACH ? EL_SPACE_BEFORE : t->first;
}

static void put_flags(const el_folder_tokens *t)
{
    uint8_t *at = el_folder_put_array(t->f, EL_GGUF_TOKEN_FLAGS, EL_GGUF_U8, t->n, t->n);
    for (uint32_t i = 0; at && i < t->n; i++)
        at[i] = t->list[i].flags;
    if (t->scored) el_folder_put_u32(t->f, EL_GGUF_SPACE_FIRST, usual_space(t));
}

static edgellm_status read_tokens(el_folder_tokens *t)
{
    EL_TRY(el_folder_cutting(t));
    EL_TRY(set_names(t));
    EL_TRY(set_added(t));
    EL_TRY(check_number(t));
    put_list(t);
    put_flags(t);
    EL_TRY(t->unigram ? el_folder_unigram_scores(t) : el_folder_merges(t));
    return el_folder_special(t);
}

/* Finds the names of tokens, and what they are of; t->names is made for a unigram model. */
static edgellm_status read_model(el_folder_tokens *t)
{
    t->model = json_object_get(t->json, "model");
    t->added = json_object_get(t->json, "added_tokens");
    const char *type = el_folder_text(t->model, "type");
    t->unigram = type && strcmp(type, "Unigram") == 0;
    if (t->unigram) return el_folder_unigram_names(t);
    if (!type || strcmp(type, "BPE") != 0)
        return el_fail(t->f->err, EDGELLM_ERR_UNSUPPORTED,
                       WHERE "a model of type '%.40s' is not supported, only 'BPE' (byte-level or "
                             "SentencePiece's) and 'Unigram'",
                       type ? type : "");
    t->names = json_object_get(t->model, "vocab");
    if (json_is_object(t->names)) return EDGELLM_OK;
    return el_fail(t->f->err, EDGELLM_ERR_FORMAT, WHERE "there is no 'vocab' in 'model'");
}

static edgellm_status no_tokenizer(const el_folder *f)
{
    if (el_folder_has(f, "tokenizer.model") || el_folder_has(f, "vocab.json"))
        return el_fail(f->err, EDGELLM_ERR_UNSUPPORTED,
                       "the folder has its tokenizer in other files than " EL_FOLDER_TOKENIZER
                       ": load the tokenizer with transformers and save it again");
    return el_fail(f->err, EDGELLM_ERR_FORMAT, "the folder has no " EL_FOLDER_TOKENIZER);
}

edgellm_status el_folder_vocab(el_folder *f)
{
    el_folder_tokens t = {.f = f, .n = f->vocab};
    EL_TRY(el_folder_json(f, EL_FOLDER_TOKENIZER, &t.json));
    if (!t.json) return no_tokenizer(f);
    edgellm_status status = read_model(&t);
    if (status == EDGELLM_OK) t.list = calloc(t.n, sizeof *t.list);
    if (t.list)
        status = read_tokens(&t);
    else if (status == EDGELLM_OK)
        status = el_fail(f->err, EDGELLM_ERR_MEMORY, "out of memory for the vocabulary");
    if (t.unigram) json_decref((json_t *)t.names);
    free(t.list);
    json_decref(t.json);
    return status;
}
