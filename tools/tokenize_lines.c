/*
 * tokenize_lines.c: tokenizes a list of texts for tools/conformance_tokens.py.
 *
 *   tokenize_lines MODEL.gguf PRETOKENIZER FLAGS < TEXTS > IDS
 *
 * PRETOKENIZER replaces the file's own ("-": keep it). FLAGS: sum of edgellm_tokenize_flags.
 * TEXTS: for each text its length in bytes (4 bytes, little-endian), then its bytes. IDS: a line
 * of decimal ids for each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"
#include "token/tokenizer.h"

/* 1: a text was read; 0: the end; -1: the input is cut off or too long. */
static int read_text(char **text, size_t *len)
{
    uint8_t head[4];
    size_t got = fread(head, 1, sizeof head, stdin);
    if (got == 0) return 0;
    if (got < sizeof head) return -1;
    *len = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
    *text = realloc(*text, *len + 1);
    if (*text == NULL) exit(EDGELLM_ERR_MEMORY);
    return fread(*text, 1, *len, stdin) == *len ? 1 : -1;
}

static edgellm_status print_ids(const el_tokenizer *t, const char *text, size_t len, unsigned flags,
                                edgellm_error *err)
{
    /* A token has at least one byte; NFC makes three of one at most, spaces before parts two. */
    const size_t room = 3 * len + 1;
    uint32_t *tokens = malloc(room * sizeof *tokens);
    if (tokens == NULL) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for %zu ids", room);
    size_t count = 0;
    edgellm_status status = el_tokenizer_encode(t, text, len, flags, tokens, room, &count, err);
    if (status == EDGELLM_OK && count > room)
        status = el_fail(err, EDGELLM_ERR_INTERNAL, "%zu ids for %zu bytes", count, len);
    for (size_t i = 0; status == EDGELLM_OK && i < count; i++)
        printf(i > 0 ? " %u" : "%u", tokens[i]);
    if (status == EDGELLM_OK) printf("\n");
    free(tokens);
    return status;
}

static edgellm_status run(const el_vocab *vocab, unsigned flags, edgellm_error *err)
{
    el_arena arena = el_arena_measure();
    el_tokenizer *tokenizer = NULL;
    EL_TRY(el_tokenizer_init(&tokenizer, vocab, &arena, err));
    EL_TRY(el_arena_reserve(&arena, arena.used, err));
    edgellm_status status = el_tokenizer_init(&tokenizer, vocab, &arena, err);
    char *text = NULL;
    size_t len = 0;
    int got = 0;
    while (status == EDGELLM_OK && (got = read_text(&text, &len)) > 0)
        status = print_ids(tokenizer, text, len, flags, err);
    if (got < 0) status = el_fail(err, EDGELLM_ERR_USAGE, "standard input ends inside a text");
    free(text);
    el_arena_release(&arena);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: tokenize_lines MODEL.gguf PRETOKENIZER FLAGS < TEXTS > IDS\n");
        return EDGELLM_ERR_USAGE;
    }
    edgellm_error err = {EDGELLM_OK, ""};
    el_gguf file;
    edgellm_status status = el_gguf_open(&file, argv[1], &err);
    if (status == EDGELLM_OK) {
        el_vocab vocab;
        status = el_gguf_vocab(&file, &vocab, &err);
        if (status == EDGELLM_OK) {
            if (strcmp(argv[2], "-") != 0) vocab.pretokenizer = argv[2];
            status = run(&vocab, (unsigned)strtoul(argv[3], NULL, 10), &err);
        }
        el_gguf_close(&file);
    }
    if (status != EDGELLM_OK) fprintf(stderr, "tokenize_lines: %s\n", err.message);
    return (int)status;
}
