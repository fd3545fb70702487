/*
 * session_file.c: a session as a file and back (docs/SESSION.md is the law). Loading reads the
 * file and checks all of it, from the outside in, before the session is touched; what is copied
 * afterwards cannot fail.
 */
#include <string.h>

#include "base/crc32.h"
#include "base/mapfile.h"
#include "base/outfile.h"
#include "engine/session.h"
#include "format/checks.h"
#include "format/tm2_layout.h"
#include "model/cache.h"
#include "model/positions.h"

#define MAGIC                                                                                      \
    "\x93"                                                                                         \
    "ELS\r\n\x1a\n"
#define MAGIC_BYTES   8
#define VERSION       1u /* of models whose layers all keep the whole context */
#define VERSION_LOCAL 2u /* of others */
#define ALIGN         64
#define COPY_AGAIN    "the file is damaged: take another copy of it"
#define INFINITE_BITS 0x7f800000u
#define LOGIT_BITS    0x7fffffffu
#define NOTE_SHOWN    60

/* header */
enum {
    AT_VERSION = 8,
    AT_MODE = 12, /* bits: exact; positions turned as in long contexts; width of the cache */
    AT_FILE_BYTES = 16,
    AT_BODY_CRC = 24,
    AT_MODEL = 28,
    AT_SHAPE = 40,
    AT_POSITION = 56,
    AT_ZERO4 = 60,
    AT_SIZES = 64,
    AT_ADAPTERS = 104, /* el_session_adapters(), with MODE_ADAPTED; else 0 */
    AT_ZERO = 112,
    AT_HEADER_CRC = 124,
    HEADER_BYTES = 128
};

enum { MODE_EXACT = 1, MODE_LONG = 2, MODE_ADAPTED = 4, MODE_KV16 = 8, MODE_KV4 = 16 };

/* sections, in the order of the file */
enum { SAMPLER, TOKENS, CACHE, LOGITS, NOTE, SECTIONS };

static const char *const section_names[SECTIONS] = {"sampler", "tokens", "cache", "logits", "note"};

/* What must be equal in file and session, after the model's identity; in the order of the header.
 */
enum { LAYERS, KV_HEADS, HEAD_DIM, VOCAB, SHAPE };

static const char *const shape_names[SHAPE] = {"layers", "kv_heads", "head_dim", "vocab"};

static uint32_t mode_of(const edgellm_session *s)
{
    const bool longer = el_positions_long(s->forward.model, s->forward.context);
    const uint32_t bits = s->forward.exact ? 8 : s->forward.kv_bits;
    return (s->forward.exact ? MODE_EXACT : 0) | (longer ? MODE_LONG : 0) |
           (el_session_adapters(s) != 0 ? MODE_ADAPTED : 0) | (bits == 16 ? MODE_KV16 : 0) |
           (bits == 4 ? MODE_KV4 : 0);
}

/* Exact mode has no width, and nobody has two. */
static bool is_mode(uint32_t mode)
{
    const uint32_t widths = mode & (MODE_EXACT | MODE_KV16 | MODE_KV4);
    return mode < 2 * MODE_KV4 && (widths & (widths - 1)) == 0;
}

static unsigned bits_of(uint32_t mode)
{
    if (mode & MODE_KV16) return 16;
    return mode & MODE_KV4 ? 4 : 8;
}

static void shape_of(const edgellm_session *s, uint32_t shape[SHAPE])
{
    const el_config *c = &s->engine->file.config;
    shape[LAYERS] = c->layers;
    shape[KV_HEADS] = c->kv_heads;
    shape[HEAD_DIM] = c->head_dim;
    shape[VOCAB] = c->vocab;
}

static uint32_t version_of(const edgellm_session *s)
{
    return s->engine->file.config.window != 0 ? VERSION_LOCAL : VERSION;
}

static uint64_t cache_bytes(const edgellm_session *s, uint32_t position)
{
    return el_cache_records(&s->forward, position) * el_cache_record_bytes(&s->forward);
}

/* Does a file of so many tokens have a record of this plane and position? */
static bool has_record(const el_forward *f, uint32_t plane, uint32_t position, uint32_t tokens)
{
    return position >= el_cache_needed(f, plane / f->cache.kv_heads, tokens);
}

