/*
 * calibrate_seeds.h: how the texts begin that a model writes for its own calibration. All are
 * beginnings only, of as many kinds as a model may meet; the model goes on.
 */
#ifndef EL_OFFLINE_CALIBRATE_SEEDS_H
#define EL_OFFLINE_CALIBRATE_SEEDS_H

#include <stdint.h>

typedef struct el_seed_list {
    const char *const *texts; /* (count) */
    uint32_t count;
} el_seed_list;

extern const el_seed_list el_seeds_questions; /* whole first messages of a user */
extern const el_seed_list el_seeds_halves;    /* first words of such messages */
extern const el_seed_list el_seeds_openings;  /* first lines of documents */

#endif
