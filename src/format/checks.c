/* checks.c: see checks.h. Every rule is one row or one line, so that none hides another. */
#include "format/checks.h"

#include <string.h>

#include "base/half.h"

#define PATH_SHOWN 160 /* bytes of a path in a message of 480 */

edgellm_status el_fail_in_file(edgellm_error *err, edgellm_status status, const char *path)
{
    if (!err) return status;
    char message[sizeof err->message];
    memcpy(message, err->message, sizeof message);
    size_t len = strlen(path);
    const char *shown = len > PATH_SHOWN ? path + len - PATH_SHOWN : path;
    return el_fail(err, status, "'%s%s': %s", shown == path ? "" : "...", shown, message);
}

/* Bytes of the well-formed UTF-8 character at s (end > s); 0 if it is not one, or NUL. */
static size_t character_bytes(const uint8_t *s, const uint8_t *end)
{
    static const struct {
        uint8_t first_low, first_high, second_low, second_high, bytes;
    } forms[] = {
        {0x01, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
        if (*s < forms[f].first_low || *s > forms[f].first_high) continue;
        size_t n = forms[f].bytes;
        if (n == 1) return 1;
        if ((size_t)(end - s) < n) return 0;
        if (s[1] < forms[f].second_low || s[1] > forms[f].second_high) return 0;
        for (size_t i = 2; i < n; i++) {
            if ((s[i] & 0xc0) != 0x80) return 0;
        }
        return n;
    }
    return 0;
}

bool el_all_zero(const uint8_t *bytes, uint64_t size)
{
    uint8_t any = 0;
    for (uint64_t i = 0; i < size; i++)
        any |= bytes[i];
    return any == 0;
}

bool el_text_is_valid(const void *text, size_t len)
{
    const uint8_t *s = text, *end = s + len;
    while (s < end) {
        size_t n = character_bytes(s, end);
        if (n == 0) return false;
        s += n;
    }
    return true;
}

size_t el_text_cut(const char *text, size_t len, size_t limit)
{
    if (len <= limit) return len;
    while (limit > 0 && ((uint8_t)text[limit] & 0xc0) == 0x80)
        limit--;
    return limit;
}

/* A name field: text, then only NUL to the end. */
static bool name_is_padded(const char *field, size_t size)
{
    size_t len = strnlen(field, size);
    for (size_t i = len; i < size; i++) {
        if (field[i]) return false;
    }
    return len < size && el_text_is_valid(field, len);
}

static bool number_is_sane(float x)
{
    return x > 0 && x <= 1e30f; /* false for NaN and infinity */
}

/* YaRN has turns in the context of the training by which it divides. */
static edgellm_status check_stretch(const el_config *c, const char *where, edgellm_error *err)
{
    if (c->rope_context > EL_MAX_CONTEXT)
        return el_fail(err, EDGELLM_ERR_FORMAT, "%s: rope_context is %u, above %u", where,
                       c->rope_context, EL_MAX_CONTEXT);
    if (c->yarn_fast == 0 && c->yarn_slow == 0) return EDGELLM_OK;
    if (c->yarn_slow > 0 && c->yarn_slow < c->yarn_fast && c->rope_context > 0 &&
        c->rope_factor > 0 && c->rope_base > 1)
        return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "%s: yarn_fast %g, yarn_slow %g, rope_context %u, rope_factor %g, rope_base %g: "
                   "YaRN needs all of them, yarn_fast above yarn_slow and rope_base above 1",
                   where, (double)c->yarn_fast, (double)c->yarn_slow, c->rope_context,
                   (double)c->rope_factor, (double)c->rope_base);
}

