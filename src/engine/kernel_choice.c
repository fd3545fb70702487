/* kernel_choice.c: see kernel_choice.h. */
#include "engine/kernel_choice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/crc32.h"
#include "base/outfile.h"

const char *const el_choice_names[EL_CHOICE_WAYS] = {"newest", "given", "measured", "remembered"};

/* ---- timing -------------------------------------------------------------------------------- */

enum {
    ROWS = 128, /* with COLS: as much as a small model's matrix, within the second-level cache */
    COLS = 576,
    GROUP = 128,
    BLOCKS = COLS / EL_BLOCK,
    ROUNDS = 9,
};

static const el_codec timed[] = {EL_CODEC_S2, EL_CODEC_S3, EL_CODEC_S4};
enum { TIMED = sizeof timed / sizeof timed[0] };

typedef struct bench {
    el_matrix matrix[TIMED];
    el_acts acts;
    float *out;
} bench;

/* Codes of any kind take the same time: all memory is zeros. */
static void layout(bench *b, el_arena *arena)
{
    for (int i = 0; i < TIMED; i++) {
        el_matrix_layout l;
        el_matrix_measure(ROWS, COLS, timed[i], EL_SCALE_BYTE, GROUP, &l);
        uint8_t *data = el_arena_take(arena, 1, (size_t)l.bytes);
        if (data) el_matrix_view(&b->matrix[i], data, ROWS, COLS, timed[i], EL_SCALE_BYTE, GROUP);
    }
    b->acts.blocks = BLOCKS;
    b->acts.q = el_arena_take(arena, COLS, sizeof *b->acts.q);
    b->acts.scale = el_arena_take(arena, BLOCKS, sizeof *b->acts.scale);
    b->acts.sum = el_arena_take(arena, BLOCKS, sizeof *b->acts.sum);
    b->out = el_arena_take(arena, ROWS, sizeof *b->out);
}

static uint64_t time_once(const bench *b, const el_kernels *k)
{
    const el_nanoseconds start = el_clock_now();
    for (int i = 0; i < TIMED; i++) {
        const el_matrix *m = &b->matrix[i];
        k->matmul[timed[i]](m, &b->acts, 1, 0, m->tiles, b->out, ROWS);
    }
    return el_clock_now() - start;
}

edgellm_status el_kernels_time(el_cpu_level highest, uint64_t nanoseconds[EL_CPU_LEVELS],
                               edgellm_error *err)
{
    bench b = {.out = NULL};
    el_arena measure = el_arena_measure(), arena;
    layout(&b, &measure);
    EL_TRY(el_arena_reserve(&arena, measure.used, err));
    layout(&b, &arena);
    memset(nanoseconds, 0, EL_CPU_LEVELS * sizeof *nanoseconds);
    for (int round = 0; round < ROUNDS; round++) {
        for (int level = 0; level <= (int)highest; level++) {
            el_kernels k;
            if (!el_cpu_has((el_cpu_level)level)) continue;
            el_kernels_init(&k, (el_cpu_level)level);
            const uint64_t ns = time_once(&b, &k);
            if (nanoseconds[level] == 0 || ns < nanoseconds[level]) nanoseconds[level] = ns + !ns;
        }
    }
    el_arena_release(&arena);
    return EDGELLM_OK;
}

/* The newest level, unless an older one is a tenth faster: a noisy machine shall not decide. */
static el_cpu_level fastest(const uint64_t nanoseconds[EL_CPU_LEVELS])
{
    int best = EL_CPU_SCALAR;
    for (int level = EL_CPU_SCALAR + 1; level < EL_CPU_LEVELS; level++) {
        const uint64_t ns = nanoseconds[level];
        if (ns != 0 && ns - ns / 10 <= nanoseconds[best]) best = level;
    }
    return (el_cpu_level)best;
}

/* ---- remembering --------------------------------------------------------------------------- */

/* Lines of /proc/cpuinfo that tell one kind of core from another, on any architecture. */
static bool names_the_core(const char *line)
{
    static const char *const fields[] = {"vendor_id",  "cpu family",  "model",    "stepping",
                                         "CPU implem", "CPU variant", "CPU part", "CPU revision",
                                         "mvendorid",  "marchid",     "mimpid",   "isa",
                                         "uarch"};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (strncmp(line, fields[i], strlen(fields[i])) == 0) return true;
    return false;
}

static uint32_t identify_cores(void)
{
    char line[512];
    uint32_t crc = 0;
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (file == NULL) return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (names_the_core(line)) crc = el_crc32(crc, line, strlen(line));
    fclose(file);
    return crc;
}

/* The file of these cores, this build and these levels. Owned: free(); NULL: no memory. */
static char *path_in(const char *folder, el_cpu_level highest)
{
    static const char version[] = EDGELLM_VERSION;
    uint32_t levels = 0;
    char *path = NULL;
    for (int level = 0; level <= (int)highest; level++)
        if (el_cpu_has((el_cpu_level)level)) levels |= 1u << level;
    const uint32_t crc = el_crc32(identify_cores(), version, sizeof version);
    return asprintf(&path, "%s/kernel-%08x-%x", folder, crc, levels) < 0 ? NULL : path;
}

/* False: there is no such file, or it names no level that may be used. */
static bool recall(const char *path, el_cpu_level highest, el_cpu_level *level)
{
    char name[32] = "";
    FILE *file = fopen(path, "re");
    if (file == NULL) return false;
    const bool read = fgets(name, sizeof name, file) != NULL;
    fclose(file);
    name[strcspn(name, "\n")] = '\0';
    const int found = read ? el_cpu_level_parse(name) : -1;
    if (found < 0 || found > (int)highest || !el_cpu_has((el_cpu_level)found)) return false;
    *level = (el_cpu_level)found;
    return true;
}

static void remember(const char *folder, const char *path, el_cpu_level level)
{
    const char *name = el_cpu_level_name(level);
    el_outfile out;
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) return;
    if (el_outfile_create(&out, path, NULL) != EDGELLM_OK) return;
    el_outfile_write(&out, name, strlen(name));
    el_outfile_write(&out, "\n", 1);
    el_outfile_commit(&out, NULL);
}

el_choice_how el_kernels_choose(el_kernels *kernels, el_cpu_level highest, const char *folder)
{
    uint64_t nanoseconds[EL_CPU_LEVELS];
    el_cpu_level level = highest;
    el_choice_how how = EL_CHOICE_NEWEST;
    char *path = path_in(folder, highest);
    if (path != NULL && recall(path, highest, &level)) {
        how = EL_CHOICE_REMEMBERED;
    } else if (el_kernels_time(highest, nanoseconds, NULL) == EDGELLM_OK) {
        level = fastest(nanoseconds);
        how = EL_CHOICE_MEASURED;
        if (path != NULL) remember(folder, path, level);
    }
    free(path);
    el_kernels_init(kernels, level);
    return how;
}
