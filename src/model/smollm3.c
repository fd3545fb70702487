#include "model/smollm3.h"

#include "model/decoder.h"

static edgellm_status load(el_model *model, const el_tm2 *file, edgellm_error *err)
{
    return el_decoder_load(model, file, 0, err);
}

const el_architecture el_smollm3 = {
    .name = "smollm3", .load = load, .layers = el_decoder_layers, .unturned = 4};
