#include "server/tasks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"

enum { RETRY_MOST = 600 };

/* Of a task: its prompt, and its answer behind that. */
static size_t tokens_of(const el_tasks_room *room)
{
    return (size_t)room->context + room->answer + 1;
}

static size_t words_of(const el_tasks_room *room)
{
    return room->n * tokens_of(room) + el_ring_size(room->n);
}

uint64_t el_tasks_bytes(const el_tasks_room *room)
{
    const uint64_t n = room->n, tokens = n * (room->answer + UINT64_C(1));
    return words_of(room) * sizeof(uint32_t) + n * (sizeof(el_task) + room->dim * sizeof(float)) +
           tokens * (sizeof(uint64_t) + sizeof(float) + room->top * sizeof(edgellm_logprob));
}

/* Memory that is there: touched. */
static void *make(size_t bytes)
{
    void *memory = malloc(bytes > 0 ? bytes : 1);
    return memory ? memset(memory, 0, bytes) : NULL;
}

static void release_memory(el_tasks *tasks)
{
    free(tasks->list);
    free(tasks->memory);
    free(tasks->times);
    free(tasks->logprobs);
    free(tasks->top);
    free(tasks->embeddings);
    memset(tasks, 0, sizeof *tasks);
}

static bool make_all(el_tasks *tasks, const el_tasks_room *room)
{
    const size_t tokens = room->n * ((size_t)room->answer + 1);
    tasks->list = calloc(room->n, sizeof *tasks->list);
    tasks->memory = make(words_of(room) * sizeof *tasks->memory);
    tasks->times = make(tokens * sizeof *tasks->times);
    tasks->logprobs = make(tokens * sizeof *tasks->logprobs);
    tasks->top = make(tokens * room->top * sizeof *tasks->top);
    tasks->embeddings = make((size_t)room->n * room->dim * sizeof *tasks->embeddings);
    return tasks->list && tasks->memory && tasks->times && tasks->logprobs && tasks->top &&
           tasks->embeddings;
}

edgellm_status el_tasks_open(el_tasks *tasks, const el_tasks_room *room, sem_t *wake,
                             edgellm_error *err)
{
    const size_t all = tokens_of(room), each = (size_t)room->answer + 1;
    memset(tasks, 0, sizeof *tasks);
    if (!make_all(tasks, room)) {
        release_memory(tasks);
        return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for %u requests of %u tokens", room->n,
                       room->context);
    }
    tasks->n = room->n;
    tasks->dim = room->dim;
    tasks->answer = room->answer;
    for (uint32_t i = 0; i < room->n; i++) {
        tasks->list[i].tokens = tasks->memory + i * all;
        tasks->list[i].times = tasks->times + i * each;
        tasks->list[i].logprobs = tasks->logprobs + i * each;
        tasks->list[i].top = tasks->top + i * each * room->top;
        tasks->list[i].embedding = tasks->embeddings + (size_t)i * room->dim;
    }
    tasks->asked.slots = tasks->memory + room->n * all;
    tasks->asked.size = el_ring_size(room->n);
    tasks->wake = wake;
    return EDGELLM_OK;
}

void el_tasks_close(el_tasks *tasks)
{
    if (!tasks->list) return;
    for (uint32_t i = 0; i < tasks->n; i++)
        edgellm_grammar_destroy(tasks->list[i].grammar);
    release_memory(tasks);
}

/* ---- by the network ------------------------------------------------------------------------ */

static el_task *find_from(el_tasks *tasks, uint32_t first)
{
    for (uint32_t i = first; i < tasks->n; i++) {
        el_task *task = &tasks->list[i];
        if (el_task_stage(task) != EL_STAGE_FREE) continue;
        *task = (el_task){.tokens = task->tokens,
                          .times = task->times,
                          .logprobs = task->logprobs,
                          .top = task->top,
                          .embedding = task->embedding};
        return task;
    }
    return NULL;
}

el_task *el_tasks_find(el_tasks *tasks)
{
    return find_from(tasks, 0);
}

el_task *el_tasks_find_next(el_tasks *tasks, const el_task *task)
{
    return find_from(tasks, (uint32_t)(task - tasks->list) + 1);
}

uint32_t el_tasks_n_free(const el_tasks *tasks)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < tasks->n; i++)
        n += el_task_stage(&tasks->list[i]) == EL_STAGE_FREE;
    return n;
}

void el_tasks_hand_over(el_tasks *tasks, el_task *task)
{
    el_task_set_stage(task, EL_STAGE_ASKED);
    el_ring_add(&tasks->asked, (uint32_t)(task - tasks->list)); /* holds as many as there are */
    sem_post(tasks->wake);
}

void el_tasks_cancel(el_tasks *tasks, el_task *task)
{
    atomic_store(&task->is_cancelled, true);
    sem_post(tasks->wake);
}