/* Those that are 0 where a model has no such thing. */
static edgellm_status check_more_numbers(const el_config *c, const char *where, edgellm_error *err)
{
    const struct {
        const char *name;
        float value;
    } numbers[] = {{"local_rope_base", c->local_rope_base},
                   {"rope_factor", c->rope_factor},
                   {"attention_scale", c->attention_scale},
                   {"attention_cap", c->attention_cap},
                   {"logit_cap", c->logit_cap},
                   {"rope_gain", c->rope_gain},
                   {"yarn_fast", c->yarn_fast},
                   {"yarn_slow", c->yarn_slow}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (numbers[i].value == 0 || number_is_sane(numbers[i].value)) continue;
        return el_fail(err, EDGELLM_ERR_FORMAT, "%s: %s %g must be 0, or positive and finite",
                       where, numbers[i].name, (double)numbers[i].value);
    }
    if (c->window > EL_MAX_CONTEXT || c->pattern > EL_MAX_LAYERS || !c->window != !c->pattern) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "%s: a window of %u positions in layers of a pattern of %u: not 1..%u and "
                       "1..%u, or both 0",
                       where, c->window, c->pattern, EL_MAX_CONTEXT, EL_MAX_LAYERS);
    }
    return check_stretch(c, where, err);
}

edgellm_status el_config_check(const el_config *c, const char *where, edgellm_error *err)
{
    const struct {
        const char *name;
        uint32_t value, low, high;
    } ranges[] = {
        {"layers", c->layers, 1, EL_MAX_LAYERS},       {"dim", c->dim, 1, EL_MAX_DIM},
        {"ffn_dim", c->ffn_dim, 1, 16 * EL_MAX_DIM},   {"heads", c->heads, 1, EL_MAX_DIM},
        {"kv_heads", c->kv_heads, 1, EL_MAX_DIM},      {"head_dim", c->head_dim, 1, EL_MAX_DIM},
        {"rotary_dim", c->rotary_dim, 0, c->head_dim}, {"vocab", c->vocab, 1, EL_MAX_VOCAB},
        {"context", c->context, 1, EL_MAX_CONTEXT},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (ranges[i].value < ranges[i].low || ranges[i].value > ranges[i].high) {
            return el_fail(err, EDGELLM_ERR_FORMAT, "%s: %s is %u, outside %u..%u", where,
                           ranges[i].name, ranges[i].value, ranges[i].low, ranges[i].high);
        }
    }
    if (c->heads % c->kv_heads) {
        return el_fail(err, EDGELLM_ERR_FORMAT, "%s: %u heads cannot share %u kv_heads evenly",
                       where, c->heads, c->kv_heads);
    }
    if ((uint64_t)c->heads * c->head_dim > UINT64_C(16) * EL_MAX_DIM) {
        return el_fail(err, EDGELLM_ERR_FORMAT, "%s: %u heads of %u are too wide", where, c->heads,
                       c->head_dim);
    }
    if (c->rotary_dim % 2) {
        return el_fail(err, EDGELLM_ERR_FORMAT, "%s: rotary_dim %u is odd", where, c->rotary_dim);
    }
    if (!number_is_sane(c->rope_base) || !number_is_sane(c->norm_eps)) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "%s: rope_base %g and norm_eps %g must be positive and finite", where,
                       (double)c->rope_base, (double)c->norm_eps);
    }
    EL_TRY(check_more_numbers(c, where, err));
    if (!c->architecture[0] || !name_is_padded(c->architecture, sizeof c->architecture) ||
        !name_is_padded(c->name, sizeof c->name)) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "%s: architecture or name is not NUL-padded UTF-8 text", where);
    }
    return EDGELLM_OK;
}

static edgellm_status check_tokens(const el_vocab *v, uint64_t bytes, const char *where,
                                   edgellm_error *err)
{
    if (v->starts[0] != 0 || v->starts[v->n_tokens] != bytes) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "%s: token offsets run from %u to %u, not from 0 to %llu", where,
                       v->starts[0], v->starts[v->n_tokens], (unsigned long long)bytes);
    }
    for (uint32_t i = 0; i < v->n_tokens; i++) {
        if (v->starts[i] > v->starts[i + 1]) {
            return el_fail(err, EDGELLM_ERR_FORMAT, "%s: offset of token %u is not ascending",
                           where, i + 1);
        }
        if (v->types[i] < EL_TOKEN_NORMAL || v->types[i] > EL_TOKEN_BYTE) {
            return el_fail(err, EDGELLM_ERR_FORMAT, "%s: token %u has the unknown type %u", where,
                           i, v->types[i]);
        }
    }
    return EDGELLM_OK;
}

