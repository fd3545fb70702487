/*
 * folder_special.c: the tokens with a meaning, and the chat template: from tokenizer_config.json,
 * then config.json, as converters to GGUF read them. Which tokens end an answer is also in
 * generation_config.json.
 */
#include <string.h>

#include "folder/folder_tokens.h"
#include "format/checks.h"
#include "token/tokenizer.h"

#define CONFIG     "tokenizer_config.json"
#define GENERATION "generation_config.json"
#define JINJA      "chat_template.jinja"
#define JINJA_JSON "chat_template.json"

typedef struct special {
    el_folder_tokens *t;
    json_t *config, *generation, *template_json; /* NULL if absent */
    uint32_t bos, eos;
} special;

/* ---- ids ---------------------------------------------------------------------------------- */

/* A token is named by its text, or by an object that has it. */
static const char *content_of(const json_t *token)
{
    const char *text = json_string_value(token);
    return text ? text : el_folder_text(token, "content");
}

static uint32_t id_named(const special *s, const char *text)
{
    for (uint32_t i = 0; text && i < s->t->n; i++)
        if (s->t->list[i].text && strcmp(s->t->list[i].text, text) == 0) return i;
    return EL_TOKEN_NONE;
}

/* EL_TOKEN_NONE for null, and for -1, as some write it. `name`: the file. Errors: FORMAT. */
static edgellm_status take_id(const special *s, const char *name, const char *key,
                              const json_t *value, uint32_t *id)
{
    const double number = json_number_value(value);
    *id = EL_TOKEN_NONE;
    if (!value || json_is_null(value) || number == -1) return EDGELLM_OK;
    if (!json_is_number(value) || !(number >= 0 && number < s->t->n) ||
        number != (double)(uint32_t)number)
        return el_fail(s->t->f->err, EDGELLM_ERR_FORMAT, "%s: '%s' is %g, which is no token of %u",
                       name, key, number, s->t->n);
    *id = (uint32_t)number;
    return EDGELLM_OK;
}

/* Of config.json: an id, or the first of a list. */
static edgellm_status id_in_config(const special *s, const char *key, uint32_t *id)
{
    const json_t *found = json_object_get(s->t->f->config, key);
    if (json_is_array(found)) found = json_array_get(found, 0);
    return take_id(s, EL_FOLDER_CONFIG, key, found, id);
}

static edgellm_status find_id(const special *s, const char *token, const char *key, uint32_t *id)
{
    *id = id_named(s, content_of(json_object_get(s->config, token)));
    return *id != EL_TOKEN_NONE ? EDGELLM_OK : id_in_config(s, key, id);
}

/* ---- what ends an answer ------------------------------------------------------------------ */

/* A file knows one such token by its id, and others by their names. */
static bool ends_by_name(const special *s, uint32_t id)
{
    const el_folder_token *token = &s->t->list[id];
    return token->text && token->type == EL_TOKEN_CONTROL &&
           el_tokenizer_name_ends((const uint8_t *)token->text, strlen(token->text));
}

static edgellm_status take_end(special *s, uint32_t id)
{
    if (id == s->eos || ends_by_name(s, id)) return EDGELLM_OK;
    if (s->eos == EL_TOKEN_NONE || ends_by_name(s, s->eos)) {
        s->eos = id;
        return EDGELLM_OK;
    }
    const char *text = s->t->list[id].text;
    return el_fail(s->t->f->err, EDGELLM_ERR_UNSUPPORTED,
                   GENERATION ": tokens %u and %u ('%.60s') both end an answer, and this version "
                              "knows neither name",
                   s->eos, id, text ? text : "");
}

static edgellm_status take_ends(special *s)
{
    static const char key[] = "eos_token_id";
    const json_t *ends = json_object_get(s->generation, key);
    const size_t n = json_is_array(ends) ? json_array_size(ends) : 1;
    for (size_t i = 0; i < n; i++) {
        uint32_t id;
        const json_t *end = json_is_array(ends) ? json_array_get(ends, i) : ends;
        EL_TRY(take_id(s, GENERATION, key, end, &id));
        if (id != EL_TOKEN_NONE) EL_TRY(take_end(s, id));
    }
    return EDGELLM_OK;
}

