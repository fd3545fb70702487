/*
 * folder_tensors.c: which safetensors files there are, and of their tensors those that the model
 * has, under GGUF's names and checked for shape: none missing, none twice, none left over.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "folder/folder_levels.h"
#include "format/checks.h"

#define ONE   "model.safetensors"
#define INDEX "model.safetensors.index.json"

typedef struct work {
    el_folder *f;
    const el_config *config;
    el_safetensors all; /* sorted by name once all are there */
    bool tied;
} work;

/* ---- the files ---------------------------------------------------------------------------- */

/* A plain name: it stays in the folder. */
static bool is_shard(const char *name)
{
    const size_t len = strlen(name), end = strlen(".safetensors");
    return len > end && len < 200 && name[0] != '.' && !strchr(name, '/') &&
           strcmp(name + len - end, ".safetensors") == 0;
}

static edgellm_status no_weights(const el_folder *f)
{
    static const char *const others[] = {"pytorch_model.bin", "pytorch_model.bin.index.json",
                                         "tf_model.h5", "flax_model.msgpack"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (!el_folder_has(f, others[i])) continue;
        return el_fail(
            f->err, EDGELLM_ERR_UNSUPPORTED,
            "the weights are in %s; this version reads safetensors files: load the model "
            "with transformers and save it again",
            others[i]);
    }
    return el_fail(f->err, EDGELLM_ERR_FORMAT, "the folder has neither " ONE " nor " INDEX);
}

/* The file that the index has a tensor in, unless it was read before: then it is in `done`. */
static edgellm_status read_shard(work *w, const char *name, const char *shard, json_t *done)
{
    if (!shard || !is_shard(shard))
        return el_fail(w->f->err, EDGELLM_ERR_FORMAT,
                       INDEX ": tensor '%.100s' is in '%.100s', which is not the name of a "
                             "safetensors file",
                       name, shard ? shard : "");
    if (json_object_get(done, shard)) return EDGELLM_OK;
    const size_t bytes = strlen(shard) + 1;
    char *copy = el_gguf_room(w->f->file, bytes);
    if (!copy || json_object_set_new(done, shard, json_true()) != 0)
        return el_fail(w->f->err, EDGELLM_ERR_MEMORY, "out of memory for names of files");
    memcpy(copy, shard, bytes);
    return el_safetensors_read(w->f, copy, &w->all);
}

static edgellm_status read_shards(work *w, const json_t *places)
{
    const char *name;
    json_t *place;
    json_t *done = json_object();
    edgellm_status status = EDGELLM_OK;
    json_object_foreach((json_t *)places, name, place)
    {
        status = read_shard(w, name, json_string_value(place), done);
        if (status != EDGELLM_OK) break;
    }
    json_decref(done);
    return status;
}

