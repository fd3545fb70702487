#include "model/qwen2.h"

#include "model/decoder.h"

static edgellm_status load(el_model *model, const el_tm2 *file, edgellm_error *err)
{
    return el_decoder_load(model, file, EL_DECODER_BIASES, err);
}

const el_architecture el_qwen2 = {.name = "qwen2", .load = load, .layers = el_decoder_layers};
