/*
 * float_distance: how far src/train's float32 arithmetic is from the engine's exact mode, on a real
 * model (tests/real_model.py). Not a test by itself.
 *
 *   float_distance SOURCE.gguf MODEL.tm2.bin TEXT LENGTH CHUNKS
 *
 * MODEL holds the weights of SOURCE as they are. The text's first LENGTH * CHUNKS tokens are cut
 * into sequences; printed is {"positions": N, "mean_kl": x, "largest_kl": x}, in nats.
 */
#include <stdio.h>
#include <stdlib.h>

#include "support/float_model.h"
#include "support/tiny_model.h"

typedef struct arguments {
    const char *source, *model, *text;
    uint32_t length, chunks;
} arguments;

/* The first length * chunks tokens of the text; free() them, also after an error. */
static edgellm_status read_tokens(const edgellm_engine *engine, const arguments *a,
                                  uint32_t **tokens, edgellm_error *err)
{
    el_bytes text;
    size_t wanted = (size_t)a->length * a->chunks, count = 0;
    *tokens = calloc(wanted, sizeof **tokens);
    if (!*tokens) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory: %zu tokens", wanted);
    if (!el_bytes_load(&text, a->text))
        return el_fail(err, EDGELLM_ERR_IO, "cannot read '%s'", a->text);
    edgellm_status status = edgellm_tokenize(engine, (const char *)text.data, text.size,
                                             EDGELLM_TOKENIZE_PLAIN, *tokens, wanted, &count, err);
    free(text.data);
    if (status == EDGELLM_OK && count < wanted) {
        return el_fail(err, EDGELLM_ERR_USAGE, "'%s' has %zu tokens, not %zu", a->text, count,
                       wanted);
    }
    return status;
}

static edgellm_status measure(const edgellm_engine *engine, const float_model *model,
                              const arguments *a, edgellm_error *err)
{
    uint32_t *tokens = NULL;
    float_distance d = {0};
    edgellm_status status = read_tokens(engine, a, &tokens, err);
    for (uint32_t i = 0; i < a->chunks && status == EDGELLM_OK; i++)
        status = float_model_compare(model, engine, tokens + (size_t)i * a->length, &d, err);
    if (status == EDGELLM_OK)
        printf("{\"positions\": %u, \"mean_kl\": %.6g, \"largest_kl\": %.6g}\n", d.positions,
               d.sum / d.positions, d.largest);
    free(tokens);
    return status;
}

static edgellm_status with_source(const edgellm_engine *engine, const arguments *a,
                                  edgellm_error *err)
{
    el_source source;
    float_model model;
    EL_TRY(el_source_open(&source, a->source, err));
    edgellm_status status = float_model_open(&model, &source, a->length, err);
    if (status == EDGELLM_OK) status = measure(engine, &model, a, err);
    float_model_close(&model);
    el_source_close(&source);
    return status;
}

int main(int argc, char **argv)
{
    edgellm_error err = {0};
    edgellm_engine *engine;
    if (argc != 6) {
        fprintf(stderr, "usage: float_distance SOURCE.gguf MODEL.tm2.bin TEXT LENGTH CHUNKS\n");
        return EDGELLM_ERR_USAGE;
    }
    const arguments a = {argv[1], argv[2], argv[3], (uint32_t)strtoul(argv[4], NULL, 10),
                         (uint32_t)strtoul(argv[5], NULL, 10)};
    edgellm_status status = edgellm_engine_open(a.model, NULL, &engine, &err);
    if (status == EDGELLM_OK) {
        status = with_source(engine, &a, &err);
        edgellm_engine_close(engine);
    }
    if (status != EDGELLM_OK) fprintf(stderr, "float_distance: %s\n", err.message);
    return (int)status;
}