/* ---- what stands before a text ------------------------------------------------------------ */

/* Does this step put bos before a text? */
static bool puts_bos(const special *s, const json_t *step)
{
    const json_t *first = json_array_get(json_object_get(step, "single"), 0);
    const char *name = el_folder_text(json_object_get(first, "SpecialToken"), "id");
    return name && s->bos != EL_TOKEN_NONE && id_named(s, name) == s->bos;
}

static bool adds_bos(const special *s)
{
    const json_t *processor = json_object_get(s->t->json, "post_processor");
    const json_t *list = json_object_get(processor, "processors");
    const json_t *said = json_object_get(s->config, "add_bos_token");
    bool adds = puts_bos(s, processor);
    if (json_is_boolean(said)) return json_is_true(said) && s->bos != EL_TOKEN_NONE;
    for (size_t i = 0; i < json_array_size(list); i++)
        adds |= puts_bos(s, json_array_get(list, i));
    return adds;
}

/* ---- the chat template -------------------------------------------------------------------- */

/* One text, or a list of named ones, of which "default" counts. */
static const char *template_of(const json_t *value)
{
    if (json_is_string(value)) return json_string_value(value);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *entry = json_array_get(value, i);
        const char *name = el_folder_text(entry, "name");
        if (name && strcmp(name, "default") == 0) return el_folder_text(entry, "template");
    }
    return NULL;
}

static edgellm_status put_template(special *s)
{
    static const char key[] = "tokenizer.chat_template";
    const json_t *objects[] = {s->config, s->template_json};
    el_mapfile map;
    if (el_folder_has(s->t->f, JINJA)) {
        EL_TRY(el_folder_map(s->t->f, JINJA, &map));
        el_folder_put_text(s->t->f, key, (const char *)map.data, map.size);
        return EDGELLM_OK;
    }
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        const char *text = template_of(json_object_get(objects[i], "chat_template"));
        if (!text) continue;
        el_folder_put_text(s->t->f, key, text, strlen(text));
        return EDGELLM_OK;
    }
    return EDGELLM_OK;
}

static void put_id(el_folder *f, const char *key, uint32_t id)
{
    if (id != EL_TOKEN_NONE) el_folder_put_u32(f, key, id);
}

static edgellm_status put_all(special *s)
{
    el_folder *f = s->t->f;
    uint32_t unk, pad;
    EL_TRY(el_folder_json(f, CONFIG, &s->config));
    EL_TRY(el_folder_json(f, GENERATION, &s->generation));
    EL_TRY(el_folder_json(f, JINJA_JSON, &s->template_json));
    EL_TRY(find_id(s, "bos_token", "bos_token_id", &s->bos));
    EL_TRY(find_id(s, "eos_token", "eos_token_id", &s->eos));
    EL_TRY(find_id(s, "unk_token", "unk_token_id", &unk));
    if (unk == EL_TOKEN_NONE && s->t->unigram) unk = s->t->unk;
    EL_TRY(find_id(s, "pad_token", "pad_token_id", &pad));
    EL_TRY(take_ends(s));
    put_id(f, "tokenizer.ggml.bos_token_id", s->bos);
    put_id(f, "tokenizer.ggml.eos_token_id", s->eos);
    put_id(f, "tokenizer.ggml.unknown_token_id", unk);
    put_id(f, "tokenizer.ggml.padding_token_id", pad);
    el_folder_put_bool(f, "tokenizer.ggml.add_bos_token", adds_bos(s));
    return put_template(s);
}

edgellm_status el_folder_special(el_folder_tokens *t)
{
    special s = {.t = t};
    edgellm_status status = put_all(&s);
    json_decref(s.config);
    json_decref(s.generation);
    json_decref(s.template_json);
    return status;
}
