/*
 * chat_lines.c: lays out a list of conversations for tools/conformance_chat.py.
 *
 *   chat_lines MODEL.gguf FORM FLAGS < CONVERSATIONS > IDS
 *
 * FORM: the name of a chat template; "-": the file's own. FLAGS: sum of edgellm_chat_flags.
 * CONVERSATIONS: for each its length in bytes (4 bytes, little-endian), then its messages, each a
 * role and a content, both with a NUL behind. IDS: a line of decimal ids for each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"
#include "token/chat.h"

enum { MOST_MESSAGES = 256, MOST_IDS = 1 << 16 };

/* 1: a conversation was read; 0: the end; -1: the input is cut off or too long. */
static int read_talk(char **text, size_t *len)
{
    uint8_t head[4];
    size_t got = fread(head, 1, sizeof head, stdin);
    if (got == 0) return 0;
    if (got < sizeof head) return -1;
    *len = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
    *text = realloc(*text, *len + 1);
    if (*text == NULL) exit(EDGELLM_ERR_MEMORY);
    (*text)[*len] = '\0';
    return fread(*text, 1, *len, stdin) == *len ? 1 : -1;
}

static size_t split(const char *text, size_t len, edgellm_message *messages)
{
    const char *end = text + len;
    size_t n = 0;
    while (text < end && n < MOST_MESSAGES) {
        messages[n].role = text;
        messages[n].content = text + strlen(text) + 1;
        text = messages[n].content + strlen(messages[n].content) + 1;
        n++;
    }
    return n;
}

static edgellm_status print_ids(const el_chat *chat, const el_tokenizer *t, const char *text,
                                size_t len, unsigned flags, edgellm_error *err)
{
    static edgellm_message messages[MOST_MESSAGES];
    static uint32_t ids[MOST_IDS];
    size_t count = 0;
    const size_t n = split(text, len, messages);
    EL_TRY(el_chat_encode(chat, t, messages, n, flags, ids, MOST_IDS, &count, err));
    if (count > MOST_IDS)
        return el_fail(err, EDGELLM_ERR_USAGE, "a conversation of %zu ids", count);
    for (size_t i = 0; i < count; i++)
        printf(i > 0 ? " %u" : "%u", ids[i]);
    printf("\n");
    return EDGELLM_OK;
}

static edgellm_status run(const el_vocab *vocab, const char *form, unsigned flags,
                          edgellm_error *err)
{
    el_arena arena = el_arena_measure();
    el_tokenizer *tokenizer = NULL;
    el_chat chat;
    EL_TRY(el_chat_open(&chat, vocab, form, err));
    EL_TRY(el_tokenizer_init(&tokenizer, vocab, &arena, err));
    EL_TRY(el_arena_reserve(&arena, arena.used, err));
    edgellm_status status = el_tokenizer_init(&tokenizer, vocab, &arena, err);
    char *text = NULL;
    size_t len = 0;
    int got = 0;
    while (status == EDGELLM_OK && (got = read_talk(&text, &len)) > 0)
        status = print_ids(&chat, tokenizer, text, len, flags, err);
    if (got < 0) status = el_fail(err, EDGELLM_ERR_USAGE, "standard input ends inside a text");
    free(text);
    el_arena_release(&arena);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: chat_lines MODEL.gguf FORM FLAGS < CONVERSATIONS > IDS\n");
        return EDGELLM_ERR_USAGE;
    }
    edgellm_error err = {EDGELLM_OK, ""};
    el_gguf file;
    edgellm_status status = el_gguf_open(&file, argv[1], &err);
    if (status == EDGELLM_OK) {
        el_vocab vocab;
        status = el_gguf_vocab(&file, &vocab, &err);
        if (status == EDGELLM_OK)
            status = run(&vocab, strcmp(argv[2], "-") == 0 ? NULL : argv[2],
                         (unsigned)strtoul(argv[3], NULL, 10), &err);
        el_gguf_close(&file);
    }
    if (status != EDGELLM_OK) fprintf(stderr, "chat_lines: %s\n", err.message);
    return (int)status;
}
