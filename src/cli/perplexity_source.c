#include "cli/perplexity_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fnv.h"
#include "cli/cli_signals.h"
#include "cli/perplexity_cache.h"
#include "folder/folder.h"
#include "quant/quantize.h"

/* ---- which file it is ---------------------------------------------------------------------- */

static edgellm_status hash_all(int fd, const char *path, uint64_t *hash, char first[4],
                               edgellm_error *err)
{
    static const size_t room = 1 << 20;
    edgellm_status status = EDGELLM_OK;
    uint8_t *bytes = malloc(room);
    uint64_t sum = EDGELLM_HASH_START, done = 0;
    ssize_t n = 1;
    if (bytes == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory to read %s", path);
    memset(first, 0, 4);
    while (n != 0 && status == EDGELLM_OK) {
        n = read(fd, bytes, room);
        if (el_cli_interrupted() != 0) {
            status = el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
        } else if (n > 0) {
            for (ssize_t i = 0; i < n && done + (uint64_t)i < 4; i++)
                first[done + (uint64_t)i] = (char)bytes[i];
            sum = el_fnv(sum, bytes, (size_t)n);
            done += (uint64_t)n;
        } else if (n < 0 && errno != EINTR) {
            status =
                el_cli_fail(err, EDGELLM_ERR_IO, "cannot read '%.300s': %s", path, strerror(errno));
        }
    }
    free(bytes);
    *hash = sum;
    return status;
}

edgellm_status el_cli_hash_file(const char *path, uint64_t *hash, char first[4], edgellm_error *err)
{
    struct stat file;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return el_cli_fail(err, EDGELLM_ERR_IO, "cannot open '%.300s': %s", path, strerror(errno));
    }
    edgellm_status status = EDGELLM_OK;
    if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) {
        status = el_cli_fail(err, EDGELLM_ERR_IO, "'%.300s' is not a regular file", path);
    } else {
        status = hash_all(fd, path, hash, first, err);
    }
    close(fd);
    return status;
}

static uint64_t map_hash(uint64_t sum, const el_mapfile *map)
{
    static const size_t piece = 1 << 20;
    for (size_t at = 0; at < map->size && el_cli_interrupted() == 0; at += piece)
        sum = el_fnv(sum, map->data + at, map->size - at < piece ? map->size - at : piece);
    return sum;
}

/* Of a folder, or a model in several files, it is all that it is read from; of one file `sum`. */
static edgellm_status hash_files(const char *path, uint64_t sum, uint64_t *hash, edgellm_error *err)
{
    el_gguf file;
    EL_CLI_TRY(el_folder_open(&file, path, err));
    if (file.n_shards > 0) sum = map_hash(sum, &file.map);
    for (uint32_t i = 0; i < file.n_shards; i++)
        sum = map_hash(sum, &file.shards[i]);
    el_gguf_close(&file);
    *hash = sum;
    return el_cli_interrupted() == 0 ? EDGELLM_OK
                                     : el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "interrupted");
}

edgellm_status el_cli_source_identify(el_cli_source *source, const char *path, edgellm_error *err)
{
    char first[4];
    struct stat kind;
    *source = (el_cli_source){.path = path};
    if (stat(path, &kind) == 0 && S_ISDIR(kind.st_mode)) {
        source->converts = true;
        return hash_files(path, EDGELLM_HASH_START, &source->hash, err);
    }
    EL_CLI_TRY(el_cli_hash_file(path, &source->hash, first, err));
    source->converts = memcmp(first, "GGUF", 4) == 0;
    return source->converts ? hash_files(path, source->hash, &source->hash, err) : EDGELLM_OK;
}

/* ---- vocabularies ------------------------------------------------------------------------- */

/* What a token is: its name, and what it gives as text (nothing if it is special). */
static uint64_t token_hash(const el_cli_model *model, uint32_t token, uint64_t hash)
{
    char text[EDGELLM_STREAM_BYTES];
    for (int special = 0; special < 2; special++) {
        size_t len = 0;
        edgellm_detokenize(model->engine, &token, 1, special != 0, text, sizeof text, &len, NULL);
        hash = el_fnv(hash, &len, sizeof len);
        hash = el_fnv(hash, text, len < sizeof text ? len : sizeof text);
    }
    return hash;
}

static uint64_t names_hash(const el_cli_model *model)
{
    const char *name = model->info.pretokenizer;
    return el_fnv(EDGELLM_HASH_START, name, strlen(name));
}

uint64_t el_cli_vocabulary_hash(const el_cli_model *model)
{
    uint64_t hash = names_hash(model);
    for (uint32_t i = 0; i < model->info.vocab; i++)
        hash = token_hash(model, i, hash);
    return hash;
}

static edgellm_status other_vocabulary(const char *path, const char *what, edgellm_error *err)
{
    return el_cli_fail(err, EDGELLM_ERR_USAGE,
                       "'%.250s' has another vocabulary than the model (%s): their probabilities "
                       "cannot be compared token by token",
                       path, what);
}

