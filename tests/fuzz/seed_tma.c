/* seed_tma.c: see seed_tma.h. */
#include "fuzz/seed_tma.h"

#include "format/tma.h"
#include "support/tiny_model.h"

enum { WIDTH = 32, HEAD = 16, LAYERS = 2, RANK = 3, MATRICES = LAYERS * EL_LORA_PARTS };

edgellm_status seed_tma(const char *path, unsigned set, uint32_t rank, float gain,
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
    float values[WIDTH * RANK];
    el_tma_source source = {.matrices = matrices};
    el_random random = {.state = 5};
    uint64_t bytes;
    for (int i = 0; i < WIDTH * RANK; i++)
        values[i] = 0.1f * el_random_unit(&random);
    for (uint32_t i = 0; i < MATRICES; i++) {
        const el_lora_part part = (el_lora_part)(i % EL_LORA_PARTS);
        if (!(set >> part & 1)) continue;
        matrices[i] = (el_lora_matrix){.a = values, .b = values, .rank = rank, .gain = gain};
        el_lora_shape(&config, part, &matrices[i].rows, &matrices[i].cols);
        source.n++;
    }
    return el_tma_write(path, &config, &source, &bytes, err);
}
