#include "model/llama.h"

#include "model/decoder.h"

const el_architecture el_llama = {
    .name = "llama", .load = el_decoder_load, .has = el_decoder_has, .layers = el_decoder_layers};
