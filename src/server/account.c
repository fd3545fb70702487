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

/* Whether it was in time is when its last token was there, of those that were looked at. */
static void judge(el_account *account, const el_answer *answer)
{
    const uint64_t until = answer->task->asked_ns + answer->deadline_ms * UINT64_C(1000000);
    account->deadline_ms = answer->deadline_ms;
    if (answer->deadline_ms == 0) return;
    if (answer->has_ended && !is_cut(answer)) {
        account->deadline = answer->last_ns <= until ? EL_DEADLINE_MET : EL_DEADLINE_MISSED;
        if (answer->last_ns > until) account->late_ns = answer->last_ns - until;
    } else if (answer->has_failed && answer->problem.kind == EL_PROBLEM_DEADLINE) {
        account->deadline = EL_DEADLINE_REFUSED;
    } else if (account->has_begun) {
        account->deadline = EL_DEADLINE_ABANDONED;
    }
}

void el_account_answer(el_account *account, const el_answer *answer)
{
    const el_task *task = answer->task;
    if (!task) return;
    const el_stage stage = el_task_stage(task); /* while it waits, nothing of it is ours to read */
    const uint64_t first = atomic_load_explicit(&task->first_ns, memory_order_relaxed);
    account->has_begun = stage >= EL_STAGE_RUNNING && task->was_taken;
    account->was_computed = answer->has_ended && !is_cut(answer);
    account->has_failed = answer->has_failed;
    account->answer_tokens = answer->ahead.at;
    if (account->has_begun) account->queue_ns = task->began_ns - task->asked_ns;
    if (first > 0) {
        account->prompt_tokens = task->request.count;
        account->first_ns = first - task->asked_ns;
    }
    judge(account, answer);
}

const char *el_account_outcome(const el_account *account)
{
    if (!account->is_whole) return "gone";
    if (account->has_failed && account->status < 400) return "failed";
    if (account->status < 400) return "done";
    return account->status < 500 ? "refused" : "failed";
}
