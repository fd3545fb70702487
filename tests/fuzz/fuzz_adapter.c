/*
 * fuzz_adapter.c: any bytes as a LoRA adapter of others' for a small model, and on to what
 * `edgellm quantize --lora` makes of it. The input: GGUF's magic and the rest of such a file; or a
 * folder of PEFT's: what is added to the length that the header of the safetensors file says it
 * has, adapter_config.json up to a NUL, that header up to a NUL, weights.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "folder/folder_adapter.h"
#include "format/tma.h"
#include "fuzz/session_model.h"
#include "fuzz/written_folder.h"
#include "quant/adapter.h"

/* What was made can be opened, and is what was said. */
static void check_made(const fuzz_base *b, const char *target, const el_adapter_made *made)
{
    el_lora lora;
    uint32_t matrices = 0, layers = 0;
    edgellm_error err = {0};
    FUZZ_CHECK(fuzz_status(el_tma_open(&lora, target, &b->config, &err), &err));
    for (uint32_t i = 0; i < b->config.layers; i++) {
        const uint32_t before = matrices;
        for (uint32_t part = 0; part < EL_LORA_PARTS; part++)
            matrices += lora.matrices[i * EL_LORA_PARTS + part].rank > 0;
        layers += matrices > before;
    }
    FUZZ_CHECK(matrices == made->matrices && layers == made->layers);
    FUZZ_CHECK(lora.rank == made->rank && lora.map.size == made->bytes);
    el_tma_close(&lora);
}

/* What is refused leaves nothing behind, and is refused so again. */
static void check_adapter(const fuzz_base *b, const char *source)
{
    char place[FUZZ_FOLDER_BYTES], target[FUZZ_PATH_BYTES];
    el_adapter_made made, again;
    edgellm_error err = {0}, err_again = {0};
    fuzz_folder(place);
    snprintf(target, sizeof target, "%s/made", place);
    const edgellm_status status =
        el_adapter_make(source, el_folder_adapter_open, b->model.path, target, &made, &err);
    if (fuzz_status(status, &err)) {
        check_made(b, target, &made);
        FUZZ_CHECK(unlink(target) == 0);
    } else {
        FUZZ_CHECK(fuzz_folder_is_empty(place));
        FUZZ_CHECK(el_adapter_make(source, el_folder_adapter_open, b->model.path, target, &again,
                                   &err_again) == status);
        FUZZ_CHECK(memcmp(&err, &err_again, sizeof err) == 0);
    }
    FUZZ_CHECK(rmdir(place) == 0);
}

static void check_folder(const fuzz_base *b, fuzz_input in)
{
    char folder[FUZZ_FOLDER_BYTES];
    const uint8_t more = fuzz_byte(&in);
    fuzz_folder(folder);
    fuzz_write_text(folder, "adapter_config.json", &in);
    fuzz_write_safetensors(folder, "adapter_model.safetensors", more, &in);
    check_adapter(b, folder);
    fuzz_remove_folder(folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const fuzz_base *b = fuzz_session_base();
    if (size < 4 || memcmp(data, "GGUF", 4) != 0) {
        check_folder(b, (fuzz_input){data, size});
        return 0;
    }
    fuzz_file file = fuzz_file_open(data, size);
    check_adapter(b, file.path);
    fuzz_file_close(&file);
    return 0;
}
