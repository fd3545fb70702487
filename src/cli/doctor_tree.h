/*
 * doctor_tree.h: the small text files under /proc and /sys, read with suspicion. They may be
 * absent, empty, enormous or garbage; then a value is EL_CLI_UNKNOWN or a text is "". Everything
 * goes through a root directory, so that a copied or made-up tree can be read like a live one.
 */
#ifndef EL_CLI_DOCTOR_TREE_H
#define EL_CLI_DOCTOR_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EL_CLI_UNKNOWN   INT64_MIN
#define EL_CLI_UNLIMITED INT64_MAX

typedef struct el_cli_tree {
    const char *root;      /* "" is this system */
    char text[1024 * 256]; /* of the last file read; what is longer is cut */
} el_cli_tree;

/* The text of the file root/PATH, valid until the next call; NULL unless it is a regular file. */
const char *el_cli_tree_read(el_cli_tree *tree, const char *path_format, ...)
    __attribute__((format(printf, 2, 3)));

/* The number that a file begins with; or its first line, as el_cli_copy_line() gives it. */
int64_t el_cli_tree_number(el_cli_tree *tree, const char *path_format, ...)
    __attribute__((format(printf, 2, 3)));
bool el_cli_tree_line(el_cli_tree *tree, char *line, size_t size, const char *path_format, ...)
    __attribute__((format(printf, 4, 5)));

/* Is there anything at root/PATH? */
bool el_cli_tree_has(const el_cli_tree *tree, const char *path_format, ...)
    __attribute__((format(printf, 2, 3)));

/* Decimal with optional blanks and sign before it; what follows does not matter. Saturates. */
int64_t el_cli_number(const char *text);

/* What follows LABEL, blanks, colon or = in the line that begins so; NULL if there is none. */
const char *el_cli_after(const char *text, const char *label);

/* The next line; NULL after the last. The next word of a line; its end after the last. */
const char *el_cli_next_line(const char *text);
const char *el_cli_next_word(const char *text);

/* Copies up to the end of the line: trimmed, cut to fit, a tab as a blank, and anything
 * else that is not printable ASCII as '?'. */
void el_cli_copy_line(char *line, size_t size, const char *text);

/* Appends a word, with a separator if there is something before it; what does not fit is lost. */
void el_cli_append(char *list, size_t size, const char *separator, const char *word);

/* Is WORD one of the words of LIST, which blanks separate? */
bool el_cli_has_word(const char *list, const char *word);

#endif
