/*
 * words.h: for tests of the tokenizer: vocabularies made by hand or read from tests/data, and
 * tokenizers over them. tools/token_vectors.py tells the form of the files. Failures end the test.
 */
#ifndef EL_TEST_WORDS_H
#define EL_TEST_WORDS_H

#include "base/mapfile.h"
#include "token/chat.h"

typedef struct reader {
    el_mapfile map; /* to be closed by the test */
    size_t pos;
} reader;

reader open_data(const char *name);
const uint8_t *take(reader *r, size_t n);
uint32_t take_number(reader *r, size_t bytes);
const char *take_string(reader *r, size_t *len); /* points into the file */
char *take_copy(reader *r);                      /* NUL-terminated, to be freed */
size_t take_ids(reader *r, uint32_t *ids);

#define MOST_TOKENS 2048

typedef struct words { /* a vocabulary and the memory that it points to */
    el_vocab vocab;
    uint8_t bytes[1 << 16];
    uint32_t starts[MOST_TOKENS + 1];
    uint8_t types[MOST_TOKENS];
    el_merge merges[MOST_TOKENS];
} words;

words *new_words(void);  /* empty; to be freed */
words *read_words(void); /* token_vocab.bin */
uint32_t add_token(words *w, el_token_type type, const void *bytes, size_t len);
uint32_t add_word(words *w, el_token_type type, const char *name);
void add_merge(words *w, uint32_t left, uint32_t right);

typedef struct machine {
    el_arena arena;
    el_tokenizer *t;
    words *w;
} machine;

/* Checks that measuring counts what is then used. */
edgellm_status try_init(machine *m, words *w, edgellm_error *err);
machine start(words *w, const char *pretokenizer);
void stop(machine *m);
void finish(machine *m); /* frees the words too */

/* Checks that counting alone gives the same count. The caller frees *ids. */
size_t encode(const machine *m, const void *text, size_t len, unsigned flags, uint32_t **ids);
void assert_ids(const machine *m, const char *text, unsigned flags, const uint32_t *wanted,
                size_t n);
/* A conversation by the vocabulary's template, as edgellm_chat_prompt() does it. */
edgellm_status encode_chat(const machine *m, const edgellm_message *messages, size_t n,
                           unsigned flags, uint32_t *ids, size_t capacity, size_t *count,
                           edgellm_error *err);
/* The tokens' bytes, joined, are the text. */
void assert_decodes(const machine *m, const uint32_t *ids, size_t n, const uint8_t *text,
                    size_t len);

uint32_t next_random(uint64_t *state);
size_t write_utf8(uint32_t c, uint8_t *out); /* surrogates too */

#endif
