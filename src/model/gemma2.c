#include "model/gemma2.h"

#include "model/decoder.h"

static edgellm_status load(el_model *model, const el_tm2 *file, edgellm_error *err)
{
    return el_decoder_load(model, file, EL_DECODER_POST_NORMS, err);
}

const el_architecture el_gemma2 = {.name = "gemma2",
                                   .load = load,
                                   .layers = el_decoder_layers,
                                   .gate = EL_GATE_GELU,
                                   .scales_embedding = true};
