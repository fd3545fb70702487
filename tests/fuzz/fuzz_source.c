/*
 * fuzz_source.c: any bytes as the model that calibration and distillation read as floats. The
 * input: a GGUF file, with its magic; or a folder as fuzz_folder.c has it.
 */
#include <stdlib.h>
#include <string.h>

#include "folder/folder.h"
#include "fuzz/written_folder.h"
#include "train/source.h"

/* All floats of the tensor, unless one is not finite. */
static void check_tensor(const el_gguf_tensor *t)
{
    float *row = fuzz_room(t->cols * sizeof *row);
    edgellm_error err = {0};
    for (uint32_t i = 0; i < t->rows; i++) {
        const edgellm_status status = el_source_load_row(t, i, row, &err);
        FUZZ_CHECK(status == EDGELLM_OK || status == EDGELLM_ERR_FORMAT);
        if (!fuzz_status(status, &err)) break;
        for (uint32_t k = 0; k < t->cols; k++)
            FUZZ_CHECK(__builtin_isfinite(row[k]));
    }
    free(row);
}

static void check_layer(const el_source *s, uint32_t layer)
{
    el_layer_weights w = {0};
    for (int part = 0; part < EL_PARTS; part++)
        check_tensor(el_source_part(s, layer, part));
    for (int norm = 0; norm < EL_NORMS; norm++)
        check_tensor(el_source_norm(s, layer, norm));
    el_source_fixed(s, layer, &w);
    for (int i = 0; i < EL_FIXED; i++) {
        FUZZ_CHECK(el_source_has_fixed(s, i) == (w.fixed[i] != NULL));
        for (uint32_t k = 0; w.fixed[i] && k < el_source_fixed_cols(s, i); k++)
            FUZZ_CHECK(__builtin_isfinite(w.fixed[i][k]));
    }
}

static void check_tables(const el_source *s)
{
    float *row = fuzz_room(s->config.dim * sizeof *row);
    check_tensor(s->embedding);
    check_tensor(s->output_norm);
    if (s->head != s->embedding) check_tensor(s->head);
    el_source_embed(s, s->config.vocab - 1, row);
    FUZZ_CHECK(el_source_pieces(s) <= EL_TABLE_PARTS);
    FUZZ_CHECK(s->vocab.n_tokens == s->config.vocab);
    for (int i = 0; i < EL_FACTORS; i++)
        for (uint32_t k = 0; s->factors[i] && k < s->config.rotary_dim / 2; k++)
            FUZZ_CHECK(s->factors[i][k] >= 1.0f);
    free(row);
}

static void check(const char *path)
{
    el_source source, again;
    edgellm_error err = {0}, err_again = {0};
    const edgellm_status status = el_source_open_by(&source, path, el_folder_open, &err);
    if (!fuzz_status(status, &err)) {
        FUZZ_CHECK(source.fixed == NULL);
        FUZZ_CHECK(el_source_open_by(&again, path, el_folder_open, &err_again) == status);
        FUZZ_CHECK(memcmp(&err, &err_again, sizeof err) == 0);
        return;
    }
    check_tables(&source);
    for (uint32_t i = 0; i < source.config.layers; i++)
        check_layer(&source, i);
    FUZZ_CHECK(el_source_fixed_count(&source) <= source.config.layers * EL_FIXED + EL_FACTORS);
    el_source_close(&source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 4 && memcmp(data, "GGUF", 4) == 0) {
        fuzz_file file = fuzz_file_open(data, size);
        check(file.path);
        fuzz_file_close(&file);
        return 0;
    }
    char folder[FUZZ_FOLDER_BYTES];
    fuzz_input in = {data, size};
    const uint8_t more = fuzz_byte(&in);
    (void)fuzz_byte(&in); /* the options of fuzz_folder.c */
    fuzz_folder(folder);
    fuzz_write_model(folder, more, &in);
    check(folder);
    fuzz_remove_folder(folder);
    return 0;
}
