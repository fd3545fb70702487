#include "model/qwen2.h"

#include "model/decoder.h"

const el_architecture el_qwen2 = {.name = "qwen2",
                                  .load = el_decoder_load,
                                  .has = el_decoder_has,
                                  .layers = el_decoder_layers,
                                  .extra = EL_DECODER_BIASES};