/* ---- saving -------------------------------------------------------------------------------- */

typedef struct writer {
    el_outfile out;
    uint32_t crc;      /* of everything after the header */
    uint32_t position; /* tokens that are saved */
    bool prefix;       /* of another session's: without sampler and logits */
} writer;

static void put(writer *w, const void *bytes, size_t size)
{
    w->crc = el_crc32(w->crc, bytes, size);
    el_outfile_write(&w->out, bytes, size);
}

/* Pads so that a section can begin. */
static void begin_section(writer *w)
{
    static const uint8_t zeroes[ALIGN];
    size_t past = (size_t)(w->out.written % ALIGN);
    if (past) put(w, zeroes, ALIGN - past);
}

static void put_sampler(writer *w, const el_sampler *sampler)
{
    uint8_t bytes[EL_SAMPLER_SAVED_MAX];
    put(w, bytes, el_sampler_save(sampler, bytes));
}

static edgellm_status put_cache(writer *w, const edgellm_session *s, edgellm_error *err)
{
    const el_forward *f = &s->forward;
    const uint32_t planes = el_cache_planes(f);
    const size_t size = el_cache_record_bytes(f);
    uint8_t record[EL_CACHE_RECORD_MAX];
    for (uint32_t position = 0; position < w->position; position++) {
        for (uint32_t plane = 0; plane < planes; plane++) {
            size_t at;
            if (!has_record(f, plane, position, w->position)) continue;
            el_cache_read(f, plane, position, record);
            const char *fault = el_cache_fault(f, record, &at);
            if (fault)
                return el_fail(err, EDGELLM_ERR_FORMAT,
                               "the session cannot be saved: in the cache of position %u %s; the "
                               "weights of this model are damaged or far too large",
                               position, fault);
            put(w, record, size);
        }
        EL_TRY(el_outfile_check(&w->out, err));
    }
    return EDGELLM_OK;
}

static bool has_logits(const edgellm_session *s)
{
    return s->position > 0 && s->logits_at == s->position;
}

static void fill_header(const writer *w, const edgellm_session *s, const uint64_t sizes[SECTIONS],
                        uint8_t *h)
{
    uint32_t identity[EL_TM2_IDENTITY], shape[SHAPE];
    el_tm2_identity(&s->engine->file, identity);
    shape_of(s, shape);
    memcpy(h, MAGIC, MAGIC_BYTES);
    el_store32(h + AT_VERSION, version_of(s));
    el_store32(h + AT_MODE, mode_of(s));
    memcpy(h + AT_MODEL, identity, sizeof identity);
    memcpy(h + AT_SHAPE, shape, sizeof shape);
    el_store32(h + AT_POSITION, w->position);
    memcpy(h + AT_SIZES, sizes, SECTIONS * sizeof *sizes);
    el_store64(h + AT_FILE_BYTES, w->out.written);
    el_store32(h + AT_BODY_CRC, w->crc);
    el_store64(h + AT_ADAPTERS, el_session_adapters(s));
    el_store32(h + AT_HEADER_CRC, el_crc32(0, h, AT_HEADER_CRC));
}

static edgellm_status put_all(writer *w, const edgellm_session *s, const void *note,
                              size_t note_bytes, edgellm_error *err)
{
    const bool logits = has_logits(s) && !w->prefix;
    const uint64_t sizes[SECTIONS] = {
        [SAMPLER] = w->prefix ? 0 : el_sampler_save(&s->sampler, NULL),
        [TOKENS] = (uint64_t)w->position * sizeof *s->tokens,
        [CACHE] = cache_bytes(s, w->position),
        [LOGITS] = logits ? s->engine->file.config.vocab * sizeof(float) : 0,
        [NOTE] = note_bytes,
    };
    uint8_t header[HEADER_BYTES] = {0};
    el_outfile_write(&w->out, header, sizeof header);
    if (!w->prefix) put_sampler(w, &s->sampler);
    begin_section(w);
    put(w, s->tokens, (size_t)sizes[TOKENS]);
    begin_section(w);
    EL_TRY(put_cache(w, s, err));
    begin_section(w);
    put(w, s->forward.logits, (size_t)sizes[LOGITS]);
    begin_section(w);
    if (note_bytes > 0) put(w, note, note_bytes);
    fill_header(w, s, sizes, header);
    return el_outfile_patch(&w->out, 0, header, sizeof header, err);
}

