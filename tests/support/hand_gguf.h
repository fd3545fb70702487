/*
 * hand_gguf.h: GGUF files made field by field, for tests of the reader. The counts in the header
 * are those of what was added, unless a test lies about them.
 */
#ifndef EL_TEST_HAND_GGUF_H
#define EL_TEST_HAND_GGUF_H

#include "support/tiny_model.h"

typedef struct el_hand {
    el_bytes values, table, data;
    uint32_t version;
    uint32_t alignment; /* of the data */
    uint64_t n_values, n_tensors;
} el_hand;

/* start; add; save, which releases all and says whether the file was written. A tensor is a
 * vector of `cols`; its data is put into h->data. */
void el_hand_tensor(el_hand *h, const char *name, uint64_t cols, uint32_t type, uint64_t offset);
void el_hand_u32(el_hand *h, const char *key, uint32_t value);
void el_hand_text(el_hand *h, const char *key, const char *value);
void el_hand_array(el_hand *h, const char *key, uint32_t type, uint64_t count);
void el_hand_texts(el_hand *h, const char *key, uint64_t count, const char *const *texts);
/* A vocabulary of pieces with scores. */
void el_hand_pieces(el_hand *h, const char *model, uint64_t count, const char *const *texts,
                    const uint32_t *types, const float *scores);
el_hand el_hand_start(void);
bool el_hand_save(el_hand *h, const char *path);

#endif
