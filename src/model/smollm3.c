#include "model/smollm3.h"

#include "model/decoder.h"

const el_architecture el_smollm3 = {.name = "smollm3",
                                    .load = el_decoder_load,
                                    .has = el_decoder_has,
                                    .layers = el_decoder_layers,
                                    .unturned = 4};
