/* seed_tma.c: see seed_tma.h. */
#include "fuzz/seed_tma.h"

#include <stdio.h>

#include "base/error.h"
#include "format/tma.h"
#include "support/tiny_model.h"

enum { WIDTH = 32, HEAD = 16, LAYERS = 2, RANK = 3, MATRICES = LAYERS * EL_LORA_PARTS };

static const struct {
    const char *name;
    unsigned set; /* of the matrices (el_lora_part) of each layer, a bit each */
    uint32_t rank;
    float gain;
} seeds[] = {{"all", 0x7f, 1, 2},
             {"attention", 0x0f, 2, 0.5f},
             {"down", 1u << EL_LORA_DOWN, RANK, -1},
             {"keys", 1u << EL_LORA_K, 1, 0}};

static edgellm_status write_one(const char *path, size_t seed, const float *values,
                                edgellm_error *err)
{
    const el_config config = {.architecture = "llama",
                              .layers = LAYERS,
                              .dim = WIDTH,
                              .ffn_dim = WIDTH,
                              .heads = 2,
                              .kv_heads = 1,
                              .head_dim = HEAD};
    el_lora_matrix matrices[MATRICES] = {{0}};
    el_tma_source source = {.matrices = matrices};
    uint64_t bytes;
    for (uint32_t i = 0; i < MATRICES; i++) {
        const el_lora_part part = (el_lora_part)(i % EL_LORA_PARTS);
        el_lora_matrix *m = &matrices[i];
        if (!(seeds[seed].set >> part & 1)) continue;
        *m = (el_lora_matrix){
            .a = values, .b = values, .rank = seeds[seed].rank, .gain = seeds[seed].gain};
        el_lora_shape(&config, part, &m->rows, &m->cols);
        source.n++;
    }
    return el_tma_write(path, &config, &source, &bytes, err);
}

edgellm_status seed_tmas(const char *folder, edgellm_error *err)
{
    float values[WIDTH * RANK];
    el_random random = {.state = 5};
    for (int i = 0; i < WIDTH * RANK; i++)
        values[i] = 0.1f * el_random_unit(&random);
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        char path[4200];
        snprintf(path, sizeof path, "%s/tma/%s", folder, seeds[i].name);
        EL_TRY(write_one(path, i, values, err));
    }
    return EDGELLM_OK;
}
