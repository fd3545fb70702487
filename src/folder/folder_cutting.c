/*
 * folder_cutting.c: what tokenizer.json does with a text before it merges. Of byte-level BPE that
 * is a regular expression: those that token/pretoken.c has scanners for stand in a table, any other
 * is refused. Of SentencePiece's pieces it is what becomes of spaces.
 */
#include <string.h>

#include "folder/folder_tokens.h"

#define WHERE EL_FOLDER_TOKENIZER ": "
#define SPACE "\xe2\x96\x81" /* U+2581 */

/* ---- byte-level BPE ----------------------------------------------------------------------- */

#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3(numbers)                                                                            \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" numbers                          \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#define UPPER       "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER       "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define BEFORE      "[^\\r\\n\\p{L}\\p{N}]?"
#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
#define CASED(end, numbers)                                                                        \
    BEFORE UPPER "*" LOWER "+" end "|" BEFORE UPPER "+" LOWER "*" end "|" numbers                  \
                 "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct cutter {
    const char *name;  /* token/pretoken.c's */
    const char *regex; /* text is cut by */
    bool digits;       /* each number is cut out before */
    bool whole;        /* a piece that is a token needs no merges */
} cutters[] = {
    {"smollm", GPT2, true, false},
    {"gpt2", GPT2, false, false},
    {"llama3", LLAMA3("\\p{N}{1,3}"), false, true},
    {"qwen2", LLAMA3("\\p{N}"), false, false},
    {"tekken", CASED("", "\\p{N}"), false, true},
    {"gpt-4o", CASED(CONTRACTION, "\\p{N}{1,3}"), false, false},
};

/* What the steps of a pre-tokenizer are together. */
typedef struct steps {
    const char *regex;
    bool digits, bytes;
} steps;

static edgellm_status unknown(const el_folder_tokens *t, const char *what, const char *name)
{
    return el_fail(t->f->err, EDGELLM_ERR_UNSUPPORTED,
                   WHERE "%s '%.200s' is not supported: this version knows those of smollm, gpt2, "
                         "llama3, qwen2, tekken, gpt-4o and SentencePiece",
                   what, name ? name : "");
}

