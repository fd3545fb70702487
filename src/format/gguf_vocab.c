/*
 * gguf_vocab.c: a vocabulary from GGUF metadata; the result holds raw bytes and ids. Of byte-level
 * BPE (model "gpt2") GGUF stores normal tokens and merges in GPT-2's printable mapping (a space is
 * U+0120). Of SentencePiece's BPE ("llama") and its unigram model ("t5") it stores pieces with
 * scores (gguf_pieces.c). Everything lies in one block, owned by the file:
 *
 *     merges | starts | ranks | types | flags | token bytes | pre-tokenizer | chat template
 */
#include <stdlib.h>
#include <string.h>

#include "format/checks.h"
#include "format/gguf_flags.h"
#include "format/gguf_pieces.h"
#include "format/gguf_value.h"

#define WHERE          "metadata, tokenizer"
#define PRETOKEN_BYTES 16

/* The arrays of the source, checked, and the block that is being filled. */
typedef struct builder {
    const el_gguf *file;
    edgellm_error *err;
    const el_gguf_value *tokens, *types, *merges; /* types, merges: NULL if absent */
    const el_gguf_value *scores;                  /* of pieces; else NULL */
    bool is_unigram;                              /* of those: not BPE */
    const char *chat_template;
    size_t template_len;
    uint64_t token_bytes; /* of all tokens in the source: decoding never lengthens */
    el_merge *out_merges;
    uint32_t *out_starts, *out_ranks;
    uint8_t *out_types, *out_flags, *out_bytes;
    char *out_pretokenizer, *out_template;
} builder;

/* ---- the printable mapping ------------------------------------------------------------- */

/* The byte of a printable character: 33..126, 161..172 and 174..255 stand for themselves, the
 * others were moved to 256..323 in their order. -1 if the character stands for no byte. */
static int byte_of_character(uint32_t c)
{
    if ((c >= 33 && c <= 126) || (c >= 161 && c <= 172) || (c >= 174 && c <= 255)) return (int)c;
    if (c < 256 || c > 323) return -1;
    c -= 256;
    if (c <= 32) return (int)c;              /* 0..32 */
    if (c <= 66) return (int)(c - 33 + 127); /* 127..160 */
    return 173;
}

/* Decodes a token into `out` (len bytes of room). A token with any character outside the mapping
 * is literal text. Returns the number of bytes. */
static size_t decode_token(const uint8_t *text, size_t len, uint8_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        uint32_t c = text[i++];
        if (c >= 0x80) { /* the mapping needs two bytes at most */
            bool pair = (c & 0xe0) == 0xc0 && i < len && (text[i] & 0xc0) == 0x80;
            c = pair ? (c & 0x1f) << 6 | (text[i++] & 0x3fu) : UINT32_MAX;
        }
        int byte = byte_of_character(c);
        if (byte < 0) {
            memcpy(out, text, len);
            return len;
        }
        out[n++] = (uint8_t)byte;
    }
    return n;
}

/* ---- finding what there is ------------------------------------------------------------- */

static edgellm_status find_array(const builder *b, const char *key, uint32_t element_type,
                                 const el_gguf_value **array)
{
    *array = el_gguf_get(b->file, key);
    if (!*array) return EDGELLM_OK;
    if ((*array)->type == EL_GGUF_ARRAY && (*array)->element_type == element_type) {
        return EDGELLM_OK;
    }
    return el_fail(b->err, EDGELLM_ERR_FORMAT, WHERE ": '%s' is not an array of the right type",
                   key);
}

static bool is_text(const char *text, size_t len, const char *wanted)
{
    return len == strlen(wanted) && memcmp(text, wanted, len) == 0;
}

/* *scored: pieces with scores, or merges. */
static edgellm_status check_model(builder *b, bool *scored)
{
    const char *model;
    size_t len;
    if (!el_gguf_string(b->file, "tokenizer.ggml.model", &model, &len)) {
        return el_fail(b->err, EDGELLM_ERR_FORMAT,
                       WHERE ": 'tokenizer.ggml.model' is missing: the file has no vocabulary");
    }
    b->is_unigram = is_text(model, len, "t5");
    *scored = b->is_unigram || is_text(model, len, "llama");
    if (*scored || is_text(model, len, "gpt2")) return EDGELLM_OK;
    return el_fail(b->err, EDGELLM_ERR_UNSUPPORTED,
                   WHERE ": model '%.*s' is not supported, only 'gpt2' (byte-level BPE), 'llama' "
                         "(SentencePiece's BPE) and 't5' (its unigram model)",
                   len > 32 ? 32 : (int)len, model);
}

