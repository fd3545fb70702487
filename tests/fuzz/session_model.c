/* session_model.c: see session_model.h. */
#include "fuzz/session_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "format/ggml_types.h"
#include "format/tm2.h"
#include "quant/quantize.h"

void fuzz_session_model(el_bytes *model)
{
    el_tiny_spec spec = el_tiny_defaults();
    const el_quantize_options quantize = {.bits = 4, .group = 32, .embedding_group = 32};
    char folder[FUZZ_FOLDER_BYTES], target[FUZZ_FOLDER_BYTES + 16];
    el_bytes gguf = {0};
    edgellm_error err = {0};
    spec.dim = spec.ffn_dim = 32;
    spec.heads = 2;
    spec.kv_heads = 1;
    spec.context = 32;
    el_tiny_gguf(&spec, &gguf);
    fuzz_file source = fuzz_file_open(gguf.data, gguf.size);
    fuzz_folder(folder);
    snprintf(target, sizeof target, "%s/model", folder);
    FUZZ_CHECK(el_quantize(source.path, target, &quantize, NULL, &err) == EDGELLM_OK);
    FUZZ_CHECK(el_bytes_load(model, target));
    FUZZ_CHECK(unlink(target) == 0 && rmdir(folder) == 0);
    fuzz_file_close(&source);
    free(gguf.data);
}

const fuzz_base *fuzz_session_base(void)
{
    static fuzz_base only;
    if (only.config.layers > 0) return &only;
    el_bytes model = {0};
    el_tm2 file;
    edgellm_error err = {0};
    fuzz_session_model(&model);
    only.model = fuzz_file_open(model.data, model.size);
    FUZZ_CHECK(el_tm2_open(&file, only.model.path, true, &err) == EDGELLM_OK);
    only.config = file.config;
    el_tm2_close(&file);
    free(model.data);
    return &only;
}

edgellm_engine *fuzz_session_engine(const char *kernel)
{
    const edgellm_engine_options options = {.kernel = kernel};
    el_bytes model = {0};
    edgellm_error err = {0};
    edgellm_engine *engine = NULL;
    fuzz_session_model(&model);
    fuzz_file file = fuzz_file_open(model.data, model.size);
    FUZZ_CHECK(edgellm_engine_open(file.path, &options, &engine, &err) == EDGELLM_OK);
    fuzz_file_close(&file); /* it stays mapped */
    free(model.data);
    return engine;
}

edgellm_session *fuzz_small_session(void)
{
    static edgellm_session *only;
    const edgellm_session_options options = {.context = 8, .threads = 1};
    edgellm_error err = {0};
    if (only) return only;
    const edgellm_engine *engine = fuzz_session_engine(NULL);
    FUZZ_CHECK(edgellm_session_open(engine, &options, &only, &err) == EDGELLM_OK);
    return only;
}
