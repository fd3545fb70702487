/* pull_split.h: names of a model's parts: NAME-00001-of-00003.gguf. */
#ifndef EL_CLI_PULL_SPLIT_H
#define EL_CLI_PULL_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

enum { EL_PULL_SPLIT_MOST = 1000 }; /* parts of a model */

typedef struct el_pull_split {
    size_t stem;            /* bytes before "-00001-of-00003.gguf" */
    unsigned number, count; /* number: 1 to count, at most EL_PULL_SPLIT_MOST */
} el_pull_split;

/* Is the name, or path, that of a part? */
bool el_pull_split_read(const char *name, el_pull_split *split);

/* The name of another part, which is as long; to be freed. NULL: no memory. */
char *el_pull_split_name(const char *name, const el_pull_split *split, unsigned number);

#endif