static edgellm_status compare_vocabularies(const el_cli_source *source, const el_cli_model *model,
                                           edgellm_error *err)
{
    char what[96];
    const edgellm_model_info *ours = &model->info, *theirs = &source->model.info;
    if (ours->vocab != theirs->vocab) {
        snprintf(what, sizeof what, "%u tokens, not %u", theirs->vocab, ours->vocab);
        return other_vocabulary(source->path, what, err);
    }
    if (strcmp(ours->pretokenizer, theirs->pretokenizer) != 0) {
        return other_vocabulary(source->path, "another pre-tokenizer", err);
    }
    for (uint32_t i = 0; i < ours->vocab; i++) {
        if (token_hash(model, i, 0) == token_hash(&source->model, i, 0)) continue;
        snprintf(what, sizeof what, "token %u is another", i);
        return other_vocabulary(source->path, what, err);
    }
    return EDGELLM_OK;
}

static edgellm_status compare_tokens(const el_cli_source *source, const el_cli_chunks *chunks,
                                     edgellm_error *err)
{
    bool same;
    EL_CLI_TRY(el_cli_chunks_compare(chunks, source->model.engine, &same, err));
    if (same) return EDGELLM_OK;
    return other_vocabulary(source->path, "the text becomes other tokens", err);
}

/* ---- other forms -------------------------------------------------------------------------- */

/* context: non-NULL if progress is shown. */
static bool on_progress(void *context, uint32_t done, uint32_t total, const char *tensor)
{
    if (context != NULL) fprintf(stderr, "\rconverting %u/%u %.60s\033[K", done, total, tensor);
    return el_cli_interrupted() == 0;
}

static edgellm_status cannot_convert(const el_cli_source *source, edgellm_error *err)
{
    edgellm_error why = *err;
    return el_cli_fail(
        err, why.status,
        "%.250s (give another TMPDIR, or make the TM2 file yourself: edgellm quantize "
        "'%.120s' -o FILE)",
        why.message, source->path);
}

/* The file loses its name as soon as it is open; the folder held nothing else. */
static edgellm_status convert_and_open(el_cli_source *source, const char *file,
                                       const edgellm_engine_options *options, bool progress,
                                       edgellm_error *err)
{
    el_quantize_result result = {0};
    const el_quantize_options as_it_is = {
        .group = 32,
        .embedding_group = 32,
        .open = el_folder_open,
        .progress = on_progress,
        .progress_context = progress ? &progress : NULL,
    };
    edgellm_status status = el_quantize(source->path, file, &as_it_is, &result, err);
    if (progress) fputs("\r\033[K", stderr);
    if (status == EDGELLM_ERR_IO) cannot_convert(source, err);
    if (status != EDGELLM_OK) return status;
    source->rounded = result.rounded;
    status = el_cli_model_open(&source->model, file, options, err);
    unlink(file);
    return status;
}

static edgellm_status open_converted(el_cli_source *source, const edgellm_engine_options *options,
                                     bool progress, edgellm_error *err)
{
    const char *place = getenv("TMPDIR");
    char *folder = NULL, *file = NULL;
    edgellm_status status = EDGELLM_OK;
    if (place == NULL || place[0] == '\0') place = "/tmp";
    if (asprintf(&folder, "%s/edgellm-XXXXXX", place) < 0) folder = NULL;
    if (folder == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a path");
    if (mkdtemp(folder) == NULL) {
        el_cli_fail(err, EDGELLM_ERR_IO, "cannot make a folder in '%.200s': %s", place,
                    strerror(errno));
        free(folder);
        return cannot_convert(source, err);
    }
    if (asprintf(&file, "%s/source.tm2.bin", folder) < 0) {
        file = NULL;
        status = el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a path");
    } else {
        status = convert_and_open(source, file, options, progress, err);
    }
    rmdir(folder);
    free(file);
    free(folder);
    return status;
}

/* ---- opening ------------------------------------------------------------------------------ */

static edgellm_status open_source(el_cli_source *source, const edgellm_engine_options *options,
                                  bool progress, edgellm_error *err)
{
    if (source->converts) return open_converted(source, options, progress, err);
    return el_cli_model_open(&source->model, source->path, options, err);
}

edgellm_status el_cli_source_start(el_cli_source *source, const el_cli_model *model,
                                   const el_cli_chunks *chunks, const el_cli_model_values *options,
                                   bool progress, edgellm_error *err)
{
    edgellm_session_options session = options->session;
    session.exact = true; /* whatever the model keeps */
    session.kv_bits = 0;
    session.context = chunks->context;
    EL_CLI_TRY(open_source(source, &options->engine, progress, err));
    edgellm_status status = compare_vocabularies(source, model, err);
    if (status == EDGELLM_OK) status = compare_tokens(source, chunks, err);
    if (status == EDGELLM_OK) status = el_cli_model_start(&source->model, &session, err);
    if (status != EDGELLM_OK) el_cli_source_stop(source);
    return status;
}

void el_cli_source_stop(el_cli_source *source)
{
    el_cli_model_close(&source->model);
}
