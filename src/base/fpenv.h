/*
 * fpenv.h: the floating-point environment of the numeric contract: round to nearest even,
 * subnormals kept. Each public entry and each worker thread brackets its work with
 * enter and leave, so a host that set flush-to-zero neither changes our bits nor notices us.
 */
#ifndef EL_BASE_FPENV_H
#define EL_BASE_FPENV_H

#include <stdint.h>

typedef struct el_fpenv {
    uint64_t saved;
} el_fpenv;

el_fpenv el_fpenv_enter(void);
void el_fpenv_leave(el_fpenv env);

#endif
