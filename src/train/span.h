/* span.h: memory that lies together: for keeping it elsewhere. */
#ifndef EL_TRAIN_SPAN_H
#define EL_TRAIN_SPAN_H

#include <stddef.h>

typedef struct el_span {
    void *data;
    size_t bytes;
} el_span;

#endif
