#include "model/bitnet.h"

#include "model/decoder.h"

static edgellm_status load(el_model *model, const el_tm2 *file, edgellm_error *err)
{
    return el_decoder_load(model, file, EL_DECODER_SUB_NORMS, err);
}

const el_architecture el_bitnet = {.name = "bitnet", .load = load, .layers = el_decoder_layers};

const el_architecture el_bitnet_b158 = {
    .name = "bitnet-b1.58", .load = load, .layers = el_decoder_layers, .gate = EL_GATE_RELU2};