static int by_name(const void *a, const void *b)
{
    const el_safetensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static edgellm_status sort_names(work *w)
{
    el_safetensor *list = w->all.list;
    if (w->all.n > 0) qsort(list, w->all.n, sizeof *list, by_name);
    for (uint32_t i = 1; i < w->all.n; i++) {
        if (by_name(&list[i - 1], &list[i]) != 0) continue;
        return el_fail(w->f->err, EDGELLM_ERR_FORMAT, "tensor '%.100s' is in both %s and %s",
                       list[i].name, list[i - 1].shard, list[i].shard);
    }
    return EDGELLM_OK;
}

static el_safetensor *find(const work *w, const char *name)
{
    const el_safetensor wanted = {.name = name};
    if (w->all.n == 0) return NULL;
    return bsearch(&wanted, w->all.list, w->all.n, sizeof wanted, by_name);
}

/* Every tensor is where the index has it. */
static edgellm_status check_index(const work *w, const json_t *places)
{
    for (uint32_t i = 0; i < w->all.n; i++) {
        const el_safetensor *t = &w->all.list[i];
        const char *shard = el_folder_text(places, t->name);
        if (shard && strcmp(shard, t->shard) == 0) continue;
        return el_fail(w->f->err, EDGELLM_ERR_FORMAT,
                       INDEX ": tensor '%.100s' is in %s, but not by the index", t->name, t->shard);
    }
    if (json_object_size(places) == w->all.n) return EDGELLM_OK;
    return el_fail(w->f->err, EDGELLM_ERR_FORMAT, INDEX ": it names %zu tensors, the files have %u",
                   json_object_size(places), w->all.n);
}

static edgellm_status read_indexed(work *w, const json_t *index)
{
    const json_t *places = json_object_get(index, "weight_map");
    if (!json_is_object(places))
        return el_fail(w->f->err, EDGELLM_ERR_FORMAT, INDEX ": there is no 'weight_map'");
    EL_TRY(read_shards(w, places));
    EL_TRY(sort_names(w));
    return check_index(w, places);
}

static edgellm_status read_files(work *w)
{
    json_t *index;
    if (el_folder_has(w->f, ONE)) {
        EL_TRY(el_safetensors_read(w->f, ONE, &w->all));
        return sort_names(w);
    }
    EL_TRY(el_folder_json(w->f, INDEX, &index));
    if (!index) return no_weights(w->f);
    edgellm_status status = read_indexed(w, index);
    json_decref(index);
    return status;
}

/* ---- the tensors -------------------------------------------------------------------------- */

static edgellm_status check_shape(const work *w, const el_safetensor *t, uint32_t rows,
                                  uint32_t cols, bool vector)
{
    char shape[96];
    if (t->type == EL_SAFETENSOR_OTHER)
        return el_fail(w->f->err, EDGELLM_ERR_UNSUPPORTED,
                       "%s, tensor '%.100s' has dtype %s; supported are F32, F16 and BF16",
                       t->shard, t->name, t->dtype);
    if (vector ? t->n_dims == 1 && t->dims[0] == cols
               : t->n_dims == 2 && t->dims[0] == rows && t->dims[1] == cols)
        return EDGELLM_OK;
    el_safetensor_shape(t, shape, sizeof shape);
    if (vector)
        return el_fail(w->f->err, EDGELLM_ERR_FORMAT,
                       "%s, tensor '%.100s' has shape %s, but by " EL_FOLDER_CONFIG " (%u)",
                       t->shard, t->name, shape, cols);
    return el_fail(w->f->err, EDGELLM_ERR_FORMAT,
                   "%s, tensor '%.100s' has shape %s, but by " EL_FOLDER_CONFIG " (%u, %u)",
                   t->shard, t->name, shape, rows, cols);
}

/* A norm as it multiplies: floats in the file's room. */
static edgellm_status add_one(const work *w, el_gguf_tensor *t)
{
    float *sum = el_gguf_room(w->f->file, t->cols * sizeof *sum);
    if (!sum) return el_fail(w->f->err, EDGELLM_ERR_MEMORY, "out of memory for '%s'", t->name);
    el_ggml_type_of(t->type)->dequantize(t->data, t->cols, sum);
    for (uint32_t i = 0; i < t->cols; i++)
        sum[i] += 1;
    t->type = EL_GGML_F32;
    t->data = (const uint8_t *)sum;
    t->bytes = t->cols * sizeof *sum;
    return EDGELLM_OK;
}

/* A matrix of three levels, and the scale beside it. */
static edgellm_status take_levels(work *w, const el_safetensor *t, el_gguf_tensor *to)
{
    char name[128];
    snprintf(name, sizeof name, "%s_scale", t->name); /* one of ours: it is no longer */
    el_safetensor *scale = el_folder_levels_scaled(w->f) ? find(w, name) : NULL;
    if (scale) scale->used = true;
    return el_folder_levels_take(w->f, t, scale, to->rows, to->cols, to);
}

/* The next of file->tensors: `part` under the names that are given. */
static edgellm_status add(work *w, const el_folder_part *part, const char *theirs, const char *ours)
{
    el_gguf *file = w->f->file;
    const el_folder_family *family = w->f->family;
    el_safetensor *t = find(w, theirs);
    if (!t)
        return el_fail(w->f->err, EDGELLM_ERR_FORMAT,
                       "tensor '%s' is missing, which a model of class %s has", theirs,
                       family->name);
    const uint32_t rows = el_config_side(w->config, part->rows),
                   cols = el_config_side(w->config, part->cols);
    const bool levels = el_folder_levels_in(w->f, theirs);
    if (!levels) EL_TRY(check_shape(w, t, rows, cols, part->rows == EL_SIDE_ONE));
    t->used = true;
    el_gguf_tensor *to = &file->tensors[file->n_tensors++];
    *to = (el_gguf_tensor){
        .type = t->type,
        .rows = rows,
        .cols = cols,
        .data = t->data,
        .bytes = t->bytes,
        .halves = part->kind == EL_PART_PAIRS && family->halves ? w->config->head_dim : 0};
    snprintf(to->name, sizeof to->name, "%s", ours);
    if (levels) return take_levels(w, t, to);
    return part->kind == EL_PART_NORM && family->one_more ? add_one(w, to) : EDGELLM_OK;
}

static edgellm_status add_layer(work *w, uint32_t layer)
{
    char theirs[96], ours[64];
    for (unsigned i = 0; i < el_folder_n_parts; i++) {
        const el_folder_part *part = &el_folder_parts[i];
        if (!(part->sets & w->f->family->sets)) continue;
        snprintf(theirs, sizeof theirs, "model.layers.%u.%s", layer, part->theirs);
        snprintf(ours, sizeof ours, "blk.%u.%s", layer, part->ours);
        EL_TRY(add(w, part, theirs, ours));
    }
    return EDGELLM_OK;
}

static void add_rope_factors(work *w)
{
    for (uint32_t i = 0; i < w->f->n_factors; i++) {
        const el_folder_factors *factors = &w->f->factors[i];
        el_gguf_tensor *to = &w->f->file->tensors[w->f->file->n_tensors++];
        *to = (el_gguf_tensor){.type = EL_GGML_F32,
                               .rows = 1,
                               .cols = factors->n,
                               .data = (const uint8_t *)factors->list,
                               .bytes = factors->n * sizeof *factors->list};
        snprintf(to->name, sizeof to->name, "%s", factors->tensor);
    }
}

static edgellm_status add_all(work *w)
{
    static const el_folder_part embedding = {.rows = EL_SIDE_VOCAB, .cols = EL_SIDE_DIM},
                                norm = {
                                    .rows = EL_SIDE_ONE, .cols = EL_SIDE_DIM, .kind = EL_PART_NORM};
    EL_TRY(add(w, &embedding, "model.embed_tokens.weight", "token_embd.weight"));
    add_rope_factors(w);
    for (uint32_t i = 0; i < w->config->layers; i++)
        EL_TRY(add_layer(w, i));
    EL_TRY(add(w, &norm, "model.norm.weight", "output_norm.weight"));
    return w->tied ? EDGELLM_OK : add(w, &embedding, "lm_head.weight", "output.weight");
}

/* Old files have what is computed, or a copy of the embedding. */
static bool may_be_left(const work *w, const char *name)
{
    static const char computed[] = ".rotary_emb.inv_freq";
    const size_t len = strlen(name), end = strlen(computed);
    if (w->tied && strcmp(name, "lm_head.weight") == 0) return true;
    return len > end && strcmp(name + len - end, computed) == 0;
}

static edgellm_status check_left(const work *w)
{
    for (uint32_t i = 0; i < w->all.n; i++) {
        const el_safetensor *t = &w->all.list[i];
        if (t->used || may_be_left(w, t->name)) continue;
        return el_fail(
            w->f->err, EDGELLM_ERR_UNSUPPORTED,
            "%s, tensor '%.100s': a model of class %s with the numbers of " EL_FOLDER_CONFIG
            " has no such tensor",
            t->shard, t->name, w->f->family->name);
    }
    return EDGELLM_OK;
}

static bool is_tied(const el_folder *f)
{
    const json_t *tied = json_object_get(f->config, "tie_word_embeddings");
    return json_is_boolean(tied) ? json_is_true(tied) : f->family->tied;
}

static edgellm_status take(work *w)
{
    EL_TRY(read_files(w));
    /* each is one of the files', or one of two lists of factors of positions */
    w->f->file->tensors = calloc(w->all.n + (size_t)2, sizeof *w->f->file->tensors);
    if (!w->f->file->tensors)
        return el_fail(w->f->err, EDGELLM_ERR_MEMORY, "out of memory for %u tensors", w->all.n);
    EL_TRY(add_all(w));
    return check_left(w);
}

edgellm_status el_folder_tensors(el_folder *f, const el_config *config)
{
    work w = {.f = f, .config = config, .tied = is_tied(f)};
    edgellm_status status = take(&w);
    free(w.all.list);
    return status;
}
