#include "cli/bench_roof.h"

#include "base/quota.h"

enum { WORD = 8, WORDS = EL_CLI_ROOF_STEP / WORD, APART = 32 / WORD };

_Static_assert(WORDS == 4 * APART, "a step is four loads");

/* Four sums, so that no addition waits for the one before it. */
static uint64_t read_steps(const uint8_t *data, size_t steps)
{
    const uint64_t *words = (const uint64_t *)(const void *)data;
    uint64_t a = 0, b = 0, c = 0, d = 0;
    for (size_t at = 0; at < steps * WORDS; at += WORDS) {
        a += words[at];
        b += words[at + APART];
        c += words[at + (size_t)2 * APART];
        d += words[at + (size_t)3 * APART];
    }
    return a + b + c + d;
}

static void read_share(void *context, unsigned member, unsigned size)
{
    el_cli_roof *roof = context;
    uint32_t begin, end;
    el_share(roof->steps, member, size, &begin, &end);
    roof->sums[member] = read_steps(roof->data + (size_t)begin * EL_CLI_ROOF_STEP, end - begin);
}

void el_cli_roof_read(el_cli_roof *roof)
{
    el_crew_run(roof->crew, read_share, roof);
}

uint64_t el_cli_roof_bytes(const el_cli_roof *roof)
{
    return (uint64_t)roof->steps * EL_CLI_ROOF_STEP;
}

static void layout(el_cli_roof *roof, el_arena *arena)
{
    roof->crew = el_crew_layout(arena);
    roof->sums = el_arena_take(arena, EL_CREW_MAX, sizeof *roof->sums);
}

static edgellm_status start_crew(el_cli_roof *roof, unsigned threads, edgellm_error *err)
{
    el_arena measure = el_arena_measure(), arena;
    layout(roof, &measure);
    edgellm_status status = el_arena_reserve(&arena, measure.used, err);
    if (status != EDGELLM_OK) return status;
    layout(roof, &arena);
    status = el_crew_start(roof->crew, threads, err);
    if (status == EDGELLM_OK) {
        roof->arena = arena;
        return EDGELLM_OK;
    }
    roof->crew = NULL;
    el_arena_release(&arena);
    return status;
}

/* Weights lie at the file's end. The file may have been replaced since the engine opened it. */
static void choose_bytes(el_cli_roof *roof, uint64_t bytes)
{
    uint64_t steps = (bytes < roof->map.size ? bytes : roof->map.size) / EL_CLI_ROOF_STEP;
    if (steps > UINT32_MAX) steps = UINT32_MAX;
    roof->steps = (uint32_t)steps;
    roof->data = roof->map.data + (roof->map.size - el_cli_roof_bytes(roof)) / EL_ALIGN * EL_ALIGN;
}

static edgellm_status open_file(el_cli_roof *roof, const char *path, const uint64_t *kept,
                                edgellm_error *err)
{
    if (kept == NULL) return el_mapfile_open(&roof->map, path, err);
    const uint64_t room = el_quota_room(el_quota_memory("/proc/self/cgroup", "/sys/fs/cgroup"),
                                        el_quota_left("/proc/meminfo"), *kept);
    const edgellm_status status = el_mapfile_copy_within(&roof->map, path, room, err);
    roof->copied = status == EDGELLM_OK;
    return status == EDGELLM_ERR_MEMORY ? el_mapfile_open(&roof->map, path, err) : status;
}

edgellm_status el_cli_roof_open(el_cli_roof *roof, const char *path, const uint64_t *kept,
                                uint64_t bytes, unsigned threads, edgellm_error *err)
{
    edgellm_status status = open_file(roof, path, kept, err);
    if (status != EDGELLM_OK) return status;
    el_mapfile_settle(&roof->map);
    choose_bytes(roof, bytes);
    return start_crew(roof, threads, err);
}

void el_cli_roof_close(el_cli_roof *roof)
{
    if (roof->crew) {
        el_crew_stop(roof->crew);
        el_arena_release(&roof->arena);
    }
    el_mapfile_close(&roof->map);
    *roof = (el_cli_roof){0};
}
