#include "model/forward.h"

#include "base/detmath.h"
#include "model/positions.h"

static uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t round_up(uint32_t n, uint32_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

static void fill_angles(const el_forward *f, const el_angles *angles, bool local)
{
    const uint32_t half = f->model->config.rotary_dim / 2;
    const double gain = el_positions_gain(f->model, local);
    for (uint32_t i = 0; i < half; i++) {
        const double frequency = el_positions_frequency(f->model, f->context, i, local);
        for (uint32_t p = 0; p < f->context; p++) {
            double sine, cosine;
            el_sincos(p * frequency, &sine, &cosine);
            angles->cosine[(size_t)p * half + i] = (float)(cosine * gain);
            angles->sine[(size_t)p * half + i] = (float)(sine * gain);
        }
    }
}

static el_angles layout_angles(const el_forward *f, el_arena *arena, bool local)
{
    const size_t half = f->model->config.rotary_dim / 2;
    el_angles angles;
    angles.cosine = el_arena_take(arena, f->context, half * sizeof(float));
    angles.sine = el_arena_take(arena, f->context, half * sizeof(float));
    if (angles.cosine) fill_angles(f, &angles, local);
    return angles;
}

/* Any token of a batch finds its window, from the span of 64 on in which that begins. */
static uint32_t ring_of(const el_forward *f)
{
    const el_config *c = &f->model->config;
    const uint64_t least = (uint64_t)c->window + f->room + EL_ATTEND_SPAN;
    if (c->window == 0 || least >= f->context) return 0;
    const uint32_t ring = round_up((uint32_t)least, EL_ATTEND_SPAN);
    return ring < round_up(f->context, EL_ATTEND_SPAN) ? ring : 0;
}

/* Positions that a plane holds. */
static uint32_t plane_positions(const el_forward *f, uint32_t plane, uint32_t all)
{
    const el_layer *layer = &f->model->layers[plane / f->cache.kv_heads];
    return f->cache.ring != 0 && layer->local ? f->cache.ring : all;
}

static void layout_coded_cache(el_forward *f, el_arena *arena)
{
    const el_config *c = &f->model->config;
    const uint32_t parts = f->kv_bits == 16 ? 2 : 1, n = el_forward_planes(f);
    const uint32_t blocks = (c->head_dim + EL_BLOCK - 1) / EL_BLOCK * parts;
    const uint32_t all = round_up(f->context, EL_TILE);
    f->cache.planes = el_arena_take(arena, n, sizeof(el_kv));
    f->cache.padded = f->constant_time ? all : 0;
    for (uint32_t i = 0; i < n; i++) {
        const size_t positions = plane_positions(f, i, all);
        el_kv kv = {.blocks = blocks, .bits = f->kv_bits};
        kv.keys = el_arena_take(arena, positions, el_kv_row(&kv));
        kv.kscale = el_arena_take(arena, positions, blocks * sizeof(float));
        kv.values = el_arena_take(arena, positions, el_kv_row(&kv));
        kv.vscale = el_arena_take(arena, positions, blocks * sizeof(float));
        if (f->cache.planes) f->cache.planes[i] = kv;
    }
}

/* Here and below, `context` is a factor of its own, so that the arena checks its product: on a
 * 32-bit machine a model that fits can be asked for a context that does not. */
static void layout_exact_cache(el_forward *f, el_arena *arena)
{
    const uint32_t n = el_forward_planes(f);
    const size_t bytes = f->model->config.head_dim * sizeof(float);
    f->cache.exact = el_arena_take(arena, n, sizeof(el_exact_kv));
    for (uint32_t i = 0; i < n; i++) {
        const size_t positions = plane_positions(f, i, f->context);
        el_exact_kv kv = {.keys = el_arena_take(arena, positions, bytes)};
        kv.values = el_arena_take(arena, positions, bytes);
        if (f->cache.exact) f->cache.exact[i] = kv;
    }
}

uint32_t el_forward_planes(const el_forward *f)
{
    return f->model->config.layers * f->model->config.kv_heads;
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

/* Room for adapters: what they multiply is as wide as the widest input. */
static void layout_loras(el_forward *f, uint32_t widest, el_arena *arena)
{
    const el_model *m = f->model;
    if (m->n_loras == 0) return;
    f->low_width = 0;
    for (uint32_t i = 0; i < m->n_loras; i++)
        f->low_width += EL_LORA_TOGETHER * m->loras[i].rank;
    f->scales = el_arena_take(arena, m->n_loras, sizeof(float));
    f->plain = el_arena_take(arena, (size_t)f->batch * widest, sizeof(float));
    f->low = el_arena_take(arena, (size_t)f->batch * f->low_width, sizeof(float));
    for (uint32_t i = 0; f->scales && i < m->n_loras; i++)
        f->scales[i] = m->loras[i].scale;
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
    layout_loras(f, widest, arena);
}

size_t el_forward_scores(const el_forward *f)
{
    const el_config *c = &f->model->config;
    const size_t rows = (size_t)f->batch * (c->heads / c->kv_heads);
    return (rows < EL_ATTEND_ROWS ? rows : EL_ATTEND_ROWS) * round_up(f->context, 64);
}

el_forward_bytes el_forward_layout(el_forward *f, el_arena *arena)
{
    const size_t start = arena->used;
    f->cache.kv_heads = f->model->config.kv_heads;
    f->cache.ring = ring_of(f);
    if (f->exact)
        layout_exact_cache(f, arena);
    else
        layout_coded_cache(f, arena);
    const size_t cache_end = arena->used;
    f->angles = f->local_angles = layout_angles(f, arena, false);
    if (f->model->config.local_rope_base != 0) f->local_angles = layout_angles(f, arena, true);
    layout_activations(f, arena);
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
    tail.adapted = false; /* the head is not */
    const el_layer *last = &f->model->layers[f->model->config.layers - 1];
    const el_norm norm = {f->model->output_norm, true, last->ffn_post_norm};
    el_block_norm(&tail, &norm, el_table_rotations(&f->model->head), member, size);
    el_block_project_head(&tail, &f->model->head, f->head_out, member, size);
}

static void embed(el_forward *f, uint32_t t)
{
    const uint32_t dim = f->model->config.dim;
    float *x = f->x + (size_t)t * dim;
    el_table_row(&f->model->embedding, f->tokens[t], x);
    if (!f->model->architecture->scales_embedding) return;
    for (uint32_t i = 0; i < dim; i++)
        x[i] *= f->model->embedding_scale;
}

static void run_member(void *context, unsigned member, unsigned size)
{
    el_forward *f = context;
    for (uint32_t t = member; t < f->n; t += size)
        embed(f, t);
    el_crew_barrier(f->crew);
    f->model->architecture->layers(f, member, size);
    if (f->head_first < f->n && !f->stopped) run_head(f, member, size);
}

static bool has_adapters(const el_forward *f)
{
    for (uint32_t t = 0; t < f->n; t++)
        for (uint32_t i = 0; i < f->model->n_loras; i++)
            if (f->places[t].scales[i] != 0) return true;
    return false;
}

void el_forward_run(el_forward *f)
{
    f->stopped = false;
    f->adapted = has_adapters(f);
    el_crew_run(f->crew, run_member, f);
}
