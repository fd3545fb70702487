#include "cli/perplexity_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fnv.h"
#include "cli/cli_folders.h"
#include "cli/cli_output.h"

static const char magic[16] = "EdgeLLM logits 1";

/* A line of its own, on a terminal in place of the progress. */
__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    edgellm_error line;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line.message, sizeof line.message, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%snote: %s\n", isatty(STDERR_FILENO) ? "\r\033[K" : "", line.message);
}

/* ---- one chunk ----------------------------------------------------------------------------- */

edgellm_status el_cli_reference_open(el_cli_reference *r, uint32_t positions, uint32_t vocab,
                                     edgellm_error *err)
{
    *r = (el_cli_reference){.positions = positions, .vocab = vocab};
    r->heads = calloc(positions, sizeof *r->heads);
    r->codes = calloc((size_t)positions * vocab, sizeof *r->codes);
    if (r->heads != NULL && r->codes != NULL) return EDGELLM_OK;
    el_cli_reference_close(r);
    return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the reference logits of a chunk");
}

void el_cli_reference_close(el_cli_reference *r)
{
    free(r->heads);
    free(r->codes);
    *r = (el_cli_reference){0};
}

/* The parts of a chunk as they lie in the file, behind its checksum. */
enum { PARTS = 3 };
typedef struct part {
    void *bytes;
    size_t size;
} part;

static void parts_of(el_cli_reference *r, part parts[PARTS])
{
    parts[0] = (part){&r->nll, sizeof r->nll};
    parts[1] = (part){r->heads, r->positions * sizeof *r->heads};
    parts[2] = (part){r->codes, r->positions * r->vocab * sizeof *r->codes};
}

static uint64_t checksum(const part parts[PARTS])
{
    uint64_t hash = EDGELLM_HASH_START;
    for (int i = 0; i < PARTS; i++)
        hash = el_fnv(hash, parts[i].bytes, parts[i].size);
    return hash;
}

static uint64_t file_bytes(const el_cli_cache_header *h)
{
    uint64_t position = sizeof(el_cli_coded) + 2 * (uint64_t)h->vocab;
    return sizeof *h + h->chunks * (sizeof(uint64_t) + sizeof(double) + h->positions * position);
}

static void seal(el_cli_cache_header *h)
{
    memcpy(h->magic, magic, sizeof magic);
    h->check = el_fnv(EDGELLM_HASH_START, h, offsetof(el_cli_cache_header, check));
}

/* ---- where ------------------------------------------------------------------------------- */

static char *path_of(const char *place, uint64_t key)
{
    char *folder = el_cli_cache_folder(place), *path = NULL;
    if (folder != NULL && asprintf(&path, "%s/%016llx.logits", folder, (unsigned long long)key) < 0)
        path = NULL;
    free(folder);
    return path;
}

/* ---- reading ------------------------------------------------------------------------------- */