/* Only its type tells a byte from a piece that is spelled like its name. */
static edgellm_status find_scores(builder *b)
{
    if (!b->types)
        return el_fail(b->err, EDGELLM_ERR_FORMAT,
                       WHERE ": 'tokenizer.ggml.token_type' is missing: of pieces with scores it "
                             "says which are bytes");
    EL_TRY(find_array(b, "tokenizer.ggml.scores", EL_GGUF_F32, &b->scores));
    if (b->scores && b->tokens && b->scores->count == b->tokens->count) return EDGELLM_OK;
    return el_fail(b->err, EDGELLM_ERR_FORMAT,
                   WHERE
                   ": %llu scores for the tokens of a model 'llama' or 't5', not one for each",
                   b->scores ? (unsigned long long)b->scores->count : 0ull);
}

static edgellm_status find_arrays(builder *b, bool scored)
{
    EL_TRY(find_array(b, "tokenizer.ggml.tokens", EL_GGUF_STRING, &b->tokens));
    EL_TRY(find_array(b, "tokenizer.ggml.token_type", EL_GGUF_I32, &b->types));
    if (scored)
        EL_TRY(find_scores(b));
    else
        EL_TRY(find_array(b, "tokenizer.ggml.merges", EL_GGUF_STRING, &b->merges));
    if (!b->tokens || b->tokens->count < 1 || b->tokens->count > EL_MAX_VOCAB) {
        return el_fail(b->err, EDGELLM_ERR_FORMAT,
                       WHERE ": 'tokenizer.ggml.tokens' has %llu entries, not 1..%u",
                       b->tokens ? (unsigned long long)b->tokens->count : 0ull, EL_MAX_VOCAB);
    }
    if (b->types && b->types->count != b->tokens->count) {
        return el_fail(b->err, EDGELLM_ERR_FORMAT, WHERE ": %llu token types for %llu tokens",
                       (unsigned long long)b->types->count, (unsigned long long)b->tokens->count);
    }
    if (b->merges && b->merges->count > EL_MAX_MERGES) {
        return el_fail(b->err, EDGELLM_ERR_FORMAT, WHERE ": %llu merges are more than %u",
                       (unsigned long long)b->merges->count, EL_MAX_MERGES);
    }
    return EDGELLM_OK;
}

static edgellm_status find_template(builder *b)
{
    b->chat_template = "";
    if (!el_gguf_get(b->file, "tokenizer.chat_template")) return EDGELLM_OK;
    if (!el_gguf_string(b->file, "tokenizer.chat_template", &b->chat_template, &b->template_len) ||
        !el_text_is_valid(b->chat_template, b->template_len)) {
        return el_fail(b->err, EDGELLM_ERR_FORMAT,
                       WHERE ": 'tokenizer.chat_template' is not UTF-8 text");
    }
    return EDGELLM_OK;
}

static edgellm_status count_bytes(builder *b)
{
    const uint8_t *at = b->tokens->data;
    for (uint64_t i = 0; i < b->tokens->count; i++) {
        size_t len;
        (void)el_gguf_next_string(&at, &len);
        b->token_bytes += len;
    }
    if (b->token_bytes <= UINT32_MAX) return EDGELLM_OK;
    return el_fail(b->err, EDGELLM_ERR_FORMAT, WHERE ": the tokens have more than 4 GB");
}

/* ---- filling the block ----------------------------------------------------------------- */

/* All sizes are bounded: counts by 2^21 and 2^23, lengths by the size of the file. */
static void *allocate(builder *b)
{
    uint64_t n = b->tokens->count, n_merges = b->merges ? b->merges->count : 0;
    const uint64_t n_ranks = b->scores ? n : 0;
    uint64_t need = n_merges * sizeof(el_merge) + (n + 1 + n_ranks) * sizeof(uint32_t) + 2 * n +
                    b->token_bytes + PRETOKEN_BYTES + b->template_len + 1;
    if (need > SIZE_MAX) return NULL;
    uint8_t *memory = calloc(1, (size_t)need);
    if (!memory) return NULL;
    b->out_merges = (el_merge *)(void *)memory;
    b->out_starts = (uint32_t *)(void *)(b->out_merges + n_merges);
    b->out_ranks = b->out_starts + n + 1;
    b->out_types = (uint8_t *)(b->out_ranks + n_ranks);
    b->out_flags = b->out_types + n;
    b->out_bytes = b->out_flags + n;
    b->out_pretokenizer = (char *)b->out_bytes + b->token_bytes;
    b->out_template = b->out_pretokenizer + PRETOKEN_BYTES;
    return memory;
}