static edgellm_status save(writer *w, const edgellm_session *s, const char *path, const void *note,
                           size_t note_bytes, edgellm_error *err)
{
    EL_TRY(el_outfile_create(&w->out, path, err));
    edgellm_status status = put_all(w, s, note, note_bytes, err);
    if (status == EDGELLM_OK) return el_outfile_commit(&w->out, err);
    el_outfile_cancel(&w->out);
    return status;
}

edgellm_status edgellm_session_save(const edgellm_session *session, const char *path,
                                    const void *note, size_t note_bytes, edgellm_error *err)
{
    writer w = {.position = session->position};
    if (session->matcher && session->matcher->program)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "an answer that keeps to a grammar cannot be saved: take the grammar off "
                       "first (edgellm_session_set_grammar() with NULL)");
    return save(&w, session, path, note, note_bytes, err);
}

edgellm_status edgellm_session_save_prefix(const edgellm_session *session, uint32_t position,
                                           const char *path, const void *note, size_t note_bytes,
                                           edgellm_error *err)
{
    writer w = {.position = position, .prefix = true};
    if (position > session->position)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "a prefix of %u tokens cannot be saved: the session holds %u", position,
                       session->position);
    if (!el_cache_reaches(&session->forward, position))
        return el_fail(
            err, EDGELLM_ERR_CONTEXT,
            "a prefix of %u tokens cannot be saved: layers with a window of %u have gone "
            "on to %u: save it before, or compute it again",
            position, session->engine->file.config.window, session->position);
    return save(&w, session, path, note, note_bytes, err);
}

/* ---- the file by itself -------------------------------------------------------------------- */

typedef struct section {
    const uint8_t *data;
    uint64_t offset, size;
} section;

typedef struct reader {
    el_mapfile map;
    section sections[SECTIONS];
    uint32_t position;
} reader;

static edgellm_status bad(edgellm_error *err, const char *section_name, uint64_t offset,
                          const char *field, const char *what)
{
    return el_fail(err, EDGELLM_ERR_FORMAT, "%s, offset %llu, %s: %s", section_name,
                   (unsigned long long)offset, field, what);
}

static edgellm_status check_magic(const el_mapfile *map, edgellm_error *err)
{
    size_t shown = map->size < MAGIC_BYTES ? map->size : MAGIC_BYTES;
    if (memcmp(map->data, MAGIC, shown) != 0)
        return bad(err, "header", 0, "magic", "this is not a session file");
    if (map->size < HEADER_BYTES)
        return el_fail(err, EDGELLM_ERR_FORMAT, "header: the file is cut off after %zu bytes: %s",
                       map->size, COPY_AGAIN);
    return EDGELLM_OK;
}

static edgellm_status check_header(const el_mapfile *map, edgellm_error *err)
{
    const uint8_t *h = map->data;
    EL_TRY(check_magic(map, err));
    if (el_crc32(0, h, AT_HEADER_CRC) != el_load32(h + AT_HEADER_CRC))
        return bad(err, "header", AT_HEADER_CRC, "checksum", COPY_AGAIN);
    uint32_t version = el_load32(h + AT_VERSION);
    if (version != VERSION && version != VERSION_LOCAL)
        return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                       "the file has session version %u, this program reads versions %u and %u: "
                       "load it with the program that saved it",
                       version, VERSION, VERSION_LOCAL);
    uint64_t size = el_load64(h + AT_FILE_BYTES);
    if (size != map->size)
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "header, offset %d, file size: the file should have %llu bytes and has %zu: "
                       "%s",
                       AT_FILE_BYTES, (unsigned long long)size, map->size, COPY_AGAIN);
    if (!is_mode(el_load32(h + AT_MODE)))
        return bad(err, "header", AT_MODE, "mode", "is none that there is");
    if ((el_load32(h + AT_MODE) & MODE_ADAPTED) == 0 && el_load64(h + AT_ADAPTERS) != 0)
        return bad(err, "header", AT_ADAPTERS, "adapters", "are not 0 without such a mode");
    if (!el_all_zero(h + AT_ZERO4, 4) || !el_all_zero(h + AT_ZERO, AT_HEADER_CRC - AT_ZERO))
        return bad(err, "header", AT_ZERO4, "reserved bytes", "are not 0");
    return EDGELLM_OK;
}

