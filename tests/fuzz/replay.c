/*
 * replay.c: runs a target over files, without libFuzzer: the committed corpora and findings as a
 * regression test, with any compiler.
 *
 *   replay_NAME FILE|FOLDER...     a folder: all files in it; fails if no file was found
 *
 * Each name is printed before its file is tried, so the last name is that of a file that crashes.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fuzz/fuzz.h"
#include "support/tiny_model.h"

static int replay_file(const char *path)
{
    el_bytes bytes = {0};
    printf("%s\n", path);
    fflush(stdout);
    if (!el_bytes_load(&bytes, path)) {
        fprintf(stderr, "replay: cannot read %s\n", path);
        return -1;
    }
    /* In a block of its own size, so that a sanitizer sees a read past its end. */
    uint8_t *exact = malloc(bytes.size ? bytes.size : 1);
    if (exact == NULL) return -1;
    for (size_t i = 0; i < bytes.size; i++)
        exact[i] = bytes.data[i];
    LLVMFuzzerTestOneInput(exact, bytes.size);
    free(exact);
    free(bytes.data);
    return 1;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Number of files replayed; -1: one could not be read. */
static int replay_folder(const char *folder)
{
    struct dirent **entries = NULL;
    int n = scandir(folder, &entries, is_visible, alphasort), done = 0;
    for (int i = 0; i < n; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        int result = done < 0 ? -1 : replay_file(path);
        done = result < 0 ? -1 : done + result;
        free(entries[i]);
    }
    free(entries);
    return n < 0 ? 0 : done;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        struct stat status;
        bool folder = stat(argv[i], &status) == 0 && S_ISDIR(status.st_mode);
        int done = folder ? replay_folder(argv[i]) : replay_file(argv[i]);
        if (done < 0) return 1;
        total += done;
    }
    printf("%d files replayed\n", total);
    return total > 0 ? 0 : 1;
}
