#include "engine/engine.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32.h"
#include "base/fpenv.h"
#include "base/quota.h"
#include "format/checks.h"
#include "kernel/self_test.h"

/* Resident bytes of this process, and of those what is of files, which may be taken away; 0 where
 * the system does not say. */
static uint64_t resident_bytes(uint64_t *of_files)
{
    char line[128] = "";
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    FILE *file = fopen("/proc/self/statm", "re");
    *of_files = 0;
    if (!file) return 0;
    char *at = fgets(line, sizeof line, file) ? strchr(line, ' ') : NULL;
    fclose(file);
    if (!at) return 0;
    const uint64_t pages = strtoull(at, &at, 10);
    *of_files = strtoull(at, NULL, 10) * page;
    return pages * page;
}

/* `kernel` names exactly the level that must be used, `cpumask` the highest that may be. Which of
 * these is the fastest is known to `kernel_cache`, or measured. */
static edgellm_status choose_kernels(edgellm_engine *draft, const edgellm_engine_options *o,
                                     edgellm_error *err)
{
    el_kernels *kernels = &draft->kernels;
    int mask = o->cpumask ? el_cpu_level_parse(o->cpumask) : EL_CPU_LEVELS - 1;
    int exact = o->kernel ? el_cpu_level_parse(o->kernel) : -1;
    if (mask < 0)
        return el_fail(err, EDGELLM_ERR_USAGE, "cpumask \"%s\": no such level", o->cpumask);
    if (o->kernel && exact < 0)
        return el_fail(err, EDGELLM_ERR_USAGE, "kernel \"%s\": no such kernel", o->kernel);
    if (exact > mask)
        return el_fail(err, EDGELLM_ERR_USAGE, "kernel \"%s\" is above the cpumask \"%s\"",
                       o->kernel, o->cpumask);
    if (exact < 0 && o->kernel_cache) {
        draft->choice = el_kernels_choose(kernels, (el_cpu_level)mask, o->kernel_cache);
        return EDGELLM_OK;
    }
    draft->choice = exact >= 0 ? EL_CHOICE_GIVEN : EL_CHOICE_NEWEST;
    el_kernels_init(kernels, exact >= 0 ? (el_cpu_level)exact : (el_cpu_level)mask);
    if (exact >= 0 && (int)kernels->level != exact)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "kernel \"%s\": this CPU or build cannot run it; use %s", o->kernel,
                       kernels->name);
    return EDGELLM_OK;
}

static edgellm_status check_kernels(const el_kernels *kernels, edgellm_error *err)
{
    const char *wrong = el_kernels_self_test(kernels);
    if (wrong == NULL) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_UNSUPPORTED,
                   "kernel \"%s\" computes %s wrongly on this CPU: choose another one (cpumask "
                   "\"scalar\" works everywhere), and please report this CPU",
                   kernels->name, wrong);
}

/*
 * Lays out everything an engine keeps, the engine itself first; run on a measuring arena (then
 * the draft stands in for it), then on the real one.
 */
static edgellm_status layout(edgellm_engine *draft, el_arena *arena, edgellm_engine **engine,
                             edgellm_error *err)
{
    edgellm_engine *e = el_arena_take(arena, 1, sizeof *e);
    if (e)
        *e = *draft;
    else
        e = draft;
    const uint32_t n_loras = draft->model.n_loras;
    EL_TRY(el_model_load(&e->model, &e->file, arena, err));
    e->model.loras = e->loras;
    e->model.n_loras = n_loras;
    EL_TRY(el_tokenizer_init(&e->tokenizer, &e->file.vocab, arena, err));
    *engine = e;
    return EDGELLM_OK;
}

static void close_adapters(edgellm_engine *e)
{
    for (uint32_t i = 0; i < e->model.n_loras; i++)
        el_tma_close(&e->loras[i]);
}

static edgellm_status open_adapter(edgellm_engine *draft, const edgellm_adapter *a,
                                   edgellm_error *err)
{
    el_lora *lora = &draft->loras[draft->model.n_loras];
    if (!(a->scale >= -FLT_MAX && a->scale <= FLT_MAX) || a->scale == 0)
        return el_fail(err, EDGELLM_ERR_USAGE,
                       "adapter '%.200s': the scale %g is 0 or not finite: leave it out, or give "
                       "another",
                       a->path, (double)a->scale);
    EL_TRY(el_tma_open(lora, a->path, &draft->file.config, err));
    lora->scale = a->scale;
    draft->model.n_loras++;
    return EDGELLM_OK;
}

/* Of a file that is open; what was opened is closed by the caller. */
static edgellm_status open_adapters(edgellm_engine *draft, const edgellm_engine_options *o,
                                    edgellm_error *err)
{
    if (o->n_adapters > EL_LORA_MAX)
        return el_fail(err, EDGELLM_ERR_USAGE, "%u adapters: at most %d", o->n_adapters,
                       EL_LORA_MAX);
    for (uint32_t i = 0; i < o->n_adapters; i++)
        EL_TRY(open_adapter(draft, &o->adapters[i], err));
    return EDGELLM_OK;
}

static edgellm_status build_model(edgellm_engine *draft, const char *chat_form,
                                  edgellm_engine **engine, edgellm_error *err)
{
    el_arena measure = el_arena_measure(), arena;
    edgellm_engine *e;
    EL_TRY(layout(draft, &measure, &e, err));
    EL_TRY(el_arena_reserve(&arena, measure.used, err));
    edgellm_status status = layout(draft, &arena, &e, err);
    if (status == EDGELLM_OK) status = el_chat_open(&e->chat, &e->file.vocab, chat_form, err);
    if (status != EDGELLM_OK) {
        el_arena_release(&arena);
        return status;
    }
    e->arena = arena;
    if (e->grammars)
        status =
            el_trie_open(&e->trie, e->tokenizer, e->file.vocab.n_tokens, e->file.config.vocab, err);
    if (status != EDGELLM_OK) {
        el_arena_release(&arena); /* the engine lies in it */
        return status;
    }
    *engine = e;
    return EDGELLM_OK;
}

