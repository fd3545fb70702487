/*
 * saved.c: a sampler as bytes, little-endian, so that a session can be laid down and taken up
 * again with the draws that would have come:
 *
 *   u32 version | the fields of `fields`, in that order
 *   for each logit bias: u32 token, f32 bias | for each DRY breaker: u32 length, its bytes
 *
 * The bytes may come from anybody: every option passes the check of el_sampler_set().
 */
#include <string.h>

#include "sample/sampler.h"

#define VERSION  2u
#define MU_BOUND 1e9f /* any that a run could reach */

enum { BREAKER_ROOM = EDGELLM_DRY_BREAKER_BYTES + 1 };

static const struct field {
    size_t offset; /* in el_sampler */
    size_t size;   /* 4 or 8 */
} fields[] = {
#define FIELD(name)                                                                                \
    {                                                                                              \
        offsetof(el_sampler, name), sizeof(((el_sampler *)0)->name)                                \
    }
    FIELD(options.temperature),
    FIELD(options.top_k),
    FIELD(options.top_p),
    FIELD(options.min_p),
    FIELD(options.typical_p),
    FIELD(options.repeat_penalty),
    FIELD(options.presence_penalty),
    FIELD(options.frequency_penalty),
    FIELD(options.repeat_last),
    FIELD(options.dry_multiplier),
    FIELD(options.dry_base),
    FIELD(options.dry_allowed_length),
    FIELD(options.dry_penalty_last),
    FIELD(options.n_dry_breakers),
    FIELD(options.xtc_probability),
    FIELD(options.xtc_threshold),
    FIELD(options.mirostat),
    FIELD(options.mirostat_tau),
    FIELD(options.mirostat_eta),
    FIELD(options.n_logit_bias),
    FIELD(options.seed),
    FIELD(random),
    FIELD(mu),
#undef FIELD
};

enum { FIELDS = sizeof fields / sizeof fields[0] };

/* ---- numbers ------------------------------------------------------------------------------- */

/* A place in the bytes. bytes NULL: only counts; reading beyond `size` sets `short_of`. */
typedef struct cursor {
    uint8_t *out;
    const uint8_t *in;
    size_t used, size;
    bool short_of;
} cursor;

/* A number of 4 or 8 bytes, whatever its type. */
static void put(cursor *c, const void *value, size_t size)
{
    uint32_t word;
    uint64_t wide;
    memcpy(&word, value, sizeof word);
    wide = word;
    if (size == sizeof wide) memcpy(&wide, value, sizeof wide);
    for (size_t i = 0; i < size && c->out; i++)
        c->out[c->used + i] = (uint8_t)(wide >> 8 * i);
    c->used += size;
}

static void get(cursor *c, void *value, size_t size)
{
    uint64_t wide = 0;
    if (c->size - c->used < size) {
        c->short_of = true;
        return;
    }
    for (size_t i = 0; i < size; i++)
        wide |= (uint64_t)c->in[c->used + i] << 8 * i;
    uint32_t word = (uint32_t)wide;
    if (size == sizeof wide)
        memcpy(value, &wide, sizeof wide);
    else
        memcpy(value, &word, sizeof word);
    c->used += size;
}

/* ---- saving -------------------------------------------------------------------------------- */

size_t el_sampler_save(const el_sampler *s, uint8_t *bytes)
{
    cursor c = {.out = bytes};
    const uint32_t version = VERSION;
    put(&c, &version, sizeof version);
    for (const struct field *f = fields; f < fields + FIELDS; f++)
        put(&c, (const char *)s + f->offset, f->size);
    for (uint32_t i = 0; i < s->options.n_logit_bias; i++) {
        put(&c, &s->biases[i].token, sizeof s->biases[i].token);
        put(&c, &s->biases[i].bias, sizeof s->biases[i].bias);
    }
    for (uint32_t i = 0; i < s->options.n_dry_breakers; i++) {
        const uint32_t len = (uint32_t)strlen(s->breakers[i]);
        put(&c, &len, sizeof len);
        if (bytes) memcpy(bytes + c.used, s->breakers[i], len);
        c.used += len;
    }
    return c.used;
}

/* ---- restoring ----------------------------------------------------------------------------- */

/* What was read, before it is believed; `read.options` points into it. */
typedef struct saved {
    el_sampler read;
    edgellm_logit_bias biases[EDGELLM_LOGIT_BIAS_MAX];
    const char *breakers[EDGELLM_DRY_BREAKERS_MAX];
    char text[EDGELLM_DRY_BREAKERS_MAX][BREAKER_ROOM];
} saved;

static void get_breaker(cursor *c, char *text)
{
    uint32_t len = 0;
    get(c, &len, sizeof len);
    if (len > EDGELLM_DRY_BREAKER_BYTES || c->size - c->used < len) {
        c->short_of = true;
        return;
    }
    memcpy(text, c->in + c->used, len);
    if (memchr(text, '\0', len)) c->short_of = true;
    text[len] = '\0';
    c->used += len;
}

static edgellm_status read_lists(cursor *c, saved *v, edgellm_error *err)
{
    edgellm_sampler_options *o = &v->read.options;
    if (o->n_logit_bias > EDGELLM_LOGIT_BIAS_MAX || o->n_dry_breakers > EDGELLM_DRY_BREAKERS_MAX)
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "the saved sampler has %u logit biases and %u breakers: more than %d and %d",
                       o->n_logit_bias, o->n_dry_breakers, EDGELLM_LOGIT_BIAS_MAX,
                       EDGELLM_DRY_BREAKERS_MAX);
    for (uint32_t i = 0; i < o->n_logit_bias && !c->short_of; i++) {
        get(c, &v->biases[i].token, sizeof v->biases[i].token);
        get(c, &v->biases[i].bias, sizeof v->biases[i].bias);
    }
    for (uint32_t i = 0; i < o->n_dry_breakers && !c->short_of; i++) {
        get_breaker(c, v->text[i]);
        v->breakers[i] = v->text[i];
    }
    o->logit_bias = v->biases;
    o->dry_breakers = v->breakers;
    return EDGELLM_OK;
}

static edgellm_status read_saved(cursor *c, saved *v, edgellm_error *err)
{
    uint32_t version = 0;
    get(c, &version, sizeof version);
    if (!c->short_of && version != VERSION)
        return el_fail(err, EDGELLM_ERR_FORMAT, "the saved sampler is of version %u, not %u",
                       version, VERSION);
    for (const struct field *f = fields; f < fields + FIELDS; f++)
        get(c, (char *)&v->read + f->offset, f->size);
    EL_TRY(read_lists(c, v, err));
    if (c->short_of || c->used != c->size)
        return el_fail(err, EDGELLM_ERR_FORMAT, "the saved sampler is damaged at byte %zu of %zu",
                       c->used, c->size);
    if (!(v->read.mu > -MU_BOUND && v->read.mu < MU_BOUND))
        return el_fail(err, EDGELLM_ERR_FORMAT, "the saved sampler has an impossible mirostat mu");
    return EDGELLM_OK;
}

edgellm_status el_sampler_restore(el_sampler *s, const uint8_t *bytes, size_t size,
                                  edgellm_error *err)
{
    saved v = {.read = *s};
    cursor c = {.in = bytes, .size = size};
    EL_TRY(read_saved(&c, &v, err));
    edgellm_error why = {EDGELLM_OK, ""};
    if (el_sampler_set(s, &v.read.options, &why) != EDGELLM_OK)
        return el_fail(err, EDGELLM_ERR_FORMAT, "the saved sampler: %s", why.message);
    s->random = v.read.random;
    s->mu = v.read.mu;
    return EDGELLM_OK;
}