bool el_tasks_change(el_tasks *tasks, el_task *task, uint64_t deadline_ns)
{
    if (el_task_change(task) == EL_CHANGE_ASKED) return false;
    task->changed.deadline_ns = deadline_ns;
    el_task_answer_change(task, EL_CHANGE_ASKED);
    sem_post(tasks->wake);
    return true;
}

static void release(el_task *task)
{
    edgellm_grammar_destroy(task->grammar);
    task->grammar = NULL;
    task->is_orphan = false;
    el_task_set_stage(task, EL_STAGE_FREE);
}

void el_tasks_abandon(el_tasks *tasks, el_task *task)
{
    if (el_task_stage(task) == EL_STAGE_ENDED) {
        release(task);
        return;
    }
    task->is_orphan = true;
    tasks->n_orphans++;
    el_tasks_cancel(tasks, task);
}

void el_tasks_sweep(el_tasks *tasks)
{
    for (uint32_t i = 0; tasks->n_orphans > 0 && i < tasks->n; i++) {
        el_task *task = &tasks->list[i];
        if (!task->is_orphan || el_task_stage(task) != EL_STAGE_ENDED) continue;
        release(task);
        tasks->n_orphans--;
    }
}

bool el_tasks_are_free(el_tasks *tasks)
{
    el_tasks_sweep(tasks);
    for (uint32_t i = 0; i < tasks->n; i++)
        if (el_task_stage(&tasks->list[i]) != EL_STAGE_FREE) return false;
    return true;
}

/* Seconds until a task that runs has made all its tokens, if it goes on as it did. */
static double seconds_left(const el_task *task, uint64_t now)
{
    const uint32_t made = atomic_load(&task->n_answer);
    const double each = (double)(now - task->began_ns) / (made + 1.0);
    return each * (task->request.max_tokens - made) / 1e9;
}

static uint32_t whole_seconds(double seconds)
{
    return (uint32_t)(seconds < RETRY_MOST - 1 ? seconds + 1 : RETRY_MOST);
}

uint32_t el_tasks_retry_after(const el_tasks *tasks, uint64_t now_ns)
{
    double least = RETRY_MOST;
    bool any = false;
    for (uint32_t i = 0; i < tasks->n; i++) {
        const el_task *task = &tasks->list[i];
        if (el_task_stage(task) != EL_STAGE_RUNNING) continue;
        const double left = seconds_left(task, now_ns);
        if (left < least) least = left;
        any = true;
    }
    return any ? whole_seconds(least) : 1;
}

uint32_t el_tasks_all_after(const el_tasks *tasks, uint64_t now_ns)
{
    double most = 0;
    for (uint32_t i = 0; i < tasks->n; i++) {
        const el_task *task = &tasks->list[i];
        if (el_task_stage(task) != EL_STAGE_RUNNING) continue;
        const double left = seconds_left(task, now_ns);
        if (left > most) most = left;
    }
    return whole_seconds(most);
}

/* ---- by the compute thread ----------------------------------------------------------------- */

el_task *el_tasks_next(el_tasks *tasks)
{
    uint32_t number;
    return el_ring_take(&tasks->asked, &number) ? &tasks->list[number] : NULL;
}

void el_tasks_wait(sem_t *wake)
{
    while (sem_wait(wake) != 0 && errno == EINTR) {
    }
}

void el_task_set_top(el_task *task, const edgellm_logprob *top)
{
    const uint32_t n = atomic_load_explicit(&task->n_answer, memory_order_relaxed);
    const uint32_t k = task->request.top_logprobs;
    memcpy(task->top + (size_t)n * k, top, k * sizeof *top);
}

void el_tasks_set_embedding(const el_tasks *tasks, el_task *task, const float *embedding)
{
    const uint64_t now = el_clock_now();
    memcpy(task->embedding, embedding, tasks->dim * sizeof *embedding);
    atomic_store_explicit(&task->first_ns, now, memory_order_relaxed);
    atomic_store_explicit(&task->last_ns, now, memory_order_relaxed);
}

void el_task_add(el_task *task, uint32_t token, float logprob, uint64_t now_ns)
{
    const uint32_t n = atomic_load_explicit(&task->n_answer, memory_order_relaxed);
    task->tokens[task->request.count + n] = token;
    task->times[n] = now_ns;
    task->logprobs[n] = logprob;
    if (n == 0) atomic_store_explicit(&task->first_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&task->last_ns, now_ns, memory_order_relaxed);
    atomic_store_explicit(&task->n_answer, n + 1, memory_order_release);
}

void el_task_set_stage(el_task *task, el_stage stage)
{
    atomic_store_explicit(&task->stage, stage, memory_order_release);
}

void el_task_answer_change(el_task *task, el_change change)
{
    atomic_store_explicit(&task->changed.state, (uint32_t)change, memory_order_release);
}