static bool read_whole(int fd, void *bytes, size_t size)
{
    errno = 0;
    while (size > 0) {
        ssize_t n = read(fd, bytes, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes = (uint8_t *)bytes + n;
        size -= (size_t)n;
    }
    return true;
}

static void stop_reading(el_cli_cache *cache)
{
    if (cache->fd >= 0) close(cache->fd);
    cache->fd = -1;
}

/* Says why the file is not used, and uses it no more. */
static void refuse(el_cli_cache *cache, const char *why)
{
    note("the kept logits %.300s are %s: they are made anew", cache->path, why);
    stop_reading(cache);
}

static void open_file(el_cli_cache *cache)
{
    struct stat status;
    el_cli_cache_header found, wanted = cache->header;
    cache->fd = open(cache->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (cache->fd < 0) {
        if (errno != ENOENT) refuse(cache, strerror(errno));
        return;
    }
    if (fstat(cache->fd, &status) != 0 || !S_ISREG(status.st_mode) ||
        (uint64_t)status.st_size != file_bytes(&wanted)) {
        refuse(cache, "not of their size");
    } else if (!read_whole(cache->fd, &found, sizeof found)) {
        refuse(cache, errno != 0 ? strerror(errno) : "cut short");
    } else {
        wanted.rounded = found.rounded;
        seal(&wanted);
        if (memcmp(&found, &wanted, sizeof found) != 0) refuse(cache, "damaged");
        if (cache->fd >= 0) cache->header = wanted;
    }
}

void el_cli_cache_open(el_cli_cache *cache, const char *place, const el_cli_cache_header *header)
{
    const char *chosen = getenv("EDGELLM_CACHE");
    if (place == NULL && chosen != NULL && chosen[0] != '\0') place = chosen;
    *cache = (el_cli_cache){.header = *header, .fd = -1, .limited = place == NULL};
    if (place != NULL && strcmp(place, "none") == 0) return;
    cache->path = path_of(place, header->key);
    if (cache->path == NULL) {
        note("no folder to keep the reference logits in: name one with --cache");
    } else {
        open_file(cache);
    }
}

bool el_cli_cache_found(const el_cli_cache *cache)
{
    return cache->fd >= 0;
}

bool el_cli_cache_read(el_cli_cache *cache, el_cli_reference *r)
{
    uint64_t check;
    part parts[PARTS];
    parts_of(r, parts);
    bool whole = read_whole(cache->fd, &check, sizeof check);
    for (int i = 0; i < PARTS && whole; i++)
        whole = read_whole(cache->fd, parts[i].bytes, parts[i].size);
    if (!whole) {
        refuse(cache, errno != 0 ? strerror(errno) : "cut short");
    } else if (check != checksum(parts)) {
        refuse(cache, "damaged");
    }
    return cache->fd >= 0;
}

/* ---- writing ------------------------------------------------------------------------------- */

static bool give_up(el_cli_cache *cache, const char *why)
{
    note("the reference logits are not kept: %s", why);
    if (cache->writing) el_outfile_cancel(&cache->out);
    cache->writing = false;
    return false;
}

bool el_cli_cache_begin(el_cli_cache *cache, uint32_t rounded)
{
    edgellm_error why = {EDGELLM_OK, ""};
    double size = (double)file_bytes(&cache->header);
    if (cache->path == NULL) return false;
    if (cache->limited && size > EL_CLI_CACHE_MOST) {
        snprintf(why.message, sizeof why.message,
                 "they would take %.1f GB: name a folder with --cache, or score fewer --chunks",
                 size / 1e9);
        return give_up(cache, why.message);
    }
    if (!el_cli_make_folders(cache->path)) {
        snprintf(why.message, sizeof why.message, "cannot make the folder of '%.300s': %s",
                 cache->path, strerror(errno));
        return give_up(cache, why.message);
    }
    if (el_outfile_create(&cache->out, cache->path, &why) != EDGELLM_OK) {
        return give_up(cache, why.message);
    }
    cache->writing = true;
    cache->header.rounded = rounded;
    seal(&cache->header);
    el_outfile_write(&cache->out, &cache->header, sizeof cache->header);
    return true;
}

bool el_cli_cache_append(el_cli_cache *cache, const el_cli_reference *r)
{
    part parts[PARTS];
    edgellm_error why = {EDGELLM_OK, ""};
    el_cli_reference copy = *r;
    if (!cache->writing) return false;
    parts_of(&copy, parts);
    uint64_t check = checksum(parts);
    el_outfile_write(&cache->out, &check, sizeof check);
    for (int i = 0; i < PARTS; i++)
        el_outfile_write(&cache->out, parts[i].bytes, parts[i].size);
    if (el_outfile_check(&cache->out, &why) == EDGELLM_OK) return true;
    return give_up(cache, why.message);
}

bool el_cli_cache_finish(el_cli_cache *cache)
{
    edgellm_error why = {EDGELLM_OK, ""};
    if (!cache->writing) return false;
    cache->writing = false;
    if (el_outfile_commit(&cache->out, &why) == EDGELLM_OK) return true;
    return give_up(cache, why.message);
}

void el_cli_cache_close(el_cli_cache *cache)
{
    stop_reading(cache);
    if (cache->writing) el_outfile_cancel(&cache->out);
    free(cache->path);
    *cache = (el_cli_cache){.fd = -1};
}
