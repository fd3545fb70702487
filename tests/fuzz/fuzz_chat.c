/*
 * fuzz_chat.c: any chat template, any conversation. However the text is chosen, the frame's tokens
 * stand where the frame puts them and nowhere else, and the text comes back as it was: of ChatML
 * all is told beforehand; of the other forms what users say is there, and no more tokens than
 * frames.
 *
 * Input: options; a form by its name, if they say so; the template up to a NUL; then messages, each
 * a role (a byte: a known one, or the text that follows) and a content, both up to a NUL.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "support/tiny_model.h"
#include "token/chat.h"
#include "token/lookup.h"

/* Names of frames' tokens; those of ChatML first. */
static const char *const names[] = {
    "<|im_start|>",      "<|im_end|>", "<|begin|>",       "<|start_header_id|>",
    "<|end_header_id|>", "<|eot_id|>", "<start_of_turn>", "<end_of_turn>",
    "<|system|>",        "<|user|>",   "<|assistant|>",   "<|end|>"};

enum {
    MOST_MESSAGES = 8,
    BYTES = 256,
    OPEN = 256,
    CLOSE = 257,
    BEGIN = 258,
    TOKENS = BYTES + sizeof names / sizeof names[0]
};

/* ---- a vocabulary: every byte, and the names of frames ---------------------------------- */

typedef struct words {
    el_vocab vocab;
    uint8_t bytes[BYTES + 32 * (TOKENS - BYTES)], types[TOKENS];
    uint32_t starts[TOKENS + 1];
} words;

/* `lame`: the names are ordinary tokens, which make no frame. */
static void make_words(words *w, const char *source, bool lame, bool has_bos)
{
    *w = (words){.vocab = {.n_tokens = TOKENS,
                           .bytes = w->bytes,
                           .starts = w->starts,
                           .types = w->types,
                           .pretokenizer = "smollm",
                           .chat_template = source,
                           .bos = has_bos ? BEGIN : EL_TOKEN_NONE,
                           .eos = CLOSE,
                           .unk = EL_TOKEN_NONE,
                           .pad = EL_TOKEN_NONE}};
    for (uint32_t i = 0; i < BYTES; i++)
        w->bytes[i] = (uint8_t)i;
    for (uint32_t id = 0; id < TOKENS; id++) {
        const size_t len = id < BYTES ? 1 : strlen(names[id - BYTES]);
        w->starts[id + 1] = w->starts[id] + (uint32_t)len;
        if (id >= BYTES) memcpy(w->bytes + w->starts[id], names[id - BYTES], len);
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

/* What a user says is there, whatever the white space around it, one after the other. */
static void check_said(const uint32_t *ids, size_t count, const talk *t)
{
    size_t at = 0;
    for (size_t i = 0; i < t->n; i++) {
        const char *text = t->messages[i].content;
        if (strcmp(t->messages[i].role, "user") != 0) continue;
        for (; *text != '\0'; text++) {
            if ((uint8_t)*text <= ' ' || (uint8_t)*text >= 0x80) continue;
            while (at < count && ids[at] != (uint8_t)*text)
                at++;
            FUZZ_CHECK(at++ < count);
        }
    }
}

static void check_frames(const uint32_t *ids, size_t count, const talk *t)
{
    size_t frames = 0;
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(ids[i] < TOKENS);
        frames += ids[i] >= BYTES;
    }
    FUZZ_CHECK(frames <= 3 * (t->n + 4)); /* of all messages, a system one, closing and opening */
    check_said(ids, count, t);
}

static bool has_results(const talk *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (strncmp(t->messages[i].role, "tool", 4) == 0) return true;
    return false;
}

static void check_chat(const el_tokenizer *tokenizer, const el_chat *chat, const talk *t,
                       unsigned flags)
{
    size_t count = SIZE_MAX, again = 0;
    edgellm_error err = {0};
    edgellm_status status =
        el_chat_encode(chat, tokenizer, t->messages, t->n, flags, NULL, 0, &count, &err);
    const bool known = chat->row != NULL,
               is_chatml = known && strcmp(chat->row->form, "chatml") == 0;
    const bool knows_tools = known && chat->row->tools_before != NULL;
    FUZZ_CHECK(fuzz_status(status, &err) ==
               (known && t->known_roles && (knows_tools || !has_results(t))));
    if (status != EDGELLM_OK) {
        FUZZ_CHECK(count == SIZE_MAX); /* untouched */
        FUZZ_CHECK(status == EDGELLM_ERR_USAGE || !knows_tools);
        return;
    }
    uint32_t *ids = fuzz_room(count * sizeof *ids), *half = fuzz_room(count / 2 * sizeof *half);
    FUZZ_CHECK(el_chat_encode(chat, tokenizer, t->messages, t->n, flags, ids, count, &again,
                              &err) == EDGELLM_OK);
    FUZZ_CHECK(again == count);
    if (is_chatml && strstr(chat->source, chat->row->thinks) == NULL &&
        strstr(chat->source, "bos_token") == NULL)
        check_ids(ids, count, t, flags);
    else
        check_frames(ids, count, t);
    FUZZ_CHECK(el_chat_encode(chat, tokenizer, t->messages, t->n, flags, half, count / 2, &again,
                              &err) == EDGELLM_OK);
    FUZZ_CHECK(again == count && memcmp(half, ids, count / 2 * sizeof *half) == 0);
    free(ids);
    free(half);
}

static const char *form_of(uint8_t pick)
{
    size_t n = 0;
    while (el_chat_form_name(n) != NULL)
        n++;
    return el_chat_form_name(pick % n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    uint8_t pick = fuzz_byte(&in);
    const char *form = pick & 64 ? form_of(fuzz_byte(&in)) : NULL;
    char *source = fuzz_text(&in);
    words w;
    talk t;
    el_chat chat;
    el_arena measure = el_arena_measure(), arena;
    el_tokenizer *tokenizer = NULL;
    edgellm_error err = {0};
    make_words(&w, source, pick % 16 == 0, form != NULL);
    read_talk(&t, &in);
    FUZZ_CHECK(el_tokenizer_init(&tokenizer, &w.vocab, &measure, &err) == EDGELLM_OK);
    FUZZ_CHECK(el_arena_reserve(&arena, measure.used, &err) == EDGELLM_OK);
    FUZZ_CHECK(el_tokenizer_init(&tokenizer, &w.vocab, &arena, &err) == EDGELLM_OK);
    unsigned flags = (pick & 16 ? EDGELLM_CHAT_OPEN_ANSWER : 0);
    flags |= (pick & 128 ? EDGELLM_CHAT_CONTINUE : 0);
    if (fuzz_status(el_chat_open(&chat, &w.vocab, form, &err), &err))
        check_chat(tokenizer, &chat, &t, flags);
    else
        FUZZ_CHECK(form != NULL && pick % 16 == 0);
    el_arena_release(&arena);
    release_talk(&t);
    free(source);
    return 0;
}
