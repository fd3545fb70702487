/*
 * fuzz_folder.c: any texts as the files of a Hugging Face folder, and on to what `edgellm quantize`
 * does with it. The input: what is added to the length that the header of the safetensors file says
 * it has, and the options; then the files (written_folder.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "folder/folder.h"
#include "format/planes.h"
#include "fuzz/written_folder.h"
#include "quant/quantize.h"

/* ---- what must hold -------------------------------------------------------------------- */

/* Its data lie in one of the files, or beside all of them. */
static void check_place(const el_gguf *f, const el_gguf_tensor *t)
{
    for (uint32_t i = 0; i < f->n_shards; i++) {
        const el_mapfile *map = &f->shards[i];
        if (t->data < map->data || t->data >= map->data + map->size) continue;
        FUZZ_CHECK(t->bytes <= map->size - (size_t)(t->data - map->data));
        return;
    }
    FUZZ_CHECK(t->rows == 1 && t->type == EL_GGML_F32);
}

/* Floats, or of a matrix of three levels packed codes. */
static uint64_t bytes_of(const el_gguf_tensor *t)
{
    const bool levels = t->type == EL_GGML_LEVELS;
    const el_ggml_type *type = el_ggml_type_of(levels ? t->levels.floats : t->type);
    if (levels && t->levels.floats == EL_GGML_LEVELS)
        return (uint64_t)el_planes_rows(t->rows) * t->cols;
    FUZZ_CHECK(type != NULL && type->block_weights == 1);
    return type ? (uint64_t)t->rows * t->cols * type->block_bytes : 0;
}

static void check_reader(el_gguf *f)
{
    el_config config;
    el_vocab v;
    edgellm_error err = {0};
    for (uint32_t i = 0; i < f->n_tensors; i++) {
        const el_gguf_tensor *t = &f->tensors[i];
        FUZZ_CHECK(t->rows > 0 && t->cols > 0 && t->bytes == bytes_of(t));
        FUZZ_CHECK(el_gguf_find(f, t->name) == t);
        check_place(f, t);
    }
    FUZZ_CHECK(fuzz_status(el_gguf_config(f, &config, &err), &err)); /* else it were not open */
    if (!fuzz_status(el_gguf_vocab(f, &v, &err), &err)) return;
    FUZZ_CHECK(v.n_tokens == config.vocab && v.starts[0] == 0);
    for (uint32_t i = 0; i < v.n_merges; i++)
        FUZZ_CHECK(v.merges[i].left < v.n_tokens && v.merges[i].right < v.n_tokens);
}

static bool check_open(const char *folder)
{
    el_gguf file, again;
    edgellm_error err = {0}, err_again = {0};
    memset(&file, 0, sizeof file);
    edgellm_status status = el_folder_open(&file, folder, &err);
    if (!fuzz_status(status, &err)) {
        FUZZ_CHECK(file.shards == NULL && file.tensors == NULL && file.blocks == NULL);
        FUZZ_CHECK(el_folder_open(&again, folder, &err_again) == status);
        FUZZ_CHECK(memcmp(&err, &err_again, sizeof err) == 0);
        return false;
    }
    check_reader(&file);
    el_gguf_close(&file);
    return true;
}

/* What the quantiser writes can be opened; what it refuses leaves nothing behind. */
static void check_quantize(const char *folder, uint8_t pick)
{
    char place[FUZZ_FOLDER_BYTES], target[FUZZ_PATH_BYTES];
    const el_quantize_options options = {
        .bits = pick & 1 ? 4 : 0, .group = 32, .embedding_group = 32, .open = el_folder_open};
    el_quantize_result result = {0};
    edgellm_error err = {0};
    fuzz_folder(place);
    snprintf(target, sizeof target, "%s/out.tm2.bin", place);
    if (fuzz_status(el_quantize(folder, target, &options, &result, &err), &err)) {
        el_tm2 file;
        FUZZ_CHECK(fuzz_status(el_tm2_open(&file, target, true, &err), &err));
        FUZZ_CHECK(file.map.size == result.file_bytes && file.n_tensors == result.tensors);
        el_tm2_close(&file);
        FUZZ_CHECK(unlink(target) == 0);
    }
    FUZZ_CHECK(rmdir(place) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char folder[FUZZ_FOLDER_BYTES];
    fuzz_input in = {data, size};
    const uint8_t more = fuzz_byte(&in), pick = fuzz_byte(&in);
    fuzz_folder(folder);
    fuzz_write_model(folder, more, &in);
    if (check_open(folder)) check_quantize(folder, pick);
    fuzz_remove_folder(folder);
    return 0;
}
