#include "server/account.h"

#include <string.h>

const char *const el_deadline_result_names[EL_DEADLINE_RESULTS] = {
    [EL_DEADLINE_NONE] = "none",       [EL_DEADLINE_MET] = "met",
    [EL_DEADLINE_MISSED] = "missed",   [EL_DEADLINE_ABANDONED] = "abandoned",
    [EL_DEADLINE_REFUSED] = "refused",
};

/* Who asked wanted no more of it. */
static bool is_cut(const el_answer *answer)
{
    return answer->has_ended && strcmp(answer->finish, "cancelled") == 0;
}

/* It had a slot. While it waits, nothing else of it is ours to read. */
static bool has_begun(const el_task *task)
{
    return el_task_stage(task) >= EL_STAGE_RUNNING && task->was_taken;
}

static bool is_refused(const el_task *task)
{
    return el_task_stage(task) == EL_STAGE_ENDED && !task->was_taken &&
           task->error.status == EDGELLM_ERR_DEADLINE;
}

/* Whether it was in time is when its last token was there, of those that were looked at. */
void el_account_judge(el_account *account, const el_answer *choice)
{
    const uint64_t until = choice->task->asked_ns + choice->deadline_ms * UINT64_C(1000000);
    account->deadline_ms = choice->deadline_ms;
    if (choice->deadline_ms == 0) return;
    if (choice->has_ended && !is_cut(choice)) {
        account->deadline = choice->last_ns <= until ? EL_DEADLINE_MET : EL_DEADLINE_MISSED;
        if (choice->last_ns > until) account->late_ns = choice->last_ns - until;
    } else if (is_refused(choice->task)) {
        account->deadline = EL_DEADLINE_REFUSED;
    } else if (has_begun(choice->task)) {
        account->deadline = EL_DEADLINE_ABANDONED;
    }
}

/* The earlier of two times, of which 0 is none. */
static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static void add_choice(el_account *account, const el_answer *choice)
{
    const el_task *task = choice->task;
    const uint64_t first = atomic_load_explicit(&task->first_ns, memory_order_relaxed);
    account->answer_tokens += choice->ahead.at;
    account->was_computed &= choice->has_ended && !is_cut(choice);
    if (has_begun(task)) {
        const uint64_t queue = task->began_ns - task->asked_ns;
        if (!account->has_begun || queue < account->queue_ns) account->queue_ns = queue;
        account->has_begun = true;
    }
    if (first == 0) return;
    if (task->request.embedding) /* as in usage: a prompt counts once, each input does */
        account->prompt_tokens += task->request.count;
    else
        account->prompt_tokens = task->request.count;
    account->first_ns = earlier(account->first_ns, first - task->asked_ns);
}

void el_account_answer(el_account *account, const el_answer *answer)
{
    if (!answer->task) return;
    account->was_computed = true;
    account->has_failed = answer->has_failed;
    for (const el_answer *choice = answer; choice; choice = choice->next)
        add_choice(account, choice);
    el_account_judge(account, answer);
}

const char *el_account_outcome(const el_account *account)
{
    if (!account->is_whole) return "gone";
    if (account->has_failed && account->status < 400) return "failed";
    if (account->status < 400) return "done";
    return account->status < 500 ? "refused" : "failed";
}
