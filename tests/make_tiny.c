/*
 * make_tiny.c: writes the tiny model of support/tiny_model.h for tests that run the program.
 *
 *   make_tiny OUT.gguf [MATRIX_TYPE]      the default types, or f32 in all matrices
 */
#include <stdio.h>
#include <string.h>

#include "format/ggml_types.h"
#include "support/tiny_model.h"

int main(int argc, char **argv)
{
    el_tiny_spec spec = el_tiny_defaults();
    if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "f32") != 0)) {
        fprintf(stderr, "usage: make_tiny OUT.gguf [f32]\n");
        return 2;
    }
    if (argc == 3) spec.matrix_type = spec.embedding_type = EL_GGML_F32;
    if (el_tiny_write(&spec, argv[1])) return 0;
    fprintf(stderr, "make_tiny: cannot write %s\n", argv[1]);
    return 1;
}
