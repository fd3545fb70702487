/*
 * faults.h: makes the Nth call of a kind fail, and counts what is held. The linker puts the
 * functions of faults.c before the system's in everything that is linked into the test, but not
 * inside shared libraries.
 */
#ifndef EL_TEST_FAULTS_H
#define EL_TEST_FAULTS_H

#include <stdbool.h>

typedef enum fault_call {
    FAULT_MEMORY = 1 << 0, /* malloc, calloc, realloc, aligned_alloc, strdup, realpath */
    FAULT_MMAP = 1 << 1,   /* of memory */
    FAULT_LOCK = 1 << 2,   /* mlock, madvise */
    FAULT_OPEN = 1 << 3,
    FAULT_OPEN_HINT = 1 << 4, /* open of a folder or below /proc and /sys; fopen */
    FAULT_READ = 1 << 5,
    FAULT_WRITE = 1 << 6,
    FAULT_SEEK = 1 << 7,
    FAULT_SYNC = 1 << 8,
    FAULT_SYNC_FOLDER = 1 << 9,
    FAULT_CLOSE = 1 << 10, /* the descriptor is closed all the same, as on Linux */
    FAULT_RENAME = 1 << 11,
    FAULT_FLOCK = 1 << 12,
    FAULT_STAT = 1 << 13, /* stat, lstat, fstat */
    FAULT_AFFINITY = 1 << 14,
    FAULT_THREAD = 1 << 15,
    FAULT_MMAP_FILE = 1 << 16,
    FAULT_READ_FILE = 1 << 17, /* pread */
    FAULT_PIN = 1 << 18,       /* sched_setaffinity */
    FAULT_POLICY = 1 << 19,    /* sched_setattr */
    FAULT_POLICY_GET = 1 << 20
} fault_call;

typedef enum fault_way {
    FAULT_ERROR, /* fails with `error` */
    FAULT_SHORT  /* a read or write of half the bytes, at least one */
} fault_way;

typedef struct fault {
    const char *name;
    unsigned calls; /* fault_call values: which calls are counted */
    fault_way way;
    int error;
    bool lasting; /* all calls from the Nth on fail; else it alone */
} fault;

/* From now on; nth: 1, 2, ... */
void faults_arm(const fault *f, unsigned nth);
/* Nothing fails any more. Was there an Nth call? */
bool faults_disarm(void);

/* What is armed, 0 if nothing; and a while in which nothing fails and nothing is counted. */
unsigned faults_armed(void);
void faults_pause(bool pause);

/* What the process holds more than at its start: each must be the same after as before. */
typedef struct faults_held {
    int memory, maps, descriptors, streams, threads;
} faults_held;

faults_held faults_now(void);

#endif