static edgellm_status check_flags(const el_vocab *v, const char *where, edgellm_error *err)
{
    for (uint32_t id = 0; v->flags && id < v->n_tokens; id++) {
        const unsigned flags = v->flags[id], type = v->types[id];
        if (flags > EL_TOKEN_FLAGS)
            return el_fail(err, EDGELLM_ERR_FORMAT, "%s: the flags of token %u are %u, not 0 to %u",
                           where, id, flags, (unsigned)EL_TOKEN_FLAGS);
        if (flags && type != EL_TOKEN_USER && type != EL_TOKEN_CONTROL && type != EL_TOKEN_UNKNOWN)
            return el_fail(err, EDGELLM_ERR_FORMAT,
                           "%s: token %u has the flags %u, but of type %u, it is not matched whole",
                           where, id, flags, type);
    }
    return EDGELLM_OK;
}

/* Sums of so many stay finite. */
#define MOST_SCORE 1e9f

static edgellm_status check_scores(const el_vocab *v, const char *where, edgellm_error *err)
{
    if (v->ranks == NULL || !el_vocab_is_unigram(v)) return EDGELLM_OK;
    for (uint32_t id = 0; id < v->n_tokens; id++) {
        const float score = el_float_of_bits(v->ranks[id]);
        if (v->types[id] == EL_TOKEN_NORMAL && !(score >= -MOST_SCORE && score <= MOST_SCORE))
            return el_fail(err, EDGELLM_ERR_FORMAT, "%s: the score of token %u is %g, beyond %g",
                           where, id, (double)score, (double)MOST_SCORE);
    }
    return EDGELLM_OK;
}

static edgellm_status check_special(const el_vocab *v, const char *where, edgellm_error *err)
{
    const struct {
        const char *name;
        uint32_t id;
    } ids[] = {{"bos", v->bos}, {"eos", v->eos}, {"unk", v->unk}, {"pad", v->pad}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        if (ids[i].id != EL_TOKEN_NONE && ids[i].id >= v->n_tokens) {
            return el_fail(err, EDGELLM_ERR_FORMAT, "%s: %s token %u is not below %u", where,
                           ids[i].name, ids[i].id, v->n_tokens);
        }
    }
    if (v->space_first > EL_SPACE_EACH || (v->space_first && !v->ranks)) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "%s: space_first is %u, not 0, or 1 to 4 in a vocabulary with ranks", where,
                       v->space_first);
    }
    if (v->nfc > 1 || (v->nfc && v->ranks)) {
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "%s: nfc is %u, not 0, or 1 in a vocabulary without ranks", where, v->nfc);
    }
    if (v->ranks && v->n_merges > 0) {
        return el_fail(err, EDGELLM_ERR_FORMAT, "%s: there are both ranks and merges", where);
    }
    if (v->add_bos > 1 || (v->add_bos && v->bos == EL_TOKEN_NONE)) {
        return el_fail(err, EDGELLM_ERR_FORMAT, "%s: add_bos is %u and bos is %s", where,
                       v->add_bos, v->bos == EL_TOKEN_NONE ? "absent" : "present");
    }
    return EDGELLM_OK;
}

edgellm_status el_vocab_check(const el_vocab *v, uint64_t bytes, const char *where,
                              edgellm_error *err)
{
    if (v->n_tokens < 1 || v->n_tokens > EL_MAX_VOCAB) {
        return el_fail(err, EDGELLM_ERR_FORMAT, "%s: n_tokens is %u, outside 1..%u", where,
                       v->n_tokens, EL_MAX_VOCAB);
    }
    if (bytes > EL_MAX_VOCAB_BYTES) {
        return el_fail(err, EDGELLM_ERR_FORMAT, "%s: the tokens have %llu bytes, more than %u",
                       where, (unsigned long long)bytes, EL_MAX_VOCAB_BYTES);
    }
    EL_TRY(check_tokens(v, bytes, where, err));
    EL_TRY(check_special(v, where, err));
    EL_TRY(check_scores(v, where, err));
    EL_TRY(check_flags(v, where, err));
    for (uint32_t i = 0; i < v->n_merges; i++) {
        if (v->merges[i].left >= v->n_tokens || v->merges[i].right >= v->n_tokens) {
            return el_fail(err, EDGELLM_ERR_FORMAT, "%s: merge %u joins tokens %u and %u of %u",
                           where, i, v->merges[i].left, v->merges[i].right, v->n_tokens);
        }
    }
    return EDGELLM_OK;
}
