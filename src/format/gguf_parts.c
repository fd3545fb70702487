/*
 * gguf_parts.c: opens a GGUF file, or a model that lies in several of them, as llama.cpp cuts it:
 * NAME-00001-of-00003.gguf and so on. Any part leads to the others beside it. Each has metadata
 * that say which it is; all that is about the model stands in the first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/checks.h"
#include "format/gguf_value.h"

#define NUMBER "split.no"
#define COUNT  "split.count"
#define ALL    "split.tensors.count"

enum { MOST_PARTS = 65535, ENDING_BYTES = sizeof "-00001-of-00003.gguf" };

/* The files of a model. */
typedef struct parts {
    const char *given; /* the path of one of them */
    size_t stem;       /* bytes of it before the ending */
    uint32_t count;
    char *path; /* room for that of any part */
} parts;

static void write_ending(char ending[ENDING_BYTES], uint32_t index, uint32_t count)
{
    snprintf(ending, ENDING_BYTES, "-%05u-of-%05u.gguf", (unsigned)(index + 1) % 100000,
             (unsigned)count % 100000);
}

static void write_path(const parts *p, uint32_t index)
{
    memcpy(p->path, p->given, p->stem);
    write_ending(p->path + p->stem, index, p->count);
}

/* Does the path end as that of part `index`? */
static edgellm_status find_stem(parts *p, uint32_t index, edgellm_error *err)
{
    char ending[ENDING_BYTES];
    const size_t len = strlen(p->given);
    write_ending(ending, index, p->count);
    p->stem = len - (ENDING_BYTES - 1);
    if (len >= ENDING_BYTES - 1 && strcmp(p->given + p->stem, ending) == 0) return EDGELLM_OK;
    return el_fail(
        err, EDGELLM_ERR_FORMAT,
        "the file is part %u of %u of a model, and so its name must end in '%s', for the "
        "others are found by it: give it its name back",
        index + 1, p->count, ending);
}

/* What the first and every other part says of itself. */
static edgellm_status check_part(const parts *p, const el_gguf *part, uint32_t index,
                                 edgellm_error *err)
{
    uint32_t no = 0, count = 0;
    if (!el_gguf_u32(part, COUNT, &count) || !el_gguf_u32(part, NUMBER, &no))
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "metadata: there is no " NUMBER " or no " COUNT
                       " in this part %u of %u: it is of another model",
                       index + 1, p->count);
    if (count == p->count && no == index) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "metadata: this should be part %u of %u, but says that it is part %llu of %u",
                   index + 1, p->count, no + 1ull, count);
}

static edgellm_status open_part(const parts *p, uint32_t index, el_gguf *part, edgellm_error *err)
{
    edgellm_error why = {0};
    write_path(p, index);
    const edgellm_status status = el_gguf_read(part, p->path, &why);
    if (status == EDGELLM_ERR_IO)
        return el_fail(err, status, "part %u of %u is missing: %.300s", index + 1, p->count,
                       why.message);
    if (status != EDGELLM_OK) return el_fail(err, status, "%s", why.message);
    const edgellm_status says = check_part(p, part, index, err);
    if (says == EDGELLM_OK) return EDGELLM_OK;
    el_gguf_close(part);
    return el_fail_in_file(err, says, p->path);
}

/* Moves the tensors of a part, and the file itself, to the end of what there is. */
static edgellm_status append(el_gguf *all, el_gguf *part, edgellm_error *err)
{
    const size_t n = (size_t)all->n_tensors + part->n_tensors;
    if (n > EL_MAX_TENSORS)
        return el_fail(err, EDGELLM_ERR_FORMAT, "its parts have more than %u tensors",
                       (unsigned)EL_MAX_TENSORS);
    el_gguf_tensor *tensors = realloc(all->tensors, (n + 1) * sizeof *tensors);
    if (!tensors) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for %zu tensors", n);
    memcpy(tensors + all->n_tensors, part->tensors, part->n_tensors * sizeof *tensors);
    all->tensors = tensors;
    all->n_tensors = (uint32_t)n;
    all->shards[all->n_shards++] = part->map;
    part->map = (el_mapfile){0};
    return EDGELLM_OK;
}

static edgellm_status check_all(const parts *p, const el_gguf *all, edgellm_error *err)
{
    uint32_t wanted = all->n_tensors;
    if (el_gguf_get(all, ALL) && (!el_gguf_u32(all, ALL, &wanted) || wanted != all->n_tensors))
        return el_fail(err, EDGELLM_ERR_FORMAT,
                       "metadata: " ALL " is not %u, which all %u parts have together",
                       all->n_tensors, p->count);
    return el_gguf_distinct(all, err);
}

static edgellm_status join(const parts *p, el_gguf *all, edgellm_error *err)
{
    EL_TRY(open_part(p, 0, all, err));
    all->shards = calloc(p->count, sizeof *all->shards);
    if (!all->shards) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for its parts");
    for (uint32_t i = 1; i < p->count; i++) {
        el_gguf part = {0};
        EL_TRY(open_part(p, i, &part, err));
        const edgellm_status status = append(all, &part, err);
        el_gguf_close(&part);
        EL_TRY(status);
    }
    write_path(p, 0);
    const edgellm_status status = check_all(p, all, err);
    return status == EDGELLM_OK ? status : el_fail_in_file(err, status, p->path);
}

static edgellm_status open_all(el_gguf *file, parts *p, edgellm_error *err)
{
    el_gguf all = {0};
    p->path = malloc(p->stem + ENDING_BYTES);
    if (!p->path) return el_fail(err, EDGELLM_ERR_MEMORY, "out of memory for a path");
    const edgellm_status status = join(p, &all, err);
    free(p->path);
    if (status == EDGELLM_OK)
        *file = all;
    else
        el_gguf_close(&all);
    return status;
}

/* One file, or which part of how many it is. */
static edgellm_status look(const el_gguf *one, parts *p, edgellm_error *err)
{
    uint32_t no = 0;
    p->count = 0;
    if (!el_gguf_get(one, COUNT)) return EDGELLM_OK;
    if (!el_gguf_u32(one, COUNT, &p->count) || p->count > MOST_PARTS)
        return el_fail(err, EDGELLM_ERR_FORMAT, "metadata: " COUNT " is no number of files");
    if (p->count < 2) return EDGELLM_OK;
    if (!el_gguf_u32(one, NUMBER, &no) || no >= p->count)
        return el_fail(err, EDGELLM_ERR_FORMAT, "metadata: " NUMBER " is not below " COUNT ", %u",
                       p->count);
    return find_stem(p, no, err);
}

edgellm_status el_gguf_open(el_gguf *file, const char *path, edgellm_error *err)
{
    el_gguf one = {0};
    parts p = {.given = path};
    EL_TRY(el_gguf_read(&one, path, err));
    const edgellm_status status = look(&one, &p, err);
    if (status == EDGELLM_OK && p.count < 2) {
        *file = one;
        return EDGELLM_OK;
    }
    el_gguf_close(&one);
    if (status != EDGELLM_OK) return el_fail_in_file(err, status, path);
    return open_all(file, &p, err);
}
