/*
 * make_tiny.c: writes the tiny model of support/tiny_model.h for tests that run the program.
 *
 *   make_tiny OUT.gguf [KIND]      the default, or one of:
 *     f32      all matrices in f32
 *     long     a context of 100000
 *     llama3   likewise, with Llama 3's chat template
 *     narrow   a third of the weights, for what is done hundreds of times
 *     other    as narrow, with other weights, a smaller vocabulary, and a context of 100000
 *     bos      texts begin with a token
 *     layers   two layers of SmolLM2-135M's shape: attention has its usual share of the work
 */
#include <stdio.h>
#include <string.h>

#include "format/ggml_types.h"
#include "support/tiny_model.h"

static void make_f32(el_tiny_spec *spec)
{
    spec->matrix_type = spec->embedding_type = EL_GGML_F32;
}

static void make_long(el_tiny_spec *spec)
{
    spec->context = 100000;
}

static void make_llama3(el_tiny_spec *spec)
{
    make_long(spec);
    spec->llama3 = true;
}

static void make_narrow(el_tiny_spec *spec)
{
    spec->dim = 32;
    spec->ffn_dim = 64;
    spec->heads = 2;
    spec->kv_heads = 1;
}

static void make_other(el_tiny_spec *spec)
{
    make_narrow(spec);
    make_long(spec);
    spec->left_out = 20;
    spec->seed++;
}

static void make_bos(el_tiny_spec *spec)
{
    spec->add_bos = true;
}

static void make_layers(el_tiny_spec *spec)
{
    spec->dim = 576;
    spec->ffn_dim = 1536;
    spec->heads = 9;
    spec->kv_heads = 3;
}

static const struct {
    const char *name;
    void (*make)(el_tiny_spec *spec);
} kinds[] = {{"f32", make_f32},       {"long", make_long},   {"llama3", make_llama3},
             {"narrow", make_narrow}, {"other", make_other}, {"bos", make_bos},
             {"layers", make_layers}};

enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

int main(int argc, char **argv)
{
    el_tiny_spec spec = el_tiny_defaults();
    int kind = 0;
    while (argc == 3 && kind < N_KINDS && strcmp(kinds[kind].name, argv[2]) != 0)
        kind++;
    if (argc < 2 || argc > 3 || kind == N_KINDS) {
        fprintf(
            stderr,
            "usage: make_tiny OUT.gguf [f32 | long | llama3 | narrow | other | bos | layers]\n");
        return 2;
    }
    if (argc == 3) kinds[kind].make(&spec);
    if (el_tiny_write(&spec, argv[1])) return 0;
    fprintf(stderr, "make_tiny: cannot write %s\n", argv[1]);
    return 1;
}
