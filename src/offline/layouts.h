/*
 * layouts.h: which layout tensors of I2_S have is found by trying: the model is made with each that
 * their shapes allow, and reads a sentence. With the wrong one the weights stand at wrong places,
 * and the sentence is no more likely than chance.
 */
#ifndef EL_OFFLINE_LAYOUTS_H
#define EL_OFFLINE_LAYOUTS_H

#include "quant/quantize.h"

typedef struct el_layouts_found {
    el_i2s layout; /* UNKNOWN: the source has no such tensors, or it was said */
    /* nats that a token of the sentence takes with each layout that was tried; 0: it was not */
    double nats[EL_I2S_LAYOUTS];
} el_layouts_found;

/* el_quantize(), which is told the layout where the options do not say it. Errors: of that, and
 * UNSUPPORTED: no layout is likelier than the others. */
edgellm_status el_layouts_quantize(const char *source, const char *target,
                                   const el_quantize_options *options, el_quantize_result *result,
                                   el_layouts_found *found, edgellm_error *err);

#endif
