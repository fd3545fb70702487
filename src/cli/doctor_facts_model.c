/*
 * doctor_facts_model.c: a model file and the machine it lies on: the plan, the file system, the
 * device below and how fast it reads, and how much of the file is in memory already.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/cli_stats.h"
#include "cli/doctor_facts.h"

/* Bytes of the file in the page cache. The kernel says "all" of files that are not ours. */
static int64_t cached_bytes(int fd, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (size + page - 1) / page;
    unsigned char *present = malloc(pages);
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    int64_t bytes = EL_CLI_UNKNOWN;
    if (present != NULL && map != MAP_FAILED && mincore(map, size, present) == 0) {
        size_t found = 0;
        for (size_t i = 0; i < pages; i++)
            found += present[i] & 1;
        bytes = found == pages ? (int64_t)size : (int64_t)(found * page);
    }
    if (map != MAP_FAILED) munmap(map, size);
    free(present);
    return bytes;
}

/* The n-th word of a line, from 0 on; false: there is none, or it is too long. sscanf() would bring
 * 60 kB of the C library into the static program. */
static bool take_word(char *word, size_t size, const char *line, int n)
{
    const char *at = line + strspn(line, " ");
    for (; n > 0; n--) {
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    const size_t len = strcspn(at, " ");
    if (len == 0 || len >= size) return false;
    memcpy(word, at, len);
    word[len] = '\0';
    return true;
}

/* A line of mountinfo: id, parent, MAJOR:MINOR, ..., " - ", file system, ... */
static void file_system(el_cli_facts *facts, el_cli_tree *tree, const char *device)
{
    const char *text = el_cli_tree_read(tree, "proc/self/mountinfo");
    for (; text != NULL; text = el_cli_next_line(text)) {
        char line[2048], id[32];
        el_cli_copy_line(line, sizeof line, text);
        if (!take_word(id, sizeof id, line, 2) || strcmp(id, device) != 0) continue;
        const char *dash = strstr(line, " - ");
        const size_t room = sizeof facts->model_file_system;
        if (dash != NULL && take_word(facts->model_file_system, room, dash + 3, 0)) return;
    }
}

/* The disk of a partition is the directory above it. */
static void disk(el_cli_facts *facts, el_cli_tree *tree, const char *device)
{
    char card[32];
    bool part = el_cli_tree_read(tree, "sys/dev/block/%s/partition", device) != NULL;
    const char *up = part ? "/.." : "";
    const char *text = el_cli_tree_read(tree, "sys/dev/block/%s/uevent", device);
    const char *name = text != NULL ? el_cli_after(text, "DEVNAME") : NULL;
    if (name != NULL) el_cli_copy_line(facts->model_device, sizeof facts->model_device, name);
    facts->model_rotational =
        el_cli_tree_number(tree, "sys/dev/block/%s%s/queue/rotational", device, up);
    if (el_cli_tree_line(tree, card, sizeof card, "sys/dev/block/%s%s/device/type", device, up) &&
        (strcmp(card, "SD") == 0 || strcmp(card, "MMC") == 0))
        memcpy(facts->model_card, card, strlen(card) + 1);
}

enum { READ_BYTES = 256 * 1024, READS = 8 };

/* Seconds that reading takes at places spread over the file, past the page cache; 0 if that cannot
 * be done on its file system. *bytes: how many. */
static double timed_reads(int fd, int64_t size, void *room, int64_t *bytes)
{
    const int64_t step = size / READS / READ_BYTES * READ_BYTES;
    double begin = el_cli_now_ms();
    *bytes = 0;
    for (int i = 0; i < READS && (i == 0 || step > 0); i++) {
        ssize_t got = pread(fd, room, READ_BYTES, (off_t)(i * step));
        if (got <= 0) return 0;
        *bytes += got;
    }
    return (el_cli_now_ms() - begin) / 1000;
}

static void read_rate(el_cli_facts *facts, const char *path)
{
    void *room = NULL;
    int64_t bytes = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (fd < 0) return;
    if (posix_memalign(&room, READ_BYTES, READ_BYTES) == 0) {
        double seconds = timed_reads(fd, facts->model_bytes, room, &bytes);
        if (seconds > 0) facts->model_read_rate = (int64_t)((double)bytes / seconds);
    }
    free(room);
    close(fd);
}

static void examine_file(el_cli_facts *facts, el_cli_tree *tree, const char *path)
{
    struct stat status;
    char device[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
        facts->model_bytes = status.st_size;
        facts->model_cached = cached_bytes(fd, (size_t)status.st_size);
        snprintf(device, sizeof device, "%u:%u", major(status.st_dev), minor(status.st_dev));
        file_system(facts, tree, device);
        disk(facts, tree, device);
        read_rate(facts, path);
    }
    close(fd);
}

edgellm_status el_cli_facts_add_model(el_cli_facts *facts, el_cli_tree *tree, const char *path,
                                      const edgellm_session_options *options, edgellm_error *err)
{
    edgellm_memory_plan plan;
    examine_file(facts, tree, path); /* before the plan reads it into memory */
    EL_CLI_TRY(edgellm_plan(path, options, &plan, err));
    facts->plan_bytes = (int64_t)plan.total;
    facts->plan_private = (int64_t)(plan.total - plan.weights - plan.program);
    facts->plan_locked = (int64_t)(plan.weights + plan.kv_cache + plan.scratch);
    facts->plan_context = plan.context;
    return EDGELLM_OK;
}
