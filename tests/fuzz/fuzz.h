/*
 * fuzz.h: what the fuzz targets share. A target is one file, fuzz_NAME.c, with libFuzzer's entry
 * point; it feeds the bytes to one way into the program and checks what must hold for all bytes.
 * A check that fails aborts: that is how both libFuzzer and replay.c see a finding.
 */
#ifndef EL_FUZZ_FUZZ_H
#define EL_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edgellm.h"

/* libFuzzer's; here so that targets have a prototype. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* Must hold, or the input is a finding. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) fuzz_broken(__FILE__, __LINE__, #condition);                             \
    } while (0)

_Noreturn void fuzz_broken(const char *file, int line, const char *condition);

/* A failure carries its own status and one clean line; an OK says nothing. Clear err before the
 * call. Returns whether `status` is OK. */
bool fuzz_status(edgellm_status status, const edgellm_error *err);

/* ---- a file in memory ------------------------------------------------------------------ */

typedef struct fuzz_file {
    char path[32]; /* opens like any other regular file */
    int fd;
} fuzz_file;

fuzz_file fuzz_file_open(const uint8_t *data, size_t size);
void fuzz_file_close(fuzz_file *file);

/* Makes an empty folder for files that need a name; in memory where that is possible, since
 * writers sync. Its owner empties it and calls rmdir(). */
enum { FUZZ_FOLDER_BYTES = 64 };
void fuzz_folder(char folder[FUZZ_FOLDER_BYTES]);
bool fuzz_folder_is_empty(const char *folder);

/* ---- a structured input ---------------------------------------------------------------- */

/* Hands the bytes out front to back; zeroes past the end. */
typedef struct fuzz_input {
    const uint8_t *data;
    size_t size;
} fuzz_input;

uint8_t fuzz_byte(fuzz_input *in);
/* A byte of length, then that many bytes, or as many as are left. */
const uint8_t *fuzz_piece(fuzz_input *in, size_t *len);
/* The bytes up to the next NUL, or all; allocated, NUL-terminated. */
char *fuzz_text(fuzz_input *in);

/* malloc that does not fail. */
void *fuzz_room(size_t size);

#endif