static edgellm_status fill_tokens(builder *b)
{
    const uint8_t *at = b->tokens->data;
    uint32_t used = 0;
    for (uint32_t i = 0; i < b->tokens->count; i++) {
        size_t len;
        const char *text = el_gguf_next_string(&at, &len);
        uint32_t type = EL_TOKEN_NORMAL;
        if (b->types) type = (uint32_t)el_gguf_load(b->types->data + 4 * (size_t)i, 4);
        if (type < EL_TOKEN_NORMAL || type > EL_TOKEN_BYTE) {
            return el_fail(b->err, EDGELLM_ERR_FORMAT, WHERE ": token %u has the unknown type %u",
                           i, type);
        }
        if (b->scores) type = el_gguf_piece_type((el_token_type)type, text, len);
        b->out_types[i] = (uint8_t)type;
        if (b->scores) {
            EL_TRY(el_gguf_piece(b->out_bytes + used, (el_token_type)type, text, &len, i, b->err));
        } else if (type == EL_TOKEN_NORMAL) {
            len = decode_token((const uint8_t *)text, len, b->out_bytes + used);
        } else if (len) {
            memcpy(b->out_bytes + used, text, len);
        }
        used += (uint32_t)len;
        b->out_starts[i + 1] = used;
    }
    return EDGELLM_OK;
}

/* Open addressing over the tokens' source strings, at most half full. Strings lie in the file. */
typedef struct name_entry {
    const char *text;
    uint32_t len, id;
} name_entry;

typedef struct name_table {
    name_entry *entries;
    uint32_t mask;
} name_table;

static uint32_t hash_name(const char *text, size_t len)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)text[i]) * 16777619u;
    return h ^ h >> 15;
}

/* The entry that holds this text, or the free one where it belongs. */
static name_entry *find_name(const name_table *t, const char *text, size_t len)
{
    for (uint32_t i = hash_name(text, len);; i++) {
        name_entry *e = &t->entries[i & t->mask];
        if (!e->text || (e->len == len && memcmp(e->text, text, len) == 0)) return e;
    }
}

static bool build_names(const builder *b, name_table *t)
{
    uint32_t size = 16;
    while (size < 2 * b->tokens->count)
        size *= 2;
    t->entries = calloc(size, sizeof *t->entries);
    t->mask = size - 1;
    if (!t->entries) return false;
    const uint8_t *at = b->tokens->data;
    for (uint32_t i = 0; i < b->tokens->count; i++) {
        size_t len;
        const char *text = el_gguf_next_string(&at, &len);
        name_entry *e = find_name(t, text, len);
        if (!e->text) *e = (name_entry){text, (uint32_t)len, i};
    }
    return true;
}

static edgellm_status resolve_merges(const builder *b, const name_table *names)
{
    const uint8_t *at = b->merges->data;
    for (uint32_t i = 0; i < b->merges->count; i++) {
        size_t len;
        const char *text = el_gguf_next_string(&at, &len);
        const char *space = len > 2 ? memchr(text + 1, ' ', len - 2) : NULL;
        const name_entry *left = NULL, *right = NULL;
        if (space) {
            left = find_name(names, text, (size_t)(space - text));
            right = find_name(names, space + 1, (size_t)(text + len - space - 1));
        }
        if (!left || !left->text || !right->text) {
            return el_fail(b->err, EDGELLM_ERR_FORMAT,
                           WHERE ": merge %u '%.*s' is not two tokens with a space between", i,
                           len > 64 ? 64 : (int)len, text);
        }
        b->out_merges[i] = (el_merge){left->id, right->id};
    }
    return EDGELLM_OK;
}

static edgellm_status fill_merges(const builder *b)
{
    if (!b->merges) return EDGELLM_OK;
    name_table names;
    if (!build_names(b, &names)) {
        return el_fail(b->err, EDGELLM_ERR_MEMORY, "out of memory for the vocabulary");
    }
    edgellm_status status = resolve_merges(b, &names);
    free(names.entries);
    return status;
}

static bool has_token(const builder *b, const char *wanted)
{
    const uint8_t *at = b->tokens->data;
    for (uint32_t i = 0; i < b->tokens->count; i++) {
        size_t len;
        const char *text = el_gguf_next_string(&at, &len);
        if (is_text(text, len, wanted)) return true;
    }
    return false;
}

/* Names of other programs for the same rules; any other name stays as it is, for the tokenizer
 * to know or to refuse. Old converters left it out: a vocabulary with this token is Llama 3's, as
 * BitNet has it. */
