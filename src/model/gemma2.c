#include "model/gemma2.h"

#include "model/decoder.h"

const el_architecture el_gemma2 = {.name = "gemma2",
                                   .load = el_decoder_load,
                                   .has = el_decoder_has,
                                   .layers = el_decoder_layers,
                                   .extra = EL_DECODER_POST_NORMS,
                                   .gate = EL_GATE_GELU,
                                   .scales_embedding = true};
