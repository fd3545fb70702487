/*
 * fuzz_grammar.c: any text as a grammar, and any way through what it allows. What is refused is
 * refused in one clean line; what is accepted is kept to: a token is in the mask just if it can be
 * taken, and an answer ends within its budget, unless a bound of the matcher is met.
 *
 * Input: a byte for the budget; the grammar up to a NUL; then a byte for each choice.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "grammar/matcher.h"

enum { BYTES = 256, MORE = 6, TOKENS = BYTES + MORE + 1, END = TOKENS - 1, MOST = 48 };

static const char *const more[MORE] = {"ab",           "\": \"",     "true",
                                       "\xc3\xa9\xc3", "0123456789", "\n  "};

/* ---- a vocabulary, made once ------------------------------------------------------------ */

static struct desk {
    el_vocab vocab;
    uint8_t bytes[BYTES + 256], types[TOKENS];
    uint32_t starts[TOKENS + 1];
    el_tokenizer *tokenizer;
    el_trie trie;
    el_matcher matcher;
} desk;

static void add_token(uint32_t id, const void *bytes, size_t len)
{
    memcpy(desk.bytes + desk.starts[id], bytes, len);
    desk.types[id] = id == END ? EL_TOKEN_CONTROL : EL_TOKEN_NORMAL;
    desk.starts[id + 1] = desk.starts[id] + (uint32_t)len;
}

static void make_vocabulary(void)
{
    for (uint32_t b = 0; b < BYTES; b++)
        add_token(b, &(uint8_t){(uint8_t)b}, 1);
    for (uint32_t i = 0; i < MORE; i++)
        add_token(BYTES + i, more[i], strlen(more[i]));
    add_token(END, "<|im_end|>", 10);
    desk.vocab = (el_vocab){.n_tokens = TOKENS,
                            .bytes = desk.bytes,
                            .starts = desk.starts,
                            .types = desk.types,
                            .pretokenizer = "gpt2",
                            .chat_template = "",
                            .bos = EL_TOKEN_NONE,
                            .eos = END,
                            .unk = EL_TOKEN_NONE,
                            .pad = EL_TOKEN_NONE};
}

/* Lays the tokenizer out, and a matcher once there is a trie. */
static void lay_out(el_arena *arena, bool matcher)
{
    edgellm_error err = {0};
    if (matcher)
        el_matcher_layout(&desk.matcher, &desk.trie, arena);
    else
        FUZZ_CHECK(el_tokenizer_init(&desk.tokenizer, &desk.vocab, arena, &err) == EDGELLM_OK);
}

static void make_desk(void)
{
    static el_arena arenas[2];
    edgellm_error err = {0};
    if (desk.trie.n_nodes > 0) return;
    make_vocabulary();
    for (int i = 0; i < 2; i++) {
        el_arena measure = el_arena_measure();
        lay_out(&measure, i == 1);
        FUZZ_CHECK(el_arena_reserve(&arenas[i], measure.used, &err) == EDGELLM_OK);
        lay_out(&arenas[i], i == 1);
        if (i == 0)
            FUZZ_CHECK(el_trie_open(&desk.trie, desk.tokenizer, TOKENS, TOKENS, &err) ==
                       EDGELLM_OK);
    }
}

/* ---- an answer ------------------------------------------------------------------------- */

/* Takes a token; false: it may not follow. */
static bool take(uint32_t token)
{
    return el_matcher_take(&desk.matcher, token, desk.bytes + desk.starts[token],
                           token == END ? 0 : desk.starts[token + 1] - desk.starts[token]);
}

/* The token that a byte chooses among those of a mask. */
static uint32_t choose(const el_mask *mask, uint8_t choice)
{
    static float logits[TOKENS], out[TOKENS];
    uint32_t n = 0, chosen = END;
    el_mask_logits(mask, logits, TOKENS, out);
    for (uint32_t i = 0; i < TOKENS; i++)
        n += out[i] == 0;
    FUZZ_CHECK(n == mask->count + (mask->ends ? 1 : 0));
    uint32_t k = choice % n;
    for (uint32_t i = 0; i < TOKENS; i++)
        if (out[i] == 0 && k-- == 0) chosen = i;
    return chosen;
}

static void answer(fuzz_input *in, uint32_t spare)
{
    const el_mask *mask;
    edgellm_error err = {0};
    const uint32_t needs = el_matcher_needs(&desk.matcher);
    if (needs > MOST) return;
    for (uint32_t left = needs + spare % MOST; left > 0; left--) {
        if (!fuzz_status(el_matcher_mask(&desk.matcher, left, &mask, &err), &err)) return;
        const uint32_t token = choose(mask, fuzz_byte(in));
        FUZZ_CHECK(take(token));
        if (token == END) return;
    }
    FUZZ_CHECK(false); /* the budget did not hold the answer */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    el_program program;
    edgellm_error err = {0};
    make_desk();
    const uint8_t spare = fuzz_byte(&in);
    const uint8_t *end = in.size > 0 ? memchr(in.data, '\0', in.size) : NULL;
    const size_t len = end ? (size_t)(end - in.data) : in.size;
    const edgellm_status status =
        el_program_make(&program, (const char *)in.data, len, &desk.trie, &err);
    if (!fuzz_status(status, &err)) return 0;
    in.data += len;
    in.size -= len;
    (void)fuzz_byte(&in);
    if (fuzz_status(el_matcher_begin(&desk.matcher, &program, &err), &err)) answer(&in, spare);
    el_program_release(&program);
    return 0;
}
