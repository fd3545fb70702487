#include "model/phi3.h"

#include "model/decoder.h"

const el_architecture el_phi3 = {
    .name = "phi3", .load = el_decoder_load, .has = el_decoder_has, .layers = el_decoder_layers};
