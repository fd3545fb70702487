/*
 * systext.h: small files in which the kernel states something: a number, a list, a line. Places are
 * arguments, so that a test can lay out a machine of its own. Nothing is allocated.
 */
#ifndef EL_BASE_SYSTEXT_H
#define EL_BASE_SYSTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads the file at the path that is formatted (shorter than PATH_MAX) into text, NUL-terminated,
 * as much of it as there is room for; false if there is none or it is empty. */
bool el_systext_read(char *text, size_t room, const char *path_format, ...)
    __attribute__((format(printf, 3, 4)));

/* A decimal number at *text, which is moved past it and one space; 0 if there is none. What is too
 * large gives a large number. */
uint64_t el_systext_number(const char **text);

/* The number that the file begins with; `missing` if there is none, or a minus sign before it. */
uint64_t el_systext_value(uint64_t missing, const char *path_format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
