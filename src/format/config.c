#include "format/config.h"

uint32_t el_config_side(const el_config *c, el_side side)
{
    const uint32_t widths[EL_SIDES] = {[EL_SIDE_ONE] = 1,
                                       [EL_SIDE_DIM] = c->dim,
                                       [EL_SIDE_FFN] = c->ffn_dim,
                                       [EL_SIDE_QUERIES] = c->heads * c->head_dim,
                                       [EL_SIDE_KEYS] = c->kv_heads * c->head_dim,
                                       [EL_SIDE_FUSED] = (c->heads + 2 * c->kv_heads) * c->head_dim,
                                       [EL_SIDE_TWO_FFN] = 2 * c->ffn_dim,
                                       [EL_SIDE_HEAD] = c->head_dim,
                                       [EL_SIDE_VOCAB] = c->vocab};
    return widths[side];
}