static edgellm_status fill_pretokenizer(const builder *b)
{
    static const struct {
        const char *theirs, *ours;
    } aliases[] = {{"default", "gpt2"},
                   {"gpt-2", "gpt2"},
                   {"llama-bpe", "llama3"},
                   {"deepseek-r1-qwen", "qwen2"}};
    const char *name = "gpt2";
    size_t len = 4;
    const bool is_given = el_gguf_get(b->file, "tokenizer.ggml.pre") != NULL;
    if (is_given && !el_gguf_string(b->file, "tokenizer.ggml.pre", &name, &len)) {
        return el_fail(b->err, EDGELLM_ERR_FORMAT, WHERE ": 'tokenizer.ggml.pre' is no string");
    }
    if (!is_given && has_token(b, "<|start_header_id|>")) {
        name = "llama3";
        len = strlen(name);
    }
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++) {
        if (is_text(name, len, aliases[i].theirs)) {
            name = aliases[i].ours;
            len = strlen(name);
        }
    }
    if (len == 0 || len >= PRETOKEN_BYTES || !el_text_is_valid(name, len)) {
        return el_fail(b->err, EDGELLM_ERR_UNSUPPORTED,
                       WHERE ": pre-tokenizer '%.*s' is not supported", len > 64 ? 64 : (int)len,
                       name);
    }
    memcpy(b->out_pretokenizer, name, len);
    return EDGELLM_OK;
}

/* Some converters write -1, as a signed or an unsigned number, for "none". */
static uint32_t special_id(const el_gguf *file, const char *key)
{
    uint32_t id = EL_TOKEN_NONE;
    return el_gguf_u32(file, key, &id) ? id : EL_TOKEN_NONE;
}

static void fill_view(const builder *b, el_vocab *v)
{
    bool space_first = b->scores != NULL, add_bos = space_first && !b->is_unigram; /* unless the
                                                                                   file says */
    uint32_t where = 0; /* what no GGUF file says */
    bool nfc = false;   /* nor this */
    el_gguf_bool(b->file, "tokenizer.ggml.add_bos_token", &add_bos);
    el_gguf_bool(b->file, "tokenizer.ggml.add_space_prefix", &space_first);
    if (!el_gguf_u32(b->file, EL_GGUF_SPACE_FIRST, &where) || where > EL_SPACE_EACH)
        where = space_first ? EL_SPACE_BEFORE : EL_SPACE_NEVER;
    el_gguf_bool(b->file, EL_GGUF_NFC, &nfc);
    if (special_id(b->file, "tokenizer.ggml.bos_token_id") == EL_TOKEN_NONE && b->scores)
        add_bos = false;
    *v = (el_vocab){
        .n_tokens = (uint32_t)b->tokens->count,
        .n_merges = b->merges ? (uint32_t)b->merges->count : 0,
        .bytes = b->out_bytes,
        .starts = b->out_starts,
        .types = b->out_types,
        .merges = b->out_merges,
        .ranks = b->scores ? b->out_ranks : NULL,
        .pretokenizer = b->out_pretokenizer,
        .chat_template = b->out_template,
        .bos = special_id(b->file, "tokenizer.ggml.bos_token_id"),
        .eos = special_id(b->file, "tokenizer.ggml.eos_token_id"),
        .unk = special_id(b->file, "tokenizer.ggml.unknown_token_id"),
        .pad = special_id(b->file, "tokenizer.ggml.padding_token_id"),
        .add_bos = add_bos,
        .nfc = nfc && !b->scores,
        .space_first = (uint8_t)(b->scores ? where : 0),
    };
    memcpy(b->out_template, b->chat_template, b->template_len);
}

static edgellm_status fill_scores(const builder *b)
{
    if (b->is_unigram)
        el_gguf_scores(b->scores, b->out_ranks);
    else
        EL_TRY(el_gguf_ranks(b->scores, b->out_types, b->out_ranks, b->err));
    const char *name = b->is_unigram ? "unigram" : "spm";
    memcpy(b->out_pretokenizer, name, strlen(name));
    return el_gguf_refuse_normalizing(b->file, b->err);
}

static edgellm_status fill(builder *b, el_vocab *v)
{
    EL_TRY(fill_tokens(b));
    if (b->scores) {
        EL_TRY(fill_scores(b));
    } else {
        EL_TRY(fill_merges(b));
        EL_TRY(fill_pretokenizer(b));
    }
    fill_view(b, v);
    bool any = false;
    EL_TRY(el_gguf_flags(b->file, v, b->out_flags, &any, b->err));
    v->flags = any ? b->out_flags : NULL;
    return el_vocab_check(v, v->starts[v->n_tokens], WHERE, b->err);
}

edgellm_status el_gguf_vocab(el_gguf *file, el_vocab *vocab, edgellm_error *err)
{
    builder b = {.file = file, .err = err};
    bool scored = false;
    EL_TRY(check_model(&b, &scored));
    EL_TRY(find_arrays(&b, scored));
    EL_TRY(find_template(&b));
    EL_TRY(count_bytes(&b));
    void *memory = allocate(&b);
    if (!memory) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for the vocabulary");
    el_vocab fresh;
    edgellm_status status = fill(&b, &fresh);
    if (status != EDGELLM_OK) {
        free(memory);
        return status;
    }
    free(file->vocab_memory);
    file->vocab_memory = memory;
    *vocab = fresh;
    return EDGELLM_OK;
}
