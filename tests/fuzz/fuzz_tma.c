/*
 * fuzz_tma.c: any bytes as an adapter (docs/ADAPTERS.md) of a small model. What is not refused is
 * written again to the same bytes, and computes the same bits with every kernel; the engine refuses
 * what the reader refuses.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/tma.h"
#include "fuzz/session_model.h"

enum { TOKENS = 3, CONTEXT = 8 };

static const uint32_t tokens[TOKENS] = {40, 41, 5};

/* ---- the reader ------------------------------------------------------------------------ */

static void check_inside(const el_lora *lora, const float *floats, size_t n)
{
    const uint8_t *at = (const uint8_t *)floats;
    FUZZ_CHECK(at > lora->map.data && (size_t)(at - lora->map.data) % 64 == 0);
    FUZZ_CHECK(n * sizeof(float) <= lora->map.size - (size_t)(at - lora->map.data));
    for (size_t i = 0; i < n; i++)
        FUZZ_CHECK(__builtin_isfinite(floats[i]));
}

/* B as it is to be written: plain rows, out of tiles of 16; allocated. */
static float *plain_rows(const el_lora_matrix *m)
{
    float *rows = fuzz_room((size_t)m->rows * m->rank * sizeof *rows);
    for (uint32_t r = 0; r < m->rows; r++)
        for (uint32_t j = 0; j < m->rank; j++)
            rows[(size_t)r * m->rank + j] = m->b[((size_t)(r / 16) * m->rank + j) * 16 + r % 16];
    return rows;
}

/* Rows of padding, of which there are none where rows are a multiple of 16, as all here are. */
static void check_written(const el_lora *lora, const el_config *c, el_lora_matrix *plain,
                          uint32_t n)
{
    char folder[FUZZ_FOLDER_BYTES], path[FUZZ_FOLDER_BYTES + 16];
    edgellm_error err = {0};
    el_bytes again = {0};
    uint64_t bytes = 0;
    const el_tma_source source = {plain, n};
    fuzz_folder(folder);
    snprintf(path, sizeof path, "%s/adapter", folder);
    FUZZ_CHECK(el_tma_write(path, c, &source, &bytes, &err) == EDGELLM_OK);
    FUZZ_CHECK(el_bytes_load(&again, path) && again.size == bytes && bytes == lora->map.size);
    FUZZ_CHECK(memcmp(again.data, lora->map.data, again.size) == 0);
    FUZZ_CHECK(unlink(path) == 0 && rmdir(folder) == 0);
    free(again.data);
}

static void check_matrices(const el_lora *lora, const el_config *c)
{
    const uint32_t all = c->layers * EL_LORA_PARTS;
    el_lora_matrix *plain = fuzz_room(all * sizeof *plain);
    uint32_t n = 0, most = 0;
    for (uint32_t i = 0; i < all; i++) {
        const el_lora_matrix *m = &lora->matrices[i];
        plain[i] = *m;
        if (m->rank == 0) continue;
        FUZZ_CHECK(m->rank <= EL_LORA_RANK_MAX && m->rows % 16 == 0 && __builtin_isfinite(m->gain));
        check_inside(lora, m->a, (size_t)m->rank * m->cols);
        check_inside(lora, m->b, (size_t)m->rows * m->rank);
        plain[i].b = plain_rows(m);
        most = m->rank > most ? m->rank : most;
        n++;
    }
    FUZZ_CHECK(n > 0 && most == lora->rank);
    check_written(lora, c, plain, n);
    for (uint32_t i = 0; i < all; i++)
        if (plain[i].rank > 0) free((void *)(uintptr_t)plain[i].b);
    free(plain);
}

static edgellm_status check_reader(const fuzz_base *b, const char *path)
{
    el_lora lora;
    edgellm_error err = {0};
    memset(&lora, 0, sizeof lora);
    const edgellm_status status = el_tma_open(&lora, path, &b->config, &err);
    if (!fuzz_status(status, &err)) {
        FUZZ_CHECK(lora.map.data == NULL && lora.matrices == NULL);
        return status;
    }
    check_matrices(&lora, &b->config);
    el_tma_close(&lora);
    return status;
}

/* ---- the engine ------------------------------------------------------------------------ */

typedef struct outcome {
    edgellm_status opened, computed;
    uint64_t hash;
} outcome;

/* Weights that were made up may well overflow the logits: then that is said. */
static void compute(const fuzz_base *b, const edgellm_engine *engine, outcome *o)
{
    const edgellm_session_options options = {.context = CONTEXT, .batch = 2, .threads = 1};
    edgellm_session *s = NULL;
    edgellm_error err = {0};
    FUZZ_CHECK(edgellm_session_open(engine, &options, &s, &err) == EDGELLM_OK);
    o->computed = edgellm_session_eval(s, tokens, TOKENS, NULL, &err);
    if (fuzz_status(o->computed, &err))
        o->hash =
            edgellm_hash_logits(EDGELLM_HASH_START, edgellm_session_logits(s), b->config.vocab);
    edgellm_session_close(s);
}

static outcome run(const fuzz_base *b, const char *path, const char *kernel)
{
    const edgellm_adapter adapter = {path, 0.5f};
    const edgellm_engine_options options = {
        .kernel = kernel, .adapters = &adapter, .n_adapters = 1};
    edgellm_engine *engine = NULL;
    edgellm_error err = {0};
    outcome o = {.opened = edgellm_engine_open(b->model.path, &options, &engine, &err)};
    if (fuzz_status(o.opened, &err)) compute(b, engine, &o);
    edgellm_engine_close(engine);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const fuzz_base *b = fuzz_session_base();
    fuzz_file file = fuzz_file_open(data, size);
    const edgellm_status status = check_reader(b, file.path);
    const outcome fast = run(b, file.path, NULL);
    FUZZ_CHECK(fast.opened == status);
    if (status == EDGELLM_OK) {
        const outcome scalar = run(b, file.path, "scalar");
        FUZZ_CHECK(fast.computed == scalar.computed && fast.hash == scalar.hash);
    }
    fuzz_file_close(&file);
    return 0;
}