/* The sections follow each other, aligned, with zeroes between, to the end of the file. */
static edgellm_status find_sections(reader *r, edgellm_error *err)
{
    uint64_t end = HEADER_BYTES;
    for (int i = 0; i < SECTIONS; i++) {
        const uint64_t field = AT_SIZES + 8u * (unsigned)i, size = el_load64(r->map.data + field);
        const uint64_t offset = el_tm2_aligned(end);
        if (offset > r->map.size || size > r->map.size - offset)
            return bad(err, "header", field, section_names[i], "runs past the end of the file");
        if (!el_all_zero(r->map.data + end, offset - end))
            return bad(err, section_names[i], end, "padding before it", "is not 0");
        r->sections[i] = (section){r->map.data + offset, offset, size};
        end = offset + size;
    }
    if (end == r->map.size) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "header, offset %d: the sections end at %llu, the file at %zu", AT_SIZES,
                   (unsigned long long)end, r->map.size);
}

static edgellm_status check_file(reader *r, edgellm_error *err)
{
    EL_TRY(check_header(&r->map, err));
    const uint8_t *body = r->map.data + HEADER_BYTES;
    if (el_crc32(0, body, r->map.size - HEADER_BYTES) != el_load32(r->map.data + AT_BODY_CRC))
        return bad(err, "body", HEADER_BYTES, "checksum", COPY_AGAIN);
    r->position = el_load32(r->map.data + AT_POSITION);
    return find_sections(r, err);
}

/* Reads and checks a file; on failure nothing is kept. */
static edgellm_status open_file(reader *r, const char *path, edgellm_error *err)
{
    *r = (reader){.position = 0};
    EL_TRY(el_mapfile_copy(&r->map, path, err));
    edgellm_status status = check_file(r, err);
    if (status == EDGELLM_OK) return EDGELLM_OK;
    el_mapfile_close(&r->map);
    return el_fail_in_file(err, status, path);
}

edgellm_status edgellm_session_note(const char *path, void *note, size_t capacity, size_t *len,
                                    edgellm_error *err)
{
    reader r;
    EL_TRY(open_file(&r, path, err));
    const section *s = &r.sections[NOTE];
    size_t stored = s->size < capacity ? (size_t)s->size : capacity;
    if (stored > 0) memcpy(note, s->data, stored);
    *len = (size_t)s->size;
    el_mapfile_close(&r.map);
    return EDGELLM_OK;
}

/* ---- the file against the session ---------------------------------------------------------- */

