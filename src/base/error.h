/*
 * error.h: one line of text for every failure. A function that can fail returns a status and
 * describes the failure with el_fail(); callers pass both on with EL_TRY. Only main() exits.
 */
#ifndef EL_BASE_ERROR_H
#define EL_BASE_ERROR_H

#include "edgellm.h"

/* Writes the message (line ends and control bytes become '?') and returns `status`. */
edgellm_status el_fail(edgellm_error *err, edgellm_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#ifdef __clang_analyzer__ /* it reads one file at a time: tell it that a failure is never OK */
static inline edgellm_status el_failure(edgellm_status returned, edgellm_status status)
{
    (void)returned;
    return status;
}
#define el_fail(err, status, ...) el_failure(el_fail(err, status, __VA_ARGS__), status)
#endif

#define EL_TRY(call)                                                                               \
    do {                                                                                           \
        edgellm_status el_status_ = (call);                                                        \
        if (el_status_ != EDGELLM_OK) return el_status_;                                           \
    } while (0)

#endif
