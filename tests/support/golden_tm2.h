/*
 * golden_tm2.h: makes the golden file again, tensor by tensor: all codecs, both kinds of scale,
 * all groups, odd shapes. tests/data/golden.tm2.bin must come out byte for byte, so neither the
 * writer nor the format can change unnoticed.
 */
#ifndef EL_TEST_GOLDEN_TM2_H
#define EL_TEST_GOLDEN_TM2_H

#include "format/tm2.h"

#define EL_GOLDEN_MANIFEST "{\"made\":\"by hand\"}"

extern const uint32_t el_golden_count;

/* Tensor by index, filled with seeded noise. Its data is allocated: free((void *)t.data). */
el_tensor el_golden_tensor(uint32_t index);

el_config el_golden_config(void);
el_vocab el_golden_vocab(void);

edgellm_status el_golden_write(const char *path, edgellm_error *err);

/* What only version 5 has: golden_5.tm2.bin, with the first tensor alone. */
el_config el_golden_5_config(void);
el_vocab el_golden_5_vocab(void);
edgellm_status el_golden_5_write(const char *path, edgellm_error *err);

/* What only version 6 has: golden_6.tm2.bin, with the first tensor alone. */
el_config el_golden_6_config(void);
edgellm_status el_golden_6_write(const char *path, edgellm_error *err);

/* Chained codes: golden_7.tm2.bin; or with the numbers of golden_6, golden_7_stretched. */
edgellm_status el_golden_7_write(const char *path, bool stretched, edgellm_error *err);

#endif
