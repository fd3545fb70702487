/*
 * slots.h: what slots hold, for a look, and in files. A slot belongs to the thread that computes,
 * so that thread reads and writes its files, between two turns: only while no request has a
 * deadline, or waits with one, and the slot has no request. What is to be done with a file is a
 * job; there is one, which belongs to one thread at a time, and its stage says to which.
 */
#ifndef EL_SERVER_SLOTS_H
#define EL_SERVER_SLOTS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "edgellm.h"

enum {
    EL_SLOT_FILE = 128, /* bytes of a file's name, at most */
    EL_SLOT_PATH = 4096
};

typedef enum el_slot_act {
    EL_SLOT_SAVE,
    EL_SLOT_RESTORE,
    EL_SLOT_ERASE,
    EL_SLOT_ACTS /* none of them */
} el_slot_act;

typedef enum el_slot_stage {
    EL_SLOT_FREE,  /* network */
    EL_SLOT_ASKED, /* compute */
    EL_SLOT_DONE   /* network */
} el_slot_stage;

typedef struct el_slot_job {
    _Atomic uint32_t stage; /* el_slot_stage */
    /* set by the network */
    el_slot_act act;
    uint32_t slot;
    char file[EL_SLOT_FILE + 1], path[EL_SLOT_PATH];
    /* set by the compute thread */
    bool is_busy;        /* it was not done: the slot has a request, or somebody a deadline */
    edgellm_error error; /* else its status is OK, or this is why it was not done */
    uint32_t tokens;     /* that were saved, restored or erased */
    uint64_t bytes, ns;  /* of the file; that it took */
} el_slot_job;

typedef struct el_slots {
    el_slot_job job;
    uint64_t most_bytes; /* of a file that a slot may be restored from */
    struct {
        _Atomic uint32_t tokens, held; /* edgellm_slot */
        _Atomic bool is_taken;
    } seen[EDGELLM_SCHEDULER_SLOTS]; /* as of late */
} el_slots;

/* Before anything else. memory: of the scheduler. */
void el_slots_open(el_slots *slots, const edgellm_memory_plan *memory, uint32_t n);

static inline el_slot_stage el_slots_stage(const el_slots *slots)
{
    return (el_slot_stage)atomic_load_explicit(&slots->job.stage, memory_order_acquire);
}

static inline void el_slots_set_stage(el_slots *slots, el_slot_stage stage)
{
    atomic_store_explicit(&slots->job.stage, (uint32_t)stage, memory_order_release);
}

/* ---- by the compute thread ----------------------------------------------------------------- */

/* Does the job that is asked for, or says that it cannot be done now; false: there is none. */
bool el_slots_work(el_slots *slots, const edgellm_scheduler *scheduler, bool is_promised);

/* What the slots hold now. */
void el_slots_show(el_slots *slots, const edgellm_scheduler *scheduler);

/* ---- without threads ----------------------------------------------------------------------- */

/* A name that stays in its folder and is seen there: no slash, no dot at its beginning, nothing
 * that is no printable ASCII, 1 to EL_SLOT_FILE bytes. */
bool el_slots_is_file(const char *name);

#endif