static bool is(const json_t *object, const char *key, bool fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

static bool text_is(const json_t *object, const char *key, const char *text)
{
    const char *found = el_folder_text(object, key);
    return found && strcmp(found, text) == 0;
}

/* Pieces are what matches; either way of saying so. */
static bool keeps_matches(const json_t *split)
{
    const bool inverted = is(split, "invert", false);
    return text_is(split, "behavior", inverted ? "Removed" : "Isolated");
}

static edgellm_status take_regex(const el_folder_tokens *t, const char *regex, steps *s)
{
    if (s->regex) return unknown(t, "a second regular expression", regex);
    s->regex = regex;
    return EDGELLM_OK;
}

static edgellm_status take_step(const el_folder_tokens *t, const json_t *step, steps *s)
{
    const char *type = el_folder_text(step, "type");
    if (text_is(step, "type", "Digits") && is(step, "individual_digits", false) && !s->regex) {
        s->digits = true;
        return EDGELLM_OK;
    }
    if (text_is(step, "type", "Split")) {
        const char *regex = el_folder_text(json_object_get(step, "pattern"), "Regex");
        if (!regex || !keeps_matches(step)) return unknown(t, "a pre-tokenizer", "Split");
        return take_regex(t, regex, s);
    }
    if (text_is(step, "type", "ByteLevel")) {
        if (is(step, "add_prefix_space", true))
            return unknown(t, "a pre-tokenizer", "ByteLevel with add_prefix_space");
        s->bytes = true;
        return is(step, "use_regex", true) ? take_regex(t, GPT2, s) : EDGELLM_OK;
    }
    return unknown(t, "a pre-tokenizer", type);
}

static edgellm_status take_steps(const el_folder_tokens *t, const json_t *pretokenizer, steps *s)
{
    const json_t *list = json_object_get(pretokenizer, "pretokenizers");
    if (!text_is(pretokenizer, "type", "Sequence")) return take_step(t, pretokenizer, s);
    for (size_t i = 0; i < json_array_size(list); i++)
        EL_TRY(take_step(t, json_array_get(list, i), s));
    return EDGELLM_OK;
}

static edgellm_status byte_normalizer(const el_folder_tokens *t)
{
    const json_t *normalizer = json_object_get(t->json, "normalizer");
    if (!json_is_object(normalizer)) return EDGELLM_OK;
    const char *type = el_folder_text(normalizer, "type");
    if (!text_is(normalizer, "type", "NFC"))
        return el_fail(t->f->err, EDGELLM_ERR_UNSUPPORTED,
                       WHERE "a normalizer '%.200s' is not supported with byte-level BPE: this "
                             "version knows 'NFC', or none",
                       type ? type : "");
    el_folder_put_bool(t->f, EL_GGUF_NFC, true);
    return EDGELLM_OK;
}

static edgellm_status cut_bytes(const el_folder_tokens *t, const json_t *pretokenizer)
{
    static const char model[] = "gpt2";
    steps s = {0};
    const bool whole = is(t->model, "ignore_merges", false);
    EL_TRY(byte_normalizer(t));
    EL_TRY(take_steps(t, pretokenizer, &s));
    if (!s.bytes || !s.regex) return unknown(t, "a pre-tokenizer without", "ByteLevel");
    for (size_t i = 0; i < sizeof cutters / sizeof *cutters; i++) {
        const struct cutter *c = &cutters[i];
        if (strcmp(c->regex, s.regex) != 0 || c->digits != s.digits) continue;
        if (c->whole != whole)
            return unknown(t,
                           whole ? "'ignore_merges' with the expression"
                                 : "without 'ignore_merges' the expression",
                           s.regex);
        el_folder_put_text(t->f, "tokenizer.ggml.model", model, strlen(model));
        el_folder_put_text(t->f, "tokenizer.ggml.pre", c->name, strlen(c->name));
        return EDGELLM_OK;
    }
    return unknown(t, s.digits ? "after single digits the expression" : "the expression", s.regex);
}

/* ---- SentencePiece's pieces --------------------------------------------------------------- */

static edgellm_status take_normal(el_folder_tokens *t, const json_t *step)
{
    if (text_is(step, "type", "Prepend") && text_is(step, "prepend", SPACE)) {
        t->first = EL_SPACE_EACH;
        return EDGELLM_OK;
    }
    if (text_is(step, "type", "Replace") && text_is(step, "content", SPACE) &&
        text_is(json_object_get(step, "pattern"), "String", " ")) {
        t->marks = true;
        return EDGELLM_OK;
    }
    const char *type = el_folder_text(step, "type");
    return el_fail(t->f->err, EDGELLM_ERR_UNSUPPORTED,
                   WHERE "a normalizer '%.200s' is not supported with pieces: this version knows "
                         "'Prepend' and 'Replace' of spaces by U+2581, and no maps of characters",
                   type ? type : "");
}

static edgellm_status take_normalizer(el_folder_tokens *t)
{
    const json_t *normalizer = json_object_get(t->json, "normalizer");
    const json_t *list = json_object_get(normalizer, "normalizers");
    if (!json_is_object(normalizer)) return EDGELLM_OK;
    if (!text_is(normalizer, "type", "Sequence")) return take_normal(t, normalizer);
    for (size_t i = 0; i < json_array_size(list); i++)
        EL_TRY(take_normal(t, json_array_get(list, i)));
    return EDGELLM_OK;
}

/* One that cuts nothing: at spaces when they are marked, or only marks them, which *marked says. */
static edgellm_status take_metaspace(el_folder_tokens *t, const json_t *step, bool *marked)
{
    const char *scheme = el_folder_text(step, "prepend_scheme");
    *marked = t->marks;
    if (!json_is_object(step)) return EDGELLM_OK;
    if (text_is(step, "type", "Split") && t->marks &&
        text_is(json_object_get(step, "pattern"), "String", " "))
        return EDGELLM_OK;
    if (!text_is(step, "type", "Metaspace") || !text_is(step, "replacement", SPACE))
        return unknown(t, "a pre-tokenizer", el_folder_text(step, "type"));
    if (is(step, "split", true) && !(t->unigram && el_folder_unigram_is_of_words(t)))
        return unknown(t, "with pieces that go on behind a space, or merges, a pre-tokenizer",
                       "Metaspace with split");
    *marked = true;
    if (!scheme) scheme = is(step, "add_prefix_space", true) ? "always" : "never";
    if (t->first != EL_SPACE_NEVER || strcmp(scheme, "never") == 0) return EDGELLM_OK;
    t->first = strcmp(scheme, "first") == 0 ? EL_SPACE_UNLESS_ONCE : EL_SPACE_UNLESS;
    return EDGELLM_OK;
}

static edgellm_status cut_pieces(el_folder_tokens *t, const json_t *pretokenizer)
{
    const char *model = t->unigram ? "t5" : "llama";
    bool marked;
    EL_TRY(take_normalizer(t));
    EL_TRY(take_metaspace(t, pretokenizer, &marked));
    if (!marked) return unknown(t, "a tokenizer of pieces with", "spaces as they are");
    el_folder_put_text(t->f, "tokenizer.ggml.model", model, strlen(model));
    return EDGELLM_OK;
}

edgellm_status el_folder_cutting(el_folder_tokens *t)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const json_t *pretokenizer = json_object_get(t->json, "pre_tokenizer");
    for (size_t i = 0; i < sizeof affixes / sizeof *affixes; i++) {
        const char *affix = el_folder_text(t->model, affixes[i]);
        if (affix && affix[0] != '\0') return unknown(t, affixes[i], affix);
    }
    t->bytes = is(t->model, "byte_fallback", false);
    t->scored = t->bytes || t->unigram;
    return t->scored ? cut_pieces(t, pretokenizer) : cut_bytes(t, pretokenizer);
}
