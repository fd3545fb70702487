/*
 * fuzz_chat.c: any chat template, any conversation. However the text is chosen, the frame's tokens
 * stand where the frame puts them and nowhere else, and the text comes back as it was.
 *
 * Input: options; the template up to a NUL; then messages, each a role (a byte: a known one, or
 * the text that follows) and a content, both up to a NUL.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "support/tiny_model.h"
#include "token/chat.h"
#include "token/lookup.h"

enum { MOST_MESSAGES = 8, BYTES = 256, OPEN = 256, CLOSE = 257, TOKENS = 258 };

/* ---- a vocabulary: every byte, and the two names of the frame --------------------------- */

typedef struct words {
    el_vocab vocab;
    uint8_t bytes[BYTES + 32], types[TOKENS];
    uint32_t starts[TOKENS + 1];
} words;

/* `lame`: the names are ordinary tokens, which make no frame. */
static void make_words(words *w, const char *source, bool lame)
{
    static const char names[] = "<|im_start|><|im_end|>";
    *w = (words){.vocab = {.n_tokens = TOKENS,
                           .bytes = w->bytes,
                           .starts = w->starts,
                           .types = w->types,
                           .pretokenizer = "smollm",
                           .chat_template = source,
                           .bos = EL_TOKEN_NONE,
                           .eos = CLOSE,
                           .unk = EL_TOKEN_NONE,
                           .pad = EL_TOKEN_NONE}};
    for (uint32_t i = 0; i < BYTES; i++)
        w->bytes[i] = (uint8_t)i;
    memcpy(w->bytes + BYTES, names, sizeof names - 1);
    for (uint32_t id = 0; id < TOKENS; id++) {
        w->starts[id + 1] = id < BYTES ? id + 1 : id == OPEN ? BYTES + 12 : BYTES + 22;
        w->types[id] = id < BYTES || lame ? EL_TOKEN_NORMAL : EL_TOKEN_CONTROL;
    }
}

/* ---- a conversation -------------------------------------------------------------------- */

typedef struct talk {
    edgellm_message messages[MOST_MESSAGES];
    char *owned[2 * MOST_MESSAGES];
    size_t n;
    bool known_roles;
} talk;

static const char *const roles[] = {"system", "user", "assistant", "tool"};

static bool is_known(const char *role)
{
    bool known = false;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        known |= strcmp(role, roles[i]) == 0;
    return known;
}

static void read_talk(talk *t, fuzz_input *in)
{
    *t = (talk){.known_roles = true};
    while (in->size > 0 && t->n < MOST_MESSAGES) {
        uint8_t pick = fuzz_byte(in) % 16;
        char *role = pick == 15 ? fuzz_text(in) : NULL, *content = fuzz_text(in);
        t->owned[2 * t->n] = role;
        t->owned[2 * t->n + 1] = content;
        t->messages[t->n] =
            (edgellm_message){role ? role : roles[pick == 14 ? 3 : pick % 3], content};
        if (role && strcmp(role, "tools") == 0) role[0] = 'T'; /* they are no message: below */
        t->known_roles &= is_known(t->messages[t->n].role);
        t->n++;
    }
}

static void release_talk(talk *t)
{
    for (size_t i = 0; i < 2 * t->n; i++)
        free(t->owned[i]);
}

/* ---- what must come out ---------------------------------------------------------------- */

/* Bytes and frame tokens: in this vocabulary the id of a byte is the byte. */
static void put_id(el_bytes *out, uint32_t id)
{
    el_bytes_u32(out, id);
}

static void put_text(el_bytes *out, const char *text)
{
    for (; *text != '\0'; text++)
        put_id(out, (uint8_t)*text);
}

static void put_said(el_bytes *out, const edgellm_message *message)
{
    put_text(out, message->role);
    put_text(out, "\n");
    put_text(out, message->content);
}

/* Several in a row are one frame; the last of them. */
static size_t put_results(el_bytes *out, const talk *t, size_t i)
{
    put_text(out, "user");
    for (;; i++) {
        put_text(out, "\n<tool_response>\n");
        put_text(out, t->messages[i].content);
        put_text(out, "\n</tool_response>");
        if (i + 1 == t->n || strcmp(t->messages[i + 1].role, "tool") != 0) return i;
    }
}

