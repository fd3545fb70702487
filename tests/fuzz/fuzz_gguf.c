/*
 * fuzz_gguf.c: any bytes as a GGUF file, and on to what `edgellm quantize` does with it. The last
 * byte, which no reader looks at, also picks the options.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/gguf.h"
#include "fuzz/fuzz.h"
#include "quant/quantize.h"

/* ---- the reader ------------------------------------------------------------------------ */

static void check_structure(const el_gguf *f)
{
    for (uint32_t i = 0; i < f->n_tensors; i++) {
        const el_gguf_tensor *t = &f->tensors[i];
        const el_ggml_type *type = el_ggml_type_of(t->type);
        FUZZ_CHECK(t->rows > 0 && (type != NULL || (t->type == EL_GGML_I2_S && t->rows > 1)));
        FUZZ_CHECK(type == NULL || t->cols % type->block_weights == 0);
        FUZZ_CHECK(t->data >= f->map.data && t->bytes <= f->map.size);
        FUZZ_CHECK((size_t)(t->data - f->map.data) <= f->map.size - (size_t)t->bytes);
        FUZZ_CHECK(el_gguf_find(f, t->name) == t);
    }
}

static void check_config(const el_gguf *f)
{
    el_config once, again;
    edgellm_error err = {0}, err_again = {0};
    memset(&once, 0x5a, sizeof once);
    memset(&again, 0x5a, sizeof again);
    edgellm_status status = el_gguf_config(f, &once, &err);
    fuzz_status(status, &err);
    FUZZ_CHECK(el_gguf_config(f, &again, &err_again) == status);
    FUZZ_CHECK(memcmp(&once, &again, sizeof once) == 0); /* also: untouched after a failure */
    FUZZ_CHECK(memcmp(&err, &err_again, sizeof err) == 0);
}

static void check_vocab(el_gguf *f)
{
    el_vocab v;
    edgellm_error err = {0};
    if (!fuzz_status(el_gguf_vocab(f, &v, &err), &err)) return;
    FUZZ_CHECK(v.n_tokens > 0 && v.starts[0] == 0);
    FUZZ_CHECK(v.starts[v.n_tokens] <= f->map.size && v.n_merges <= f->map.size);
    for (uint32_t i = 0; i < v.n_merges; i++)
        FUZZ_CHECK(v.merges[i].left < v.n_tokens && v.merges[i].right < v.n_tokens);
    FUZZ_CHECK(strlen(v.pretokenizer) < 16 && strlen(v.chat_template) <= f->map.size);
}

static bool check_reader(const char *path)
{
    el_gguf file;
    edgellm_error err = {0};
    memset(&file, 0, sizeof file);
    if (!fuzz_status(el_gguf_open(&file, path, &err), &err)) {
        FUZZ_CHECK(file.map.data == NULL && file.tensors == NULL);
        return false;
    }
    check_structure(&file);
    check_config(&file);
    check_vocab(&file);
    el_gguf_close(&file);
    return true;
}

/* ---- the quantiser --------------------------------------------------------------------- */

static el_quantize_options choose_options(uint8_t pick)
{
    static const unsigned all_bits[] = {0, 2, 3, 4, 8, 1, EL_ROUND_TERNARY, 8};
    static const uint32_t groups[] = {32, 64, 128, 0};
    const unsigned bits = all_bits[pick & 7];
    const bool can_offset = bits == 0 || el_round_codec(bits, true) != EL_CODEC_F32;
    return (el_quantize_options){.bits = bits,
                                 .group = groups[pick >> 3 & 3],
                                 .embedding_group = groups[pick >> 4 & 3],
                                 .embedding_bits = pick & 128 ? 8 : 0,
                                 .offset = can_offset && (pick >> 5 & 1),
                                 .i2s = (el_i2s)(pick >> 3 & 3),
                                 .scales = pick & 64 ? EL_SCALE_BYTE : EL_SCALE_F16};
}

/* The last thing that `edgellm quantize` asks: can it be run? What runs is for fuzz_tm2. */
static void check_engine(const char *path)
{
    edgellm_engine *engine = NULL;
    edgellm_error err = {0};
    bool opened = fuzz_status(edgellm_engine_open(path, NULL, &engine, &err), &err);
    FUZZ_CHECK(opened == (engine != NULL));
    edgellm_engine_close(engine);
}

/* What the quantiser writes can be opened; what it refuses leaves nothing behind. */
static void check_quantize(const char *source, const char *folder, uint8_t pick)
{
    char target[FUZZ_FOLDER_BYTES + 16];
    el_quantize_options options = choose_options(pick);
    el_quantize_result result = {0};
    edgellm_error err = {0};
    snprintf(target, sizeof target, "%s/out.tm2.bin", folder);
    if (!fuzz_status(el_quantize(source, target, &options, &result, &err), &err)) {
        FUZZ_CHECK(fuzz_folder_is_empty(folder));
        return;
    }
    el_tm2 file;
    FUZZ_CHECK(fuzz_status(el_tm2_open(&file, target, true, &err), &err));
    FUZZ_CHECK(file.map.size == result.file_bytes && file.n_tensors == result.tensors);
    FUZZ_CHECK(file.parameters == result.parameters);
    el_tm2_close(&file);
    check_engine(target);
    FUZZ_CHECK(unlink(target) == 0 && fuzz_folder_is_empty(folder));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_file file = fuzz_file_open(data, size);
    if (check_reader(file.path)) {
        char folder[FUZZ_FOLDER_BYTES];
        fuzz_folder(folder);
        check_quantize(file.path, folder, data[size - 1]);
        FUZZ_CHECK(rmdir(folder) == 0);
    }
    fuzz_file_close(&file);
    return 0;
}