static edgellm_status check_model(const edgellm_session *s, const uint8_t *h, edgellm_error *err)
{
    uint32_t identity[EL_TM2_IDENTITY], shape[SHAPE];
    el_tm2_identity(&s->engine->file, identity);
    shape_of(s, shape);
    if (memcmp(h + AT_MODEL, identity, sizeof identity) != 0)
        return el_fail(
            err, EDGELLM_ERR_USAGE,
            "header, offset %d, model: the session was saved with another model file, or "
            "another quantisation of this model: open that one to load it",
            AT_MODEL);
    if (el_load32(h + AT_VERSION) != version_of(s))
        return el_fail(
            err, EDGELLM_ERR_UNSUPPORTED,
            "header, offset %d, version: sessions of this model have version %u, not %u: "
            "load it with the program that saved it",
            AT_VERSION, version_of(s), el_load32(h + AT_VERSION));
    const uint32_t mode = el_load32(h + AT_MODE), other = mode ^ mode_of(s);
    if (other & MODE_EXACT)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "header, offset %d, mode: the session was saved %s exact mode (--exact) and "
                       "can only go on so",
                       AT_MODE, s->forward.exact ? "without" : "in");
    if (other & (MODE_KV16 | MODE_KV4))
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "header, offset %d, mode: the session was saved with a KV cache of %u bits "
                       "and can only go on so (--kv-bits %u)",
                       AT_MODE, bits_of(mode), bits_of(mode));
    if (other & MODE_ADAPTED || el_load64(h + AT_ADAPTERS) != el_session_adapters(s))
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "header, offset %d, adapters: the session was saved with %s adapters or "
                       "scales, and can only go on with those",
                       AT_ADAPTERS, mode & MODE_ADAPTED ? "other" : "no");
    if (other & MODE_LONG)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "header, offset %d, mode: the session was saved with a context of %s %u "
                       "tokens, where this model turns positions otherwise: ask for such a context",
                       AT_MODE, mode & MODE_LONG ? "more than" : "at most",
                       s->engine->file.config.rope_context);
    for (unsigned i = 0; i < SHAPE; i++)
        if (el_load32(h + AT_SHAPE + (size_t)i * 4) != shape[i])
            return bad(err, "header", AT_SHAPE + 4 * i, shape_names[i], "is not the model's");
    if (el_load32(h + AT_POSITION) > s->forward.context)
        return el_fail(err, EDGELLM_ERR_CONTEXT,
                       "header, offset %d, position: the session holds %u tokens, the context only "
                       "%u: ask for a context of %u or more",
                       AT_POSITION, el_load32(h + AT_POSITION), s->forward.context,
                       el_load32(h + AT_POSITION));
    return EDGELLM_OK;
}

static edgellm_status check_sizes(const edgellm_session *s, const reader *r, edgellm_error *err)
{
    const uint64_t vocab = s->engine->file.config.vocab;
    const section *logits = &r->sections[LOGITS];
    if (r->sections[TOKENS].size != r->position * sizeof(uint32_t))
        return bad(err, "header", AT_SIZES + 8 * TOKENS, "tokens", "is not 4 bytes a position");
    if (r->sections[CACHE].size != cache_bytes(s, r->position))
        return bad(err, "header", AT_SIZES + 8 * CACHE, "cache",
                   "is not the model's size for the position");
    if (logits->size != 0 && (logits->size != vocab * sizeof(float) || r->position == 0 ||
                              r->sections[SAMPLER].size == 0))
        return bad(err, "header", AT_SIZES + 8 * LOGITS, "logits",
                   "is neither empty nor 4 bytes a token of the vocabulary");
    return EDGELLM_OK;
}

static edgellm_status check_tokens(const edgellm_session *s, const section *tokens,
                                   edgellm_error *err)
{
    for (uint64_t at = 0; at < tokens->size; at += sizeof(uint32_t))
        if (el_load32(tokens->data + at) >= s->engine->file.config.vocab)
            return bad(err, "tokens", tokens->offset + at, "token", "is not in the vocabulary");
    return EDGELLM_OK;
}

static edgellm_status check_cache(const edgellm_session *s, const section *cache,
                                  edgellm_error *err)
{
    const size_t record = el_cache_record_bytes(&s->forward);
    for (uint64_t done = 0; done < cache->size; done += record) {
        size_t at;
        const char *fault = el_cache_fault(&s->forward, cache->data + done, &at);
        if (fault) return bad(err, "cache", cache->offset + done + at, "record", fault);
    }
    return EDGELLM_OK;
}

static edgellm_status check_logits(const section *logits, edgellm_error *err)
{
    for (uint64_t at = 0; at < logits->size; at += sizeof(float))
        if ((el_load32(logits->data + at) & LOGIT_BITS) >= INFINITE_BITS)
            return bad(err, "logits", logits->offset + at, "logit", "is not finite");
    return EDGELLM_OK;
}

static edgellm_status check_session(const edgellm_session *s, const reader *r, edgellm_error *err)
{
    EL_TRY(check_model(s, r->map.data, err));
    EL_TRY(check_sizes(s, r, err));
    EL_TRY(check_tokens(s, &r->sections[TOKENS], err));
    EL_TRY(check_cache(s, &r->sections[CACHE], err));
    return check_logits(&r->sections[LOGITS], err);
}

