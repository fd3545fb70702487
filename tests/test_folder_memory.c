/*
 * test_folder_memory.c: the small folders that fuzzing starts from are opened while the Nth
 * allocation fails, for every N: the importer says so, nothing leaks, and then it succeeds.
 * jansson's own allocations are left alone: at some of them it ends the process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "folder/folder.h"
#include "fuzz/seed_folder.h"
#include "support/failing_memory.h"
#include "support/test_help.h"

#define FOLDER EL_TEST_OUT "/" EL_TEST_NAME ".folder"

/* ---- a folder ----------------------------------------------------------------------------- */

/* Replaces the file; one that would be empty is removed. */
static void place_file(const char *name, const void *head, size_t head_bytes, const void *data,
                       size_t bytes)
{
    char path[512];
    snprintf(path, sizeof path, FOLDER "/%s", name);
    remove(path);
    if (head_bytes + bytes == 0) return;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(head, 1, head_bytes, file), head_bytes);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

/* As fuzz_folder.c takes it apart. */
static void write_seed(int index)
{
    static const char *const names[] = {"config.json", "tokenizer.json", "tokenizer_config.json",
                                        "generation_config.json", "model.safetensors.index.json"};
    const char *ignored;
    el_bytes seed = seed_folder(index, &ignored);
    const char *at = (const char *)seed.data + 2, *end = (const char *)seed.data + seed.size;
    bool several = false;
    mkdir(FOLDER, 0777);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const size_t len = strlen(at);
        place_file(names[i], "", 0, at, len);
        several = len > 0;
        at += len + 1;
    }
    const uint64_t header = strlen(at);
    char *weights = malloc((size_t)(end - at));
    assert_non_null(weights);
    memcpy(weights, at, header); /* without the NUL behind it */
    memcpy(weights + header, at + header + 1, (size_t)(end - at) - header - 1);
    place_file("model.safetensors", "", 0, "", 0);
    place_file(several ? "a.safetensors" : "model.safetensors", &header, sizeof header, weights,
               (size_t)(end - at) - 1);
    free(weights);
    free(seed.data);
}

static void opens_or_says_why(int index)
{
    long before, failed = 0;
    edgellm_status status = EDGELLM_ERR_MEMORY;
    write_seed(index);
    for (long n = 1; status != EDGELLM_OK; n++) {
        el_gguf file = {0};
        edgellm_error err = {0};
        before = el_memory.in_use;
        el_memory.calls = 0;
        el_memory.failing = n;
        status = el_folder_open(&file, FOLDER, &err);
        el_memory.failing = 0;
        if (status != EDGELLM_OK) {
            assert_int_equal(status, EDGELLM_ERR_MEMORY);
            assert_int_equal(err.status, status);
            assert_null(file.tensors);
            failed++;
        } else {
            assert_true(file.n_tensors > 10);
            el_gguf_close(&file);
        }
        assert_int_equal(el_memory.in_use, before);
    }
    assert_true(failed > 30);
}

static void test_every_allocation_fails(void **state)
{
    (void)state;
    for (int i = 0; i < SEED_FOLDERS; i++)
        opens_or_says_why(i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation_fails)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
