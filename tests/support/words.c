/* words.c: see words.h. */
#include "support/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ONCE_BYTES (1u << 20) /* texts of that size are encoded once only */

/* ---- reading the data ---- */

reader open_data(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", EL_TEST_DATA, name);
    reader r = {.pos = 0};
    edgellm_error err;
    assert_int_equal(el_mapfile_open(&r.map, path, &err), EDGELLM_OK);
    return r;
}

const uint8_t *take(reader *r, size_t n)
{
    assert_true(n <= r->map.size - r->pos);
    r->pos += n;
    return r->map.data + r->pos - n;
}

uint32_t take_number(reader *r, size_t bytes)
{
    const uint8_t *p = take(r, bytes);
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint32_t)p[i] << 8 * i;
    return value;
}

const char *take_string(reader *r, size_t *len)
{
    *len = take_number(r, 2);
    return (const char *)take(r, *len);
}

char *take_copy(reader *r)
{
    size_t len;
    const char *text = take_string(r, &len);
    char *copy = calloc(len + 1, 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    return copy;
}

size_t take_ids(reader *r, uint32_t *ids)
{
    size_t n = take_number(r, 2);
    for (size_t i = 0; i < n; i++)
        ids[i] = take_number(r, 2);
    return n;
}

/* ---- vocabularies and tokenizers ---- */

words *new_words(void)
{
    words *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->vocab = (el_vocab){.bytes = w->bytes,
                          .starts = w->starts,
                          .types = w->types,
                          .merges = w->merges,
                          .pretokenizer = "gpt2",
                          .chat_template = "",
                          .bos = EL_TOKEN_NONE,
                          .eos = EL_TOKEN_NONE,
                          .unk = EL_TOKEN_NONE,
                          .pad = EL_TOKEN_NONE};
    return w;
}

uint32_t add_token(words *w, el_token_type type, const void *bytes, size_t len)
{
    uint32_t id = w->vocab.n_tokens++;
    if (id >= MOST_TOKENS || len > sizeof w->bytes - w->starts[id]) abort();
    memcpy(w->bytes + w->starts[id], bytes, len);
    w->starts[id + 1] = w->starts[id] + (uint32_t)len;
    w->types[id] = (uint8_t)type;
    return id;
}

uint32_t add_word(words *w, el_token_type type, const char *name)
{
    return add_token(w, type, name, strlen(name));
}

void add_merge(words *w, uint32_t left, uint32_t right)
{
    if (w->vocab.n_merges >= MOST_TOKENS) abort();
    w->merges[w->vocab.n_merges++] = (el_merge){left, right};
}

words *read_words(void)
{
    words *w = new_words();
    reader r = open_data("token_vocab.bin");
    uint32_t n_tokens = take_number(&r, 4), n_merges = take_number(&r, 4);
    for (uint32_t i = 0; i < n_tokens; i++) {
        el_token_type type = (el_token_type)take_number(&r, 1);
        size_t len;
        const char *bytes = take_string(&r, &len);
        add_token(w, type, bytes, len);
    }
    for (uint32_t i = 0; i < n_merges; i++) {
        uint32_t left = take_number(&r, 2);
        add_merge(w, left, take_number(&r, 2));
    }
    assert_int_equal(r.pos, r.map.size);
    el_mapfile_close(&r.map);
    return w;
}

edgellm_status try_init(machine *m, words *w, edgellm_error *err)
{
    *m = (machine){.w = w};
    el_arena measure = el_arena_measure();
    EL_TRY(el_tokenizer_init(&m->t, &w->vocab, &measure, err));
    assert_null(m->t);
    assert_int_equal(el_arena_reserve(&m->arena, measure.used, err), EDGELLM_OK);
    edgellm_status status = el_tokenizer_init(&m->t, &w->vocab, &m->arena, err);
    if (status == EDGELLM_OK) assert_int_equal(m->arena.used, measure.used);
    return status;
}

machine start(words *w, const char *pretokenizer)
{
    machine m;
    edgellm_error err;
    w->vocab.pretokenizer = pretokenizer;
    assert_int_equal(try_init(&m, w, &err), EDGELLM_OK);
    return m;
}

void stop(machine *m)
{
    el_arena_release(&m->arena);
}

void finish(machine *m)
{
    stop(m);
    free(m->w);
}

size_t encode(const machine *m, const void *text, size_t len, unsigned flags, uint32_t **ids)
{
    size_t count = 0, again = 0;
    const el_vocab *v = &m->w->vocab;
    /* A token has a byte; NFC makes three of one, and each part between tokens may get a space. */
    const size_t most = v->nfc ? 3 * len : v->space_first > 1 ? 2 * len + 1 : len + v->space_first;
    *ids = malloc((most + 1) * sizeof **ids);
    assert_non_null(*ids);
    assert_int_equal(el_tokenizer_encode(m->t, text, len, flags, *ids, most, &count, NULL),
                     EDGELLM_OK);
    assert_true(count <= most);
    if (len < ONCE_BYTES) {
        assert_int_equal(el_tokenizer_encode(m->t, text, len, flags, NULL, 0, &again, NULL),
                         EDGELLM_OK);
        assert_int_equal(again, count);
    }
    return count;
}

void assert_ids(const machine *m, const char *text, unsigned flags, const uint32_t *wanted,
                size_t n)
{
    uint32_t *ids;
    assert_int_equal(encode(m, text, strlen(text), flags, &ids), n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ids[i], wanted[i]);
    free(ids);
}

void assert_decodes(const machine *m, const uint32_t *ids, size_t n, const uint8_t *text,
                    size_t len)
{
    size_t pos = 0;
    for (size_t i = 0; i < n; i++) {
        size_t size;
        const uint8_t *bytes = el_tokenizer_bytes(m->t, ids[i], &size);
        assert_non_null(bytes);
        assert_true(size <= len - pos);
        assert_memory_equal(bytes, text + pos, size);
        pos += size;
    }
    assert_int_equal(pos, len);
}

uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

size_t write_utf8(uint32_t c, uint8_t *out)
{
    size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = size; i-- > 1; c >>= 6)
        out[i] = (uint8_t)(0x80 | (c & 0x3F));
    out[0] = (uint8_t)(marks[size] | c);
    return size;
}

edgellm_status encode_chat(const machine *m, const edgellm_message *messages, size_t n,
                           unsigned flags, uint32_t *ids, size_t capacity, size_t *count,
                           edgellm_error *err)
{
    el_chat chat;
    assert_int_equal(el_chat_open(&chat, &m->w->vocab, NULL, err), EDGELLM_OK);
    return el_chat_encode(&chat, m->t, messages, n, flags, ids, capacity, count, err);
}
