#include "server/slots.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/error.h"

/* Who saved a file. What another version computed may have other bits. */
#define NOTE "edgellm " EDGELLM_VERSION " server slot"

enum {
    REST_BYTES = 1 << 16, /* of a file: header, sampler, note, what lies between sections */
    NOTE_MOST = 96        /* bytes of another program's note that are told */
};

void el_slots_open(el_slots *slots, const edgellm_memory_plan *memory, uint32_t n)
{
    memset(slots, 0, sizeof *slots);
    slots->most_bytes = memory->kv_cache / n + memory->scratch + REST_BYTES;
}

/* ---- jobs ---------------------------------------------------------------------------------- */

static edgellm_status save(const el_slots *slots, el_slot_job *job, edgellm_session *session)
{
    struct stat file;
    (void)slots;
    job->tokens = edgellm_session_position(session);
    EL_TRY(edgellm_session_save(session, job->path, NOTE, sizeof NOTE - 1, &job->error));
    if (stat(job->path, &file) == 0) job->bytes = (uint64_t)file.st_size;
    return EDGELLM_OK;
}

/* It is read whole before it is looked at: as much as a slot holds. */
static edgellm_status check_size(const el_slots *slots, el_slot_job *job)
{
    struct stat file;
    if (stat(job->path, &file) != 0)
        return el_fail(&job->error, EDGELLM_ERR_IO, "'%s' cannot be opened: %s", job->file,
                       strerror(errno));
    job->bytes = (uint64_t)file.st_size;
    if (S_ISREG(file.st_mode) && job->bytes <= slots->most_bytes) return EDGELLM_OK;
    return el_fail(&job->error, EDGELLM_ERR_USAGE,
                   "'%s' is no file, or one of more than the %" PRIu64 " bytes that a slot holds",
                   job->file, slots->most_bytes);
}

static edgellm_status check_note(el_slot_job *job)
{
    char note[NOTE_MOST] = "";
    size_t len;
    EL_TRY(edgellm_session_note(job->path, note, sizeof note, &len, &job->error));
    if (len == sizeof NOTE - 1 && memcmp(note, NOTE, len) == 0) return EDGELLM_OK;
    return el_fail(&job->error, EDGELLM_ERR_USAGE,
                   "'%s' was not saved by this version's server: its note is \"%.*s\", not "
                   "\"" NOTE "\", and the bits may be others",
                   job->file, (int)(len < sizeof note ? len : sizeof note), note);
}

static edgellm_status restore(const el_slots *slots, el_slot_job *job, edgellm_session *session)
{
    EL_TRY(check_size(slots, job));
    EL_TRY(check_note(job));
    EL_TRY(edgellm_session_load(session, job->path, &job->error));
    job->tokens = edgellm_session_position(session);
    return EDGELLM_OK;
}

static edgellm_status erase(const el_slots *slots, el_slot_job *job, edgellm_session *session)
{
    (void)slots;
    job->tokens = edgellm_session_position(session);
    return edgellm_session_truncate(session, 0, &job->error);
}

static edgellm_status (*const acts[EL_SLOT_ACTS])(const el_slots *slots, el_slot_job *job,
                                                  edgellm_session *session) = {
    [EL_SLOT_SAVE] = save, [EL_SLOT_RESTORE] = restore, [EL_SLOT_ERASE] = erase};

bool el_slots_work(el_slots *slots, const edgellm_scheduler *scheduler, bool is_promised)
{
    el_slot_job *job = &slots->job;
    edgellm_slot slot = {.id = 0};
    if (el_slots_stage(slots) != EL_SLOT_ASKED) return false;
    const uint64_t began = el_clock_now();
    job->error.status = EDGELLM_OK;
    job->bytes = 0;
    job->is_busy =
        is_promised || !edgellm_scheduler_slot(scheduler, job->slot, &slot) || slot.id != 0;
    if (!job->is_busy) (void)acts[job->act](slots, job, slot.session);
    job->ns = el_clock_now() - began;
    el_slots_set_stage(slots, EL_SLOT_DONE);
    return true;
}

/* ---- a look -------------------------------------------------------------------------------- */

void el_slots_show(el_slots *slots, const edgellm_scheduler *scheduler)
{
    edgellm_slot slot;
    for (uint32_t i = 0; edgellm_scheduler_slot(scheduler, i, &slot); i++) {
        atomic_store_explicit(&slots->seen[i].tokens, edgellm_session_position(slot.session),
                              memory_order_relaxed);
        atomic_store_explicit(&slots->seen[i].held, slot.held, memory_order_relaxed);
        atomic_store_explicit(&slots->seen[i].is_taken, slot.id != 0, memory_order_relaxed);
    }
}

bool el_slots_is_file(const char *name)
{
    const size_t len = strlen(name);
    if (len == 0 || len > EL_SLOT_FILE || name[0] == '.') return false;
    for (size_t i = 0; i < len; i++)
        if (name[i] <= ' ' || name[i] > '~' || name[i] == '/' || name[i] == '\\') return false;
    return true;
}
