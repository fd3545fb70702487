#include "model/gemma3.h"

#include "model/decoder.h"

static edgellm_status load(el_model *model, const el_tm2 *file, edgellm_error *err)
{
    return el_decoder_load(model, file, EL_DECODER_NORMS | EL_DECODER_POST_NORMS, err);
}

const el_architecture el_gemma3 = {.name = "gemma3",
                                   .load = load,
                                   .layers = el_decoder_layers,
                                   .gate = EL_GATE_GELU,
                                   .scales_embedding = true};
