#include "base/throttle.h"

#include "base/systext.h"

#define FAIR_SERVER "%s/sys/kernel/debug/sched/fair_server/cpu%u/"

static unsigned part(uint64_t runtime, uint64_t period)
{
    if (period == 0) return EL_THROTTLE_DEFAULT;
    return runtime >= period ? 1000 : (unsigned)((double)runtime * 1000 / (double)period);
}

static unsigned throttle(const char *root)
{
    char text[32];
    const char *at = text;
    uint64_t period = el_systext_value(1000000, "%s/proc/sys/kernel/sched_rt_period_us", root);
    if (!el_systext_read(text, sizeof text, "%s/proc/sys/kernel/sched_rt_runtime_us", root))
        return EL_THROTTLE_DEFAULT;
    if (*at == '-') return 0;
    return 1000 - part(el_systext_number(&at), period);
}

/* Where it cannot be read, as for all but root, the version tells whether there is one. */
static unsigned fair_server(const char *root, unsigned core)
{
    char text[64];
    const char *at = text;
    uint64_t runtime = el_systext_value(UINT64_MAX, FAIR_SERVER "runtime", root, core);
    if (runtime != UINT64_MAX)
        return part(runtime, el_systext_value(1000000000, FAIR_SERVER "period", root, core));
    if (!el_systext_read(text, sizeof text, "%s/proc/sys/kernel/osrelease", root)) return 0;
    uint64_t major = el_systext_number(&at);
    if (*at == '.') at++;
    uint64_t minor = el_systext_number(&at);
    return major > 6 || (major == 6 && minor >= 12) ? EL_THROTTLE_DEFAULT : 0;
}

unsigned el_throttle_share(const char *root, unsigned core)
{
    unsigned a = throttle(root), b = fair_server(root, core);
    return a > b ? a : b;
}
