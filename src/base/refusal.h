/*
 * refusal.h: why the kernel gives no memory. What strerror() says sounds like a lack of memory;
 * where the process may have only so much address space (ulimit -v) that limit is named too, since
 * mapped weights count as address space, and no memory has to be freed then.
 */
#ifndef EL_BASE_REFUSAL_H
#define EL_BASE_REFUSAL_H

typedef struct el_refusal {
    char text[128];
} el_refusal;

/* error: an errno value. */
el_refusal el_refusal_of(int error);

#endif
