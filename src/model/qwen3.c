#include "model/qwen3.h"

#include "model/decoder.h"

const el_architecture el_qwen3 = {.name = "qwen3",
                                  .load = el_decoder_load,
                                  .has = el_decoder_has,
                                  .layers = el_decoder_layers,
                                  .extra = EL_DECODER_NORMS};
