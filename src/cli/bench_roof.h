/*
 * bench_roof.h: how fast this machine can read a model's weights, as the limit that decode is held
 * against: a token reads them all once, so however little is computed, it takes as long as reading.
 *
 * What is read is the model file itself, mapped a second time as the engine maps it, the same
 * pages of the page cache, or copied a second time as the engine copies it; as many bytes as a
 * token reads, the same number of threads, each with a share of its own. One word of every 32 bytes
 * is loaded and added up: each cache line is fetched whole (none is shorter on the machines that
 * this runs on), and there is so little to compute that memory and third-level cache are the limit,
 * not the loop. Adding up all words would not do: where only the baseline instruction set may be
 * used it runs at half the speed of the second-level cache.
 */
#ifndef EL_CLI_BENCH_ROOF_H
#define EL_CLI_BENCH_ROOF_H

#include "base/mapfile.h"
#include "base/threads.h"

typedef struct el_cli_roof {
    el_mapfile map;
    el_arena arena; /* the crew and sums */
    el_crew *crew;  /* NULL: not open */
    uint64_t *sums; /* (EL_CREW_MAX) of the members: what is added up is used */
    const uint8_t *data;
    uint32_t steps; /* of EL_CLI_ROOF_STEP bytes */
    bool copied;    /* the file, not mapped */
} el_cli_roof;

#define EL_CLI_ROOF_STEP 128 /* bytes */

/* Maps the last `bytes` of a file (all of it, if it has fewer) and starts the threads. kept: bytes
 * that this process keeps, of them a copy of the file; a second one is then made as the engine
 * does, where there is room for it; NULL: the engine has mapped it. Start with {0}; close in any
 * case. Errors: IO, FORMAT, MEMORY. */
edgellm_status el_cli_roof_open(el_cli_roof *roof, const char *path, const uint64_t *kept,
                                uint64_t bytes, unsigned threads, edgellm_error *err);

uint64_t el_cli_roof_bytes(const el_cli_roof *roof);

/* Reads them all once. */
void el_cli_roof_read(el_cli_roof *roof);

void el_cli_roof_close(el_cli_roof *roof);

#endif
