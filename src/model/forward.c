#include "model/forward.h"

#include "base/detmath.h"

static uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t round_up(uint32_t n, uint32_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

/* Rotary angles: position * base^(-2i / rotary_dim), in double (Su et al. 2021), over a factor of
 * the model's where it has some. */
static void fill_rotary_tables(el_forward *f)
{
    const el_config *c = &f->model->config;
    const uint32_t half = c->rotary_dim / 2;
    const double log_base = el_log((double)c->rope_base);
    for (uint32_t i = 0; i < half; i++) {
        double frequency = el_exp(-2.0 * i / c->rotary_dim * log_base);
        if (f->model->rope_factors) frequency /= (double)f->model->rope_factors[i];
        for (uint32_t p = 0; p < f->context; p++) {
            double sine, cosine;
            el_sincos(p * frequency, &sine, &cosine);
            f->cosine[(size_t)p * half + i] = (float)cosine;
            f->sine[(size_t)p * half + i] = (float)sine;
        }
    }
}

static void layout_int8_cache(el_forward *f, el_arena *arena)
{
    const el_config *c = &f->model->config;
    const uint32_t blocks = (c->head_dim + EL_BLOCK - 1) / EL_BLOCK;
    const size_t positions = round_up(f->context, EL_TILE), n = (size_t)c->layers * c->kv_heads;
    f->cache.planes = el_arena_take(arena, n, sizeof(el_kv));
    f->cache.padded = f->constant_time ? (uint32_t)positions : 0;
    for (size_t i = 0; i < n; i++) {
        el_kv kv = {.blocks = blocks};
        kv.keys = el_arena_take(arena, positions, (size_t)blocks * EL_BLOCK);
        kv.kscale = el_arena_take(arena, positions, blocks * sizeof(float));
        kv.values = el_arena_take(arena, positions, (size_t)blocks * EL_BLOCK);
        kv.vscale = el_arena_take(arena, positions, blocks * sizeof(float));
        if (f->cache.planes) f->cache.planes[i] = kv;
    }
}

/* Here and below, `context` is a factor of its own, so that the arena checks its product: on a
 * 32-bit machine a model that fits can be asked for a context that does not. */
static void layout_exact_cache(el_forward *f, el_arena *arena)
{
    const el_config *c = &f->model->config;
    const size_t n = (size_t)c->layers * c->kv_heads;
    f->cache.plane = (size_t)f->context * c->head_dim;
    f->cache.keys = el_arena_take(arena, f->context, n * c->head_dim * sizeof(float));
    f->cache.values = el_arena_take(arena, f->context, n * c->head_dim * sizeof(float));
}

static void layout_input(const el_forward *f, el_input *in, uint32_t widest, el_arena *arena)
{
    const size_t n = f->batch, blocks = (widest + EL_BLOCK - 1) / EL_BLOCK;
    if (f->exact) {
        in->exact = el_arena_take(arena, n * widest, sizeof(float));
        return;
    }
    in->acts.q = el_arena_take(arena, n * blocks, EL_BLOCK);
    in->acts.scale = el_arena_take(arena, n * blocks, sizeof(float));
    in->acts.sum = el_arena_take(arena, n * blocks, sizeof(int32_t));
}

static void layout_activations(el_forward *f, el_arena *arena)
{
    const el_config *c = &f->model->config;
    const uint32_t heads = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const uint32_t widest = max_u32(max_u32(c->dim, heads), c->ffn_dim);
    const size_t n = f->batch;
    f->places = el_arena_take(arena, n, sizeof *f->places);
    f->x = el_arena_take(arena, n * c->dim, sizeof(float));
    f->h = el_arena_take(arena, n * max_u32(c->dim, heads), sizeof(float));
    /* A layer has attended before it computes its feed-forward: one room for both. */
    f->q = f->gate = el_arena_take(arena, n * max_u32(heads, c->ffn_dim), sizeof(float));
    f->k = f->up = el_arena_take(arena, n * max_u32(2 * kv, c->ffn_dim), sizeof(float));
    f->v = f->k ? f->k + n * kv : NULL;
    f->y = el_arena_take(arena, n * c->dim, sizeof(float));
    f->scores = el_arena_take(arena, el_forward_scores(f), f->threads * sizeof(float));
    f->logits = el_arena_take(arena, c->vocab, sizeof(float));
    if (f->exact) f->row = el_arena_take(arena, (size_t)f->threads * widest, sizeof(float));
    for (int r = 0; r < EL_ROTATIONS; r++)
        if (f->model->rotations & EL_ROTATION_BIT(r)) layout_input(f, &f->input[r], widest, arena);
}

size_t el_forward_scores(const el_forward *f)
{
    const el_config *c = &f->model->config;
    const uint32_t group = c->heads / c->kv_heads;
    return (group < EL_ATTEND_HEADS ? group : EL_ATTEND_HEADS) * (size_t)round_up(f->context, 64);
}

el_forward_bytes el_forward_layout(el_forward *f, el_arena *arena)
{
    const size_t angles = f->model->config.rotary_dim / 2;
    const size_t start = arena->used;
    f->cache.kv_heads = f->model->config.kv_heads;
    if (f->exact)
        layout_exact_cache(f, arena);
    else
        layout_int8_cache(f, arena);
    const size_t cache_end = arena->used;
    f->cosine = el_arena_take(arena, f->context, angles * sizeof(float));
    f->sine = el_arena_take(arena, f->context, angles * sizeof(float));
    layout_activations(f, arena);
    if (f->cosine) fill_rotary_tables(f);
    return (el_forward_bytes){.kv_cache = cache_end - start, .scratch = arena->used - cache_end};
}

/* Residual stream -> logits of the tokens asked for. */
static void run_head(el_forward *f, unsigned member, unsigned size)
{
    el_forward tail = *f; /* the same memory, seen from the first token that is wanted */
    const size_t skip = (size_t)f->head_first * f->model->config.dim;
    tail.x += skip;
    tail.y += skip;
    tail.n = f->n - f->head_first;
    el_block_norm(&tail, f->model->output_norm, true, el_table_rotations(&f->model->head), member,
                  size);
    el_block_project_table(&tail, &f->model->head, f->head_out, member, size);
}

static void run_member(void *context, unsigned member, unsigned size)
{
    el_forward *f = context;
    const uint32_t dim = f->model->config.dim;
    for (uint32_t t = member; t < f->n; t += size)
        el_table_row(&f->model->embedding, f->tokens[t], f->x + (size_t)t * dim);
    el_crew_barrier(f->crew);
    f->model->architecture->layers(f, member, size);
    if (f->head_first < f->n && !f->stopped) run_head(f, member, size);
}

void el_forward_run(el_forward *f)
{
    f->stopped = false;
    el_crew_run(f->crew, run_member, f);
}
