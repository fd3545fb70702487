#include "cli/pull_split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS = 5, ENDING = sizeof "-00001-of-00003.gguf" - 1 };

static bool read_number(const char *text, unsigned *number)
{
    *number = 0;
    for (int i = 0; i < DIGITS; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        *number = *number * 10 + (unsigned)(text[i] - '0');
    }
    return true;
}

bool el_pull_split_read(const char *name, el_pull_split *split)
{
    const size_t len = strlen(name);
    if (len <= ENDING) return false;
    const char *at = name + len - ENDING;
    split->stem = len - ENDING;
    return at[0] == '-' && read_number(at + 1, &split->number) &&
           strncmp(at + 1 + DIGITS, "-of-", 4) == 0 &&
           read_number(at + 5 + DIGITS, &split->count) && strcmp(at + (ENDING - 5), ".gguf") == 0 &&
           split->number >= 1 && split->number <= split->count &&
           split->count <= EL_PULL_SPLIT_MOST;
}

char *el_pull_split_name(const char *name, const el_pull_split *split, unsigned number)
{
    char *other = NULL;
    const int n =
        asprintf(&other, "%.*s-%05u-of-%05u.gguf", (int)split->stem, name, number, split->count);
    return n >= 0 ? other : NULL;
}