/* Of a file that is open. */
static edgellm_status build(edgellm_engine *draft, const edgellm_engine_options *o,
                            const char *path, edgellm_engine **engine, edgellm_error *err)
{
    EL_TRY(open_adapters(draft, o, err));
    const edgellm_status status = build_model(draft, o->chat_form, engine, err);
    return status == EDGELLM_OK ? status : el_fail_in_file(err, status, path);
}

/* Bytes that control groups and the machine leave for a copy of the file, beside what is there. */
static uint64_t room_left(void)
{
    uint64_t of_files;
    const uint64_t resident = resident_bytes(&of_files);
    const uint64_t kept = resident > of_files ? resident - of_files : 0;
    return el_quota_room(el_quota_memory("/proc/self/cgroup", "/sys/fs/cgroup"),
                         el_quota_left("/proc/meminfo"), kept);
}

static edgellm_status open_file(edgellm_engine *draft, const edgellm_engine_options *o,
                                const char *path, edgellm_error *err)
{
    draft->copied = o->copy;
    if (o->copy) return el_tm2_copy(&draft->file, path, room_left(), o->verify, err);
    return el_tm2_open(&draft->file, path, o->verify, err);
}

edgellm_status edgellm_engine_open(const char *path, const edgellm_engine_options *options,
                                   edgellm_engine **engine, edgellm_error *err)
{
    static const edgellm_engine_options defaults = {0};
    uint64_t of_files;
    edgellm_engine draft = {.program_bytes = resident_bytes(&of_files)};
    if (!options) options = &defaults;
    draft.grammars = options->grammars;
    EL_TRY(choose_kernels(&draft, options, err));
    el_fpenv env = el_fpenv_enter();
    edgellm_status status = check_kernels(&draft.kernels, err);
    if (status == EDGELLM_OK) status = open_file(&draft, options, path, err);
    if (status == EDGELLM_OK) {
        status = build(&draft, options, path, engine, err);
        if (status != EDGELLM_OK) {
            close_adapters(&draft);
            el_tm2_close(&draft.file);
        }
    }
    el_fpenv_leave(env);
    return status;
}

void edgellm_engine_close(edgellm_engine *engine)
{
    if (!engine) return;
    el_arena arena = engine->arena; /* the engine lies in it */
    if (engine->grammars) el_trie_close(&engine->trie);
    close_adapters(engine);
    el_tm2_close(&engine->file);
    el_arena_release(&arena);
}

void edgellm_engine_info(const edgellm_engine *engine, edgellm_model_info *info)
{
    const el_config *c = &engine->file.config;
    *info = (edgellm_model_info){
        .architecture = c->architecture,
        .name = c->name,
        .manifest = engine->file.manifest,
        .kernel = engine->kernels.name,
        .kernel_choice = el_choice_names[engine->choice],
        .pretokenizer = engine->file.vocab.pretokenizer,
        .has_chat_template = engine->chat.row != NULL,
        .has_unknown_template =
            engine->chat.row == NULL && engine->file.vocab.chat_template[0] != '\0',
        .copied = engine->copied,
        .chat_form = el_chat_form(&engine->chat),
        .layers = c->layers,
        .dim = c->dim,
        .ffn_dim = c->ffn_dim,
        .heads = c->heads,
        .kv_heads = c->kv_heads,
        .head_dim = c->head_dim,
        .vocab = c->vocab,
        .context_trained = c->context,
        .adapters = engine->model.n_loras,
        .tensors = engine->file.n_tensors,
        .parameters = engine->file.parameters,
        .file_bytes = engine->file.map.size,
        .token_bytes = engine->model.token_bytes,
    };
    el_tm2_identity(&engine->file, info->identity);
    for (uint32_t i = 0; i < engine->model.n_loras; i++) {
        const el_lora *lora = &engine->loras[i];
        info->identity[2] = el_crc32(info->identity[2], &lora->crc, sizeof lora->crc);
        info->identity[2] = el_crc32(info->identity[2], &lora->scale, sizeof lora->scale);
    }
}

static const char *scales_name(const el_tensor *t)
{
    if (t->codec == EL_CODEC_F32) return "none";
    return t->scale_kind == EL_SCALE_BYTE ? "byte" : "f16";
}

edgellm_status edgellm_engine_tensor(const edgellm_engine *engine, uint32_t index,
                                     edgellm_tensor_info *info, edgellm_error *err)
{
    el_tensor t;
    if (index >= engine->file.n_tensors)
        return el_fail(err, EDGELLM_ERR_USAGE, "tensor index %u: the file has %u tensors", index,
                       engine->file.n_tensors);
    el_tm2_tensor(&engine->file, index, &t);
    *info = (edgellm_tensor_info){.name = t.name,
                                  .codec = el_codecs[t.codec].name,
                                  .scales = scales_name(&t),
                                  .rows = t.rows,
                                  .cols = t.cols,
                                  .group = t.group,
                                  .rotation = el_rotation_names[t.rotation],
                                  .bytes = t.bytes};
    return EDGELLM_OK;
}

const char *edgellm_kernel_name(uint32_t index)
{
    const char *name;
    for (uint32_t i = 0; (name = el_kernels_built(i)) != NULL; i++)
        if (el_cpu_has((el_cpu_level)el_cpu_level_parse(name)) && index-- == 0) return name;
    return NULL;
}

const char *edgellm_kernel_built(uint32_t index)
{
    return el_kernels_built(index);
}
