/*
 * kernel_choice.h: which level of kernels is the fastest on this processor. The newest instructions
 * usually are, but not on every core, so they are timed once, in some milliseconds, and the outcome
 * is kept in a small file for the next start.
 */
#ifndef EL_ENGINE_KERNEL_CHOICE_H
#define EL_ENGINE_KERNEL_CHOICE_H

#include "base/error.h"
#include "kernel/kernels.h"

/* How a level was chosen; the names of edgellm_model_info.kernel_choice. */
typedef enum el_choice_how {
    EL_CHOICE_NEWEST,     /* of those that may be used */
    EL_CHOICE_GIVEN,      /* by name */
    EL_CHOICE_MEASURED,   /* just now */
    EL_CHOICE_REMEMBERED, /* from an earlier start */
    EL_CHOICE_WAYS
} el_choice_how;

extern const char *const el_choice_names[EL_CHOICE_WAYS]; /* "newest", "given", ... */

/*
 * Fills the table with the fastest level up to `highest`. `folder`: where the outcome is kept, one
 * file for each processor and build; it is made if it is missing. A folder or file that cannot be
 * made, read or written is no error: then levels are timed at every start.
 */
el_choice_how el_kernels_choose(el_kernels *kernels, el_cpu_level highest, const char *folder);

/*
 * Nanoseconds that each level takes for the same products of matrices and one vector, as in
 * decoding: the least of several rounds that take turns. 0: a level above `highest`, or that this
 * CPU lacks. Errors: MEMORY.
 */
edgellm_status el_kernels_time(el_cpu_level highest, uint64_t nanoseconds[EL_CPU_LEVELS],
                               edgellm_error *err);

#endif