/* The sampler restores itself if its bytes are sound; a prefix has none, and leaves it alone. */
static edgellm_status restore_sampler(edgellm_session *s, const section *sampler,
                                      edgellm_error *err)
{
    edgellm_error why = {EDGELLM_OK, ""};
    if (sampler->size == 0) return EDGELLM_OK;
    if (el_sampler_restore(&s->sampler, sampler->data, (size_t)sampler->size, &why) == EDGELLM_OK)
        return EDGELLM_OK;
    return bad(err, "sampler", sampler->offset, "options", why.message);
}

/* What a prefix must hold to be the one that is looked for. */
typedef struct wanted {
    const uint32_t *tokens;
    uint32_t count;
    const void *note;
    size_t note_bytes;
} wanted;

static bool holds(const section *s, const void *bytes, size_t size)
{
    return s->size == size && (size == 0 || memcmp(s->data, bytes, size) == 0);
}

static int shown(uint64_t bytes)
{
    return bytes < NOTE_SHOWN ? (int)bytes : NOTE_SHOWN;
}

static edgellm_status check_wanted(const reader *r, const wanted *w, edgellm_error *err)
{
    const section *note = &r->sections[NOTE], *tokens = &r->sections[TOKENS];
    if (!holds(note, w->note, w->note_bytes))
        return el_fail(err, EDGELLM_ERR_USAGE, "note, offset %llu: it is \"%.*s\", not \"%.*s\"",
                       (unsigned long long)note->offset, shown(note->size),
                       (const char *)note->data, shown(w->note_bytes), (const char *)w->note);
    if (!holds(tokens, w->tokens, w->count * sizeof *w->tokens))
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "tokens, offset %llu: the file begins another text than this",
                       (unsigned long long)tokens->offset);
    return EDGELLM_OK;
}

/* ---- loading ------------------------------------------------------------------------------- */

static void take_over(edgellm_session *s, const reader *r)
{
    const uint32_t planes = el_cache_planes(&s->forward);
    const size_t record = el_cache_record_bytes(&s->forward);
    const uint8_t *cache = r->sections[CACHE].data;
    const section *logits = &r->sections[LOGITS];
    memcpy(s->tokens, r->sections[TOKENS].data, (size_t)r->sections[TOKENS].size);
    for (uint32_t position = 0; position < r->position; position++)
        for (uint32_t plane = 0; plane < planes; plane++) {
            if (!has_record(&s->forward, plane, position, r->position)) continue;
            el_cache_write(&s->forward, plane, position, cache);
            cache += record;
        }
    el_cache_filled(&s->forward, r->position);
    memcpy(s->forward.logits, logits->data, (size_t)logits->size);
    s->position = r->position;
    s->logits_at = logits->size > 0 ? r->position : 0;
}

static edgellm_status load_whole(edgellm_session *s, const reader *r, edgellm_error *err)
{
    EL_TRY(check_session(s, r, err));
    EL_TRY(restore_sampler(s, &r->sections[SAMPLER], err));
    take_over(s, r);
    return edgellm_session_set_grammar(s, NULL, 0, err);
}

static edgellm_status load_wanted(edgellm_session *s, const reader *r, const wanted *w,
                                  edgellm_error *err)
{
    EL_TRY(check_session(s, r, err));
    EL_TRY(check_wanted(r, w, err));
    take_over(s, r);
    return EDGELLM_OK;
}

static edgellm_status load(edgellm_session *s, const char *path, const wanted *w,
                           edgellm_error *err)
{
    reader r;
    EL_TRY(open_file(&r, path, err));
    edgellm_status status = w ? load_wanted(s, &r, w, err) : load_whole(s, &r, err);
    if (status != EDGELLM_OK) el_fail_in_file(err, status, path);
    el_mapfile_close(&r.map);
    return status;
}

edgellm_status edgellm_session_load(edgellm_session *session, const char *path, edgellm_error *err)
{
    return load(session, path, NULL, err);
}

edgellm_status edgellm_session_load_prefix(edgellm_session *session, const char *path,
                                           const uint32_t *tokens, uint32_t count, const void *note,
                                           size_t note_bytes, edgellm_error *err)
{
    const wanted w = {tokens, count, note, note_bytes};
    return load(session, path, &w, err);
}
