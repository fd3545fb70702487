/* tiny_file.h: tiny TM2 files for tests of the engine, made from one tiny random model. */
#ifndef TEST_TINY_FILE_H
#define TEST_TINY_FILE_H

#include "edgellm.h"
#include "format/tm2.h"

typedef enum tiny_file {
    TINY_KEPT,     /* Q4_1 body and Q8_0 embedding, taken over */
    TINY_BYTE_2,   /* 2 bits, groups of 64, byte scales */
    TINY_BYTE_3,   /* 3 bits, groups of 32, byte scales */
    TINY_OFFSET_4, /* 4 bits with offset, groups of 32, fp16 scales, 8-bit embedding */
    TINY_ROW_8,    /* 8 bits, one scale a row */
    TINY_ROTATED,  /* 3 bits, groups of 64, byte scales; every matrix rotated */
    TINY_CUT,      /* the same, its embedding in two tensors */
    TINY_MIXED,    /* of matrices that meet the same input, some are not rotated */
    TINY_FILES
} tiny_file;

/* Makes all files; a cmocka group set-up. */
int tiny_files_make(void **state);

const char *tiny_file_path(tiny_file file);

/* Copies a TM2 file and says that those of its matrices are rotated for which `turned` is true
 * (NULL: all). Fails the test if that fails. */
void tiny_file_say_rotated(const char *from, const char *to, bool (*turned)(const char *name));

/* Writes rows [first, first + rows) of a quantised tensor as one of its own; both ends are borders
 * of tiles, or the second is the tensor's end. Fails the test if that fails. */
void tiny_file_put_rows(el_tm2_writer *writer, const el_tensor *whole, const char *name,
                        uint32_t first, uint32_t rows);

/* Copies a TM2 file with tensor `name` cut in two: `rows` rows (whole tiles) under its name, the
 * others as `rest`. Fails the test if that fails. */
void tiny_file_cut(const char *from, const char *to, const char *name, const char *rest,
                   uint32_t rows);

/* An engine with default options; fails the test if there is none. Close it. */
edgellm_engine *tiny_file_open(tiny_file file);

#endif
