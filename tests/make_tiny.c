/*
 * make_tiny.c: writes the tiny model of support/tiny_model.h for tests that run the program.
 *
 *   make_tiny OUT.gguf [f32 | long]      the default; f32 in all matrices; a context of 100000
 */
#include <stdio.h>
#include <string.h>

#include "format/ggml_types.h"
#include "support/tiny_model.h"

int main(int argc, char **argv)
{
    el_tiny_spec spec = el_tiny_defaults();
    const char *kind = argc == 3 ? argv[2] : "";
    bool f32 = strcmp(kind, "f32") == 0, is_long = strcmp(kind, "long") == 0;
    if (argc < 2 || argc > 3 || (argc == 3 && !f32 && !is_long)) {
        fprintf(stderr, "usage: make_tiny OUT.gguf [f32 | long]\n");
        return 2;
    }
    if (f32) spec.matrix_type = spec.embedding_type = EL_GGML_F32;
    if (is_long) spec.context = 100000;
    if (el_tiny_write(&spec, argv[1])) return 0;
    fprintf(stderr, "make_tiny: cannot write %s\n", argv[1]);
    return 1;
}
