/*
 * mask_times.c: how long the masks of a grammar take (docs/GRAMMAR.md).
 *
 *   mask_times MODEL GRAMMAR TEXT      of each token of TEXT, an answer in the grammar
 *
 * A mask is made twice: once by a matcher that has just begun the answer, and again in a second
 * answer to the same grammar, which starts anew.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/engine.h"
#include "grammar/matcher.h"

enum { TEXT_MAX = 1 << 20, TOKENS_MAX = 4096 };

static int fail(const char *why)
{
    fprintf(stderr, "mask_times: %s\n", why);
    return 1;
}

static el_matcher *new_matcher(const el_trie *trie)
{
    static el_matcher m;
    edgellm_error err;
    el_arena measure = el_arena_measure(), arena;
    el_matcher_layout(&m, trie, &measure);
    if (el_arena_reserve(&arena, measure.used, &err) != EDGELLM_OK) return NULL;
    el_arena_settle(&arena);
    el_matcher_layout(&m, trie, &arena);
    printf("matcher %zu bytes, trie %zu bytes\n", measure.used, trie->arena.size);
    return &m;
}

/* One answer; false: a token is not allowed. */
static bool walk(const edgellm_engine *engine, el_matcher *m, const uint32_t *ids, size_t n)
{
    const el_mask *mask;
    edgellm_error err;
    for (size_t i = 0; i <= n; i++) {
        const el_nanoseconds start = el_clock_now();
        const edgellm_status status = el_matcher_mask(m, UINT32_MAX, &mask, &err);
        const double us = (double)(el_clock_now() - start) / 1e3;
        if (status != EDGELLM_OK) {
            printf("%8.1f us  %s\n", us, err.message);
            return false;
        }
        size_t len = 0;
        const uint8_t *bytes = i < n ? el_tokenizer_bytes(engine->tokenizer, ids[i], &len) : NULL;
        printf("%8.1f us  %6u allowed  %.*s\n", us, mask->count, (int)len,
               bytes ? (const char *)bytes : "");
        if (i < n && !el_matcher_take(m, ids[i], bytes, len)) return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static char text[TEXT_MAX];
    static uint32_t ids[TOKENS_MAX];
    const edgellm_engine_options options = {.grammars = true};
    edgellm_engine *engine;
    edgellm_error err;
    el_program program;
    size_t n;
    if (argc != 4) return fail("usage: mask_times MODEL GRAMMAR TEXT");
    if (edgellm_engine_open(argv[1], &options, &engine, &err) != EDGELLM_OK)
        return fail(err.message);
    FILE *file = fopen(argv[2], "rb");
    if (!file) return fail("the grammar cannot be read");
    const size_t len = fread(text, 1, sizeof text, file);
    fclose(file);
    if (el_program_make(&program, text, len, &engine->trie, &err) != EDGELLM_OK ||
        edgellm_tokenize(engine, argv[3], strlen(argv[3]), 0, ids, TOKENS_MAX, &n, &err) !=
            EDGELLM_OK)
        return fail(err.message);
    el_matcher *m = new_matcher(&engine->trie);
    if (!m || n > TOKENS_MAX) return fail("no memory, or too long a text");
    for (int answer = 1; answer <= 2; answer++) {
        printf("answer %d\n", answer);
        if (el_matcher_begin(m, &program, &err) != EDGELLM_OK) return fail(err.message);
        if (!walk(engine, m, ids, n)) return fail("the text is not allowed here");
    }
    el_program_release(&program);
    edgellm_engine_close(engine);
    return 0;
}
