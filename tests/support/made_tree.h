/* made_tree.h: files of a made-up /proc and /sys, for what reads them below a root. */
#ifndef EL_TEST_MADE_TREE_H
#define EL_TEST_MADE_TREE_H

#include <sys/stat.h>

#include "support/test_help.h"

/* Writes ROOT/PATH, with its folders. */
static inline void put_in_tree(const char *root, const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s/%s", root, path);
    for (char *slash = strchr(whole + strlen(root), '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0755);
        *slash = '/';
    }
    put_file(whole, text);
}

#endif
