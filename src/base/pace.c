#include "base/pace.h"

static int64_t owed(const el_pace *pace, int64_t busy)
{
    return busy / (1000 - (int64_t)pace->share) * (int64_t)pace->share;
}

/* What of the debt has time. */
static int64_t later(const el_pace *pace)
{
    return pace->put_off ? EL_PACE_PUT_OFF : 0;
}

int64_t el_pace_pause(const el_pace *pace)
{
    return pace->debt - later(pace);
}

el_pace el_pace_begin(el_pace_kind kind, unsigned share, el_nanoseconds wall, el_nanoseconds cpu)
{
    share = share == 0 ? 0 : share + EL_PACE_MARGIN;
    return (el_pace){.kind = share == 0 ? EL_PACE_NONE : kind,
                     .share = share < 900 ? share : 900,
                     .wall = wall,
                     .cpu = cpu};
}

bool el_pace_due(const el_pace *pace, el_nanoseconds wall)
{
    const int64_t passed = (int64_t)(wall - pace->wall);
    if (pace->kind == EL_PACE_NONE) return false;
    if (pace->lent) return pace->debt - passed <= later(pace);
    return pace->debt + owed(pace, passed) >= EL_PACE_QUANTUM + later(pace);
}

static el_pace_step count_lent(el_pace *pace, int64_t passed)
{
    pace->debt -= passed;
    if (el_pace_pause(pace) > 0) return EL_PACE_GO_ON;
    if (pace->debt < -EL_PACE_CREDIT) pace->debt = -EL_PACE_CREDIT;
    pace->lent = false;
    return EL_PACE_RETURN;
}

/* What was slept pays debts, but is not saved up: the throttle counts within one period, and a
 * period may begin after it. */
static void count_own(el_pace *pace, int64_t busy, int64_t idle)
{
    pace->debt += owed(pace, busy);
    if (pace->debt > 0) pace->debt = idle < pace->debt ? pace->debt - idle : 0;
}

el_pace_step el_pace_count(el_pace *pace, el_nanoseconds wall, el_nanoseconds cpu)
{
    const int64_t passed = (int64_t)(wall - pace->wall), busy = (int64_t)(cpu - pace->cpu);
    pace->wall = wall;
    pace->cpu = cpu;
    if (pace->lent) return count_lent(pace, passed);
    count_own(pace, busy, passed > busy ? passed - busy : 0);
    if (el_pace_pause(pace) < EL_PACE_QUANTUM) return EL_PACE_GO_ON;
    pace->lent = pace->kind == EL_PACE_LEND && !pace->long_ahead;
    return EL_PACE_LEAVE;
}