static el_bytes expected_ids(const talk *t, unsigned flags)
{
    el_bytes out = {0};
    if (flags & EDGELLM_CHAT_CONTINUE) {
        put_id(&out, CLOSE);
        put_text(&out, "\n");
    }
    for (size_t i = 0; i < t->n; i++) {
        put_id(&out, OPEN);
        if (strcmp(t->messages[i].role, "tool") == 0)
            i = put_results(&out, t, i);
        else
            put_said(&out, &t->messages[i]);
        put_id(&out, CLOSE);
        put_text(&out, "\n");
    }
    if (flags & EDGELLM_CHAT_OPEN_ANSWER) {
        put_id(&out, OPEN);
        put_text(&out, "assistant\n");
    }
    return out;
}

/* The default system message of the template: one whole frame, or nothing. */
static void check_default(const uint32_t *ids, size_t count, const talk *t, unsigned flags)
{
    if (count == 0) return;
    static const char head[] = "system\n";
    FUZZ_CHECK(!(flags & EDGELLM_CHAT_CONTINUE) && t->n > 0 &&
               strcmp(t->messages[0].role, "system") != 0);
    FUZZ_CHECK(count >= 10 && ids[0] == OPEN && ids[count - 2] == CLOSE && ids[count - 1] == '\n');
    for (size_t i = 1; i < count - 2; i++)
        FUZZ_CHECK(ids[i] < BYTES && (i > 7 || ids[i] == (uint8_t)head[i - 1]));
}

static void check_ids(const uint32_t *ids, size_t count, const talk *t, unsigned flags)
{
    el_bytes expected = expected_ids(t, flags);
    size_t n = expected.size / sizeof *ids;
    FUZZ_CHECK(n <= count);
    FUZZ_CHECK(n == 0 || memcmp(ids + count - n, expected.data, expected.size) == 0);
    check_default(ids, count - n, t, flags);
    free(expected.data);
}

static void check_chat(const el_tokenizer *tokenizer, const el_vocab *v, const talk *t,
                       unsigned flags)
{
    size_t count = SIZE_MAX, again = 0;
    edgellm_error err = {0};
    edgellm_status status =
        el_chat_encode(tokenizer, v, t->messages, t->n, flags, NULL, 0, &count, &err);
    bool known = el_chat_find(v) != NULL;
    FUZZ_CHECK(fuzz_status(status, &err) == (known && t->known_roles));
    if (status != EDGELLM_OK) {
        FUZZ_CHECK(count == SIZE_MAX); /* untouched */
        FUZZ_CHECK(status == (known ? EDGELLM_ERR_USAGE : EDGELLM_ERR_UNSUPPORTED));
        return;
    }
    uint32_t *ids = fuzz_room(count * sizeof *ids), *half = fuzz_room(count / 2 * sizeof *half);
    FUZZ_CHECK(el_chat_encode(tokenizer, v, t->messages, t->n, flags, ids, count, &again, &err) ==
               EDGELLM_OK);
    FUZZ_CHECK(again == count);
    check_ids(ids, count, t, flags);
    FUZZ_CHECK(el_chat_encode(tokenizer, v, t->messages, t->n, flags, half, count / 2, &again,
                              &err) == EDGELLM_OK);
    FUZZ_CHECK(again == count && memcmp(half, ids, count / 2 * sizeof *half) == 0);
    free(ids);
    free(half);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    uint8_t pick = fuzz_byte(&in);
    char *source = fuzz_text(&in);
    words w;
    talk t;
    el_arena measure = el_arena_measure(), arena;
    el_tokenizer *tokenizer = NULL;
    edgellm_error err = {0};
    make_words(&w, source, pick % 16 == 0);
    read_talk(&t, &in);
    FUZZ_CHECK(el_tokenizer_init(&tokenizer, &w.vocab, &measure, &err) == EDGELLM_OK);
    FUZZ_CHECK(el_arena_reserve(&arena, measure.used, &err) == EDGELLM_OK);
    FUZZ_CHECK(el_tokenizer_init(&tokenizer, &w.vocab, &arena, &err) == EDGELLM_OK);
    unsigned flags = (pick & 16 ? EDGELLM_CHAT_OPEN_ANSWER : 0);
    flags |= (pick & 128 ? EDGELLM_CHAT_CONTINUE : 0);
    check_chat(tokenizer, &w.vocab, &t, flags);
    el_arena_release(&arena);
    release_talk(&t);
    free(source);
    return 0;
}
