#include "support/tiny_file.h"

#include <stdio.h>

#include "quant/quantize.h"
#include "support/test_help.h"
#include "support/tiny_model.h"

typedef struct recipe {
    const char *path;
    el_quantize_options options;
} recipe;

/* head_dim 48 and ffn 104 are no multiples of the activation group of 32; texts begin with bos. */
static const el_tiny_spec odd_spec = {.dim = 96,
                                      .ffn_dim = 104,
                                      .layers = 2,
                                      .heads = 2,
                                      .kv_heads = 1,
                                      .context = 256,
                                      .matrix_type = 0,
                                      .embedding_type = 0,
                                      .add_bos = true,
                                      .version = 3,
                                      .seed = 5};

/* Of each test program its own, since they run at the same time. */
#define OUT(name) EL_TEST_OUT "/" EL_TEST_NAME "_" name

static const recipe recipes[TINY_FILES] = {
    [TINY_KEPT] = {OUT("kept.tm2.bin"), {.group = 32, .embedding_group = 32}},
    [TINY_BYTE_2] = {OUT("byte2.tm2.bin"),
                     {.bits = 2, .group = 64, .embedding_group = 64, .scales = EL_SCALE_BYTE}},
    [TINY_BYTE_3] = {OUT("byte3.tm2.bin"),
                     {.bits = 3, .group = 32, .embedding_group = 32, .scales = EL_SCALE_BYTE}},
    [TINY_OFFSET_4] =
        {OUT("offset4.tm2.bin"),
         {.bits = 4, .embedding_bits = 8, .group = 32, .embedding_group = 32, .offset = true}},
    [TINY_ROW_8] = {OUT("row8.tm2.bin"), {.bits = 8}},
};

static int make(const char *source, const recipe *r)
{
    edgellm_error err = {0};
    el_quantize_result result;
    if (el_quantize(source, r->path, &r->options, &result, &err) == EDGELLM_OK) return 0;
    fprintf(stderr, "%s: %s\n", r->path, err.message);
    return -1;
}

int tiny_files_make(void **state)
{
    const char *kept = OUT("kept.gguf"), *odd = OUT("odd.gguf");
    const el_tiny_spec spec = el_tiny_defaults();
    (void)state;
    if (!el_tiny_write(&spec, kept) || !el_tiny_write(&odd_spec, odd)) return -1;
    for (int i = 0; i < TINY_FILES; i++)
        if (make(i == TINY_KEPT ? kept : odd, &recipes[i]) != 0) return -1;
    return 0;
}

const char *tiny_file_path(tiny_file file)
{
    return recipes[file].path;
}

edgellm_engine *tiny_file_open(tiny_file file)
{
    edgellm_engine *engine = NULL;
    edgellm_error err;
    assert_ok(edgellm_engine_open(tiny_file_path(file), NULL, &engine, &err));
    return engine;
}
