/* written_folder.c: see written_folder.h. */
#include "fuzz/written_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXTS = 5 };

/* A model's first, in the order of the input. */
static const char *const names[] = {"config.json",
                                    "tokenizer.json",
                                    "tokenizer_config.json",
                                    "generation_config.json",
                                    "model.safetensors.index.json",
                                    "model.safetensors",
                                    "a.safetensors",
                                    "adapter_config.json",
                                    "adapter_model.safetensors"};

enum { NAMES = sizeof names / sizeof *names };

static FILE *create(const char *folder, const char *name)
{
    char path[FUZZ_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    FUZZ_CHECK(file != NULL);
    return file;
}

bool fuzz_write_text(const char *folder, const char *name, fuzz_input *in)
{
    char *text = fuzz_text(in);
    const size_t len = strlen(text);
    if (len > 0) {
        FILE *file = create(folder, name);
        FUZZ_CHECK(fwrite(text, 1, len, file) == len && fclose(file) == 0);
    }
    free(text);
    return len > 0;
}

void fuzz_write_safetensors(const char *folder, const char *name, uint8_t more, fuzz_input *in)
{
    char *header = fuzz_text(in);
    const size_t len = strlen(header);
    const uint64_t told = len + (uint64_t)(int64_t)(int8_t)more;
    FILE *file = create(folder, name);
    FUZZ_CHECK(fwrite(&told, 1, sizeof told, file) == sizeof told);
    FUZZ_CHECK(fwrite(header, 1, len, file) == len);
    FUZZ_CHECK(in->size == 0 || fwrite(in->data, 1, in->size, file) == in->size);
    FUZZ_CHECK(fclose(file) == 0);
    free(header);
}

void fuzz_write_model(const char *folder, uint8_t more, fuzz_input *in)
{
    bool several = false;
    for (int i = 0; i < TEXTS; i++)
        several = fuzz_write_text(folder, names[i], in);
    fuzz_write_safetensors(folder, names[TEXTS + several], more, in);
}

void fuzz_remove_folder(const char *folder)
{
    char path[FUZZ_PATH_BYTES];
    for (int i = 0; i < NAMES; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    FUZZ_CHECK(rmdir(folder) == 0);
}
