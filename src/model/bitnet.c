#include "model/bitnet.h"

#include "model/decoder.h"

const el_architecture el_bitnet = {.name = "bitnet",
                                   .load = el_decoder_load,
                                   .has = el_decoder_has,
                                   .layers = el_decoder_layers,
                                   .extra = EL_DECODER_SUB_NORMS};

const el_architecture el_bitnet_b158 = {.name = "bitnet-b1.58",
                                        .load = el_decoder_load,
                                        .has = el_decoder_has,
                                        .layers = el_decoder_layers,
                                        .extra = EL_DECODER_SUB_NORMS,
                                        .gate = EL_GATE_RELU2};
