/* doctor_checks_memory.c: memory: how much, in what pages, whether it can be kept in place. */
#include <stdio.h>
#include <string.h>

#include "cli/doctor_checks.h"

enum { SMALL_PAGE = 4096, LARGE_PAGE = 65536, STACK_BYTES = 1024 * 1024 };

#define SMALLEST_NEED 100000000 /* about what a model of 135 million weights takes */

/* ---- pages and bytes ---------------------------------------------------------------------- */

void el_cli_check_page_size(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice small = {
        .effect = "the memory plan is exact to a page in every mapping; files work on any size"};
    static const el_cli_advice middle = {
        .effect = "fewer misses in address translation than with 4 KiB; each"
                  " mapping may take up to a page more than planned"};
    static const el_cli_advice large = {
        .effect = "small mappings and stacks are rounded up: up to 64 KiB more than planned each;"
                  " no loss of speed"};
    if (f->page_bytes <= 0) {
        el_cli_not_known(finding, "the page size");
        return;
    }
    const el_cli_advice *advice = f->page_bytes <= SMALL_PAGE  ? &small
                                  : f->page_bytes < LARGE_PAGE ? &middle
                                                               : &large;
    el_cli_find(finding, advice == &large ? EL_CLI_STATE_NOTE : EL_CLI_STATE_OK, advice, "%lld KiB",
                (long long)f->page_bytes / 1024);
}

/* What this process can still get: of the machine and of its control group; or unknown. */
static int64_t room(const el_cli_facts *f)
{
    if (f->group_room == EL_CLI_UNKNOWN) return f->memory_available;
    if (f->memory_available == EL_CLI_UNKNOWN) return f->group_room;
    return f->group_room < f->memory_available ? f->group_room : f->memory_available;
}

void el_cli_check_memory(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice enough = {
        .effect = "all memory of a session is reserved and touched at its start; none is asked for"
                  " later"};
    static const el_cli_advice limited = {
        .effect = "beyond the control group's limit the kernel kills the process: state the same"
                  " limit to the engine, which then refuses instead",
        .remedy = "edgellm info MODEL --max-ram SIZE"};
    static const el_cli_advice tight = {
        .effect = "too little for even a small model: opening a session fails, or weights are read"
                  " from disk again for every token",
        .remedy = "ps -eo rss,comm --sort=-rss | head   # what takes it? stop what is not needed"};
    int64_t free_bytes = room(f);
    if (free_bytes == EL_CLI_UNKNOWN) {
        el_cli_not_known(finding, "memory");
        return;
    }
    bool grouped = f->group_limit != EL_CLI_UNKNOWN;
    const el_cli_advice *advice = free_bytes < SMALLEST_NEED ? &tight
                                  : grouped                  ? &limited
                                                             : &enough;
    el_cli_state state = advice == &tight     ? EL_CLI_STATE_WARN
                         : advice == &limited ? EL_CLI_STATE_NOTE
                                              : EL_CLI_STATE_OK;
    el_cli_find(finding, state, advice, "%s total, %s available, control group's limit %s",
                el_cli_megabytes(f->memory_total).text, el_cli_megabytes(f->memory_available).text,
                grouped ? el_cli_megabytes(f->group_limit).text : "none");
}

void el_cli_check_plan(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice fits = {
        .effect = "the session fits, with a tenth of the free memory to spare"};
    static const el_cli_advice close = {
        .effect = "it fits, barely: when others need memory, weights are dropped and read again"
                  " from disk in the middle of an answer",
        .remedy = "edgellm info MODEL -c 256   # a shorter context needs less"};
    static const el_cli_advice too_large = {
        .effect = "it does not fit: the kernel kills the process, or weights are read from disk"
                  " again for every token",
        .remedy = "edgellm info MODEL -c 256   # a shorter context, or fewer bits"};
    int64_t free_bytes = room(f);
    if (free_bytes == EL_CLI_UNKNOWN) {
        el_cli_not_known(finding, "memory to compare the plan with");
        return;
    }
    const el_cli_advice *advice = f->plan_bytes > free_bytes                     ? &too_large
                                  : f->plan_bytes > free_bytes - free_bytes / 10 ? &close
                                                                                 : &fits;
    el_cli_state state = advice == &too_large ? EL_CLI_STATE_WARN
                         : advice == &close   ? EL_CLI_STATE_NOTE
                                              : EL_CLI_STATE_OK;
    el_cli_find(finding, state, advice, "%s for a context of %lld; %s can be had",
                el_cli_megabytes(f->plan_bytes).text, (long long)f->plan_context,
                el_cli_megabytes(free_bytes).text);
}

/* ---- model file --------------------------------------------------------------------------- */

static const el_cli_advice local_file = {
    .effect = "weights are read from the file once, when a session starts"};
static const el_cli_advice not_cached = {
    .effect = "the first start waits for the disk; later ones find the file in memory",
    .remedy = "cat MODEL > /dev/null",
    .lasting = "sudo apt-get install vmtouch; vmtouch -dl MODEL   # at each boot"};
static const el_cli_advice on_card = {
    .effect = "a card reads tens of MB a second: seconds until the first token after a boot, and"
              " pauses whenever weights had to be dropped",
    .remedy = "cat MODEL > /dev/null",
    .lasting = "cp MODEL /mnt/SSD/   # a USB or NVMe disk reads several times faster"};
static const el_cli_advice on_disk = {
    .effect = "a rotating disk: a slow first start, and pauses if weights had to be dropped",
    .remedy = "cat MODEL > /dev/null",
    .lasting = "cp MODEL /mnt/SSD/"};
static const el_cli_advice on_network = {
    .effect = "a page that was dropped comes back over the network in the middle of a token; a lost"
              " connection ends the process (SIGBUS)",
    .remedy = "cp MODEL /var/lib/   # any local disk; then use that copy"};

static bool network_file_system(const char *name)
{
    static const char *const names[] = {"nfs",  "nfs4", "cifs",       "smb3",           "smbfs",
                                        "9p",   "ceph", "fuse.sshfs", "fuse.glusterfs", "afs",
                                        "ncpfs"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) return true;
    }
    return false;
}

/* A virtual disk calls itself rotating whatever it is. */
static bool virtual_disk(const el_cli_facts *f)
{
    return strncmp(f->model_device, "vd", 2) == 0 || strncmp(f->model_device, "xvd", 3) == 0;
}

static bool rotates(const el_cli_facts *f)
{
    return f->model_rotational > 0 && !virtual_disk(f);
}

static const char *disk_kind(const el_cli_facts *f)
{
    if (f->model_card[0] != '\0') return f->model_card;
    if (virtual_disk(f)) return "virtual disk";
    if (f->model_rotational == EL_CLI_UNKNOWN) return "kind of disk unknown";
    return rotates(f) ? "rotating disk" : "solid state";
}

void el_cli_check_model_file(const el_cli_facts *f, el_cli_finding *finding)
{
    bool cached = f->model_cached == f->model_bytes;
    const el_cli_advice *advice = network_file_system(f->model_file_system) ? &on_network
                                  : f->model_card[0] != '\0'                ? &on_card
                                  : rotates(f)                              ? &on_disk
                                  : cached                                  ? &local_file
                                                                            : &not_cached;
    el_cli_state state = advice == &on_network   ? EL_CLI_STATE_WARN
                         : advice == &local_file ? EL_CLI_STATE_OK
                                                 : EL_CLI_STATE_NOTE;
    char rate[64] = "";
    if (f->model_read_rate > 0)
        snprintf(rate, sizeof rate, ", which reads %s/s",
                 el_cli_megabytes(f->model_read_rate).text);
    el_cli_find(finding, state, advice, "%s, %s in memory; %s on %s (%s)%s",
                el_cli_megabytes(f->model_bytes).text, el_cli_megabytes(f->model_cached).text,
                f->model_file_system[0] != '\0' ? f->model_file_system : "unknown file system",
                f->model_device[0] != '\0' ? f->model_device : "an unknown device", disk_kind(f),
                rate);
}

/* ---- staying in memory -------------------------------------------------------------------- */

/* Does no limit apply? What was tried counts more than what is written. */
static bool locks_without_limit(const el_cli_facts *f)
{
    if (f->limit_memlock == EL_CLI_UNLIMITED) return f->lock_works != 0;
    if (f->lock_beyond_limit != EL_CLI_UNKNOWN) return f->lock_beyond_limit == 1;
    return f->ipc_lock == 1;
}

static bool locks_enough(const el_cli_facts *f)
{
    int64_t need = f->plan_locked != EL_CLI_UNKNOWN ? f->plan_locked : SMALLEST_NEED;
    return locks_without_limit(f) || (f->limit_memlock >= need && f->lock_works != 0);
}

void el_cli_check_locking(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice locked = {
        .effect = "a session locks its memory and the weights: nothing is dropped or swapped out,"
                  " so no token waits for a disk"};
    static const el_cli_advice loose = {
        .effect = "a session still runs, unlocked: under memory pressure weights are dropped and"
                  " a token waits for the disk",
        .remedy = "sudo prlimit --pid $$ --memlock=unlimited   # this shell and what it starts",
        .lasting = "echo \"$USER - memlock unlimited\" |\n"
                   "sudo tee /etc/security/limits.d/edgellm-lock.conf   # systemd: LimitMEMLOCK="};
    static const el_cli_advice contained = {
        .effect = "a session still runs, unlocked: under memory pressure weights are dropped and"
                  " a token waits for the disk; a container gets this right from outside",
        .remedy = "docker run --ulimit memlock=-1 ...",
        .lasting = "# compose: ulimits: {memlock: -1}; Kubernetes: the capability IPC_LOCK"};
    if (f->limit_memlock == EL_CLI_UNKNOWN && f->lock_works == EL_CLI_UNKNOWN) {
        el_cli_not_known(finding, "the limit of locked memory");
        return;
    }
    bool enough = locks_enough(f);
    char need[64] = "";
    if (f->plan_locked != EL_CLI_UNKNOWN)
        snprintf(need, sizeof need, "; this model locks %s", el_cli_megabytes(f->plan_locked).text);
    el_cli_find(finding, enough ? EL_CLI_STATE_OK : EL_CLI_STATE_WARN,
                enough                    ? &locked
                : f->container[0] != '\0' ? &contained
                                          : &loose,
                "limit %s%s; mlock %s%s", el_cli_megabytes(f->limit_memlock).text,
                locks_without_limit(f) && f->limit_memlock != EL_CLI_UNLIMITED
                    ? ", which does not bind this process"
                    : "",
                f->lock_works == EL_CLI_UNKNOWN ? "not tried"
                : f->lock_works                 ? "works"
                                                : "is refused",
                need);
}

void el_cli_check_swap(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice none = {.effect = "nothing of a session can be swapped out"};
    static const el_cli_advice harmless = {
        .effect =
            "a session's memory is locked and stays; other programs may stall while swapping"};
    static const el_cli_advice harmful = {
        .effect = "memory that cannot be locked may be swapped out between requests: the next token"
                  " waits for the swap device",
        .remedy = "sudo swapoff -a   # if memory suffices; else: sudo sysctl vm.swappiness=1",
        .lasting = "echo vm.swappiness=1 | sudo tee /etc/sysctl.d/edgellm-swap.conf\n"
                   "# to be without: its line in /etc/fstab, or systemctl disable dphys-swapfile"};
    if (f->swap_devices == EL_CLI_UNKNOWN) {
        el_cli_not_known(finding, "swap");
    } else if (f->swap_devices == 0) {
        el_cli_find(finding, EL_CLI_STATE_OK, &none, "none active");
    } else {
        bool safe = locks_enough(f);
        char swappiness[32] = "unknown";
        if (f->swappiness != EL_CLI_UNKNOWN)
            snprintf(swappiness, sizeof swappiness, "%lld", (long long)f->swappiness);
        el_cli_find(finding, safe ? EL_CLI_STATE_NOTE : EL_CLI_STATE_WARN,
                    safe ? &harmless : &harmful, "%s%s%s, %s of %s used, swappiness %s",
                    f->swap_device, f->swap_devices > 1 ? " and others" : "",
                    f->swap_zram ? " (compressed memory)" : "", el_cli_megabytes(f->swap_used).text,
                    el_cli_megabytes(f->swap_bytes).text, swappiness);
    }
}

void el_cli_check_huge_pages(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice asked_only = {
        .effect = "pages of 2 MiB for copied weights (--rt, --copy) and nothing else: memory is"
                  " what the plan says"};
    static const el_cli_advice none = {
        .effect =
            "copied weights (--rt, --copy) lie in small pages: somewhat slower, and less even",
        .remedy = "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
        .lasting = "echo 'w /sys/kernel/mm/transparent_hugepage/enabled - - - - madvise' |\n"
                   "sudo tee /etc/tmpfiles.d/edgellm-huge-pages.conf"};
    static const el_cli_advice always = {
        .effect = "the kernel may use pages of 2 MiB: up to 2 MiB more than planned in a mapping,"
                  " and a background task that moves pages costs some evenness",
        .remedy = "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled",
        .lasting = "echo 'w /sys/kernel/mm/transparent_hugepage/enabled - - - - madvise' |\n"
                   "sudo tee /etc/tmpfiles.d/edgellm-huge-pages.conf"};
    if (f->huge_pages[0] == '\0') {
        el_cli_not_known(finding, "transparent huge pages");
        return;
    }
    const el_cli_advice *advice = strcmp(f->huge_pages, "always") == 0  ? &always
                                  : strcmp(f->huge_pages, "never") == 0 ? &none
                                                                        : &asked_only;
    el_cli_find(finding, advice == &asked_only ? EL_CLI_STATE_OK : EL_CLI_STATE_NOTE, advice,
                "transparent huge pages: %s", f->huge_pages);
}

/* ---- limits ------------------------------------------------------------------------------- */

enum { STRICT = 2 };

void el_cli_check_overcommit(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice harmless = {
        .effect = "a session touches all its memory at the start: what it got is really there"};
    static const el_cli_advice strict = {
        .effect = "strict accounting: a session is refused when all programs' promises pass the"
                  " limit, though memory may be free (the mapped weights do not count)",
        .remedy = "sudo sysctl vm.overcommit_memory=0",
        .lasting = "echo vm.overcommit_memory=0 | sudo tee /etc/sysctl.d/edgellm-commit.conf"};
    if (f->overcommit == EL_CLI_UNKNOWN) {
        el_cli_not_known(finding, "the overcommit policy");
        return;
    }
    if (f->overcommit != STRICT) {
        el_cli_find(finding, EL_CLI_STATE_OK, &harmless, "policy %lld (%s)",
                    (long long)f->overcommit, f->overcommit == 1 ? "always" : "heuristic");
        return;
    }
    bool refused = f->plan_private > 0 && f->commit_limit >= 0 && f->committed >= 0 &&
                   f->plan_private > f->commit_limit - f->committed;
    el_cli_find(finding, refused ? EL_CLI_STATE_WARN : EL_CLI_STATE_NOTE, &strict,
                "policy 2 (strict): %s of %s promised", el_cli_megabytes(f->committed).text,
                el_cli_megabytes(f->commit_limit).text);
}

void el_cli_check_limits(const el_cli_facts *f, el_cli_finding *finding)
{
    static const el_cli_advice wide = {.effect =
                                           "mapping weights and starting threads meets no limit"};
    static const el_cli_advice narrow = {
        .effect = "mapped weights count as address space: opening a model larger than the limit"
                  " fails",
        .remedy = "ulimit -v unlimited",
        .lasting = "grep -rn ' as ' /etc/security/limits*   # remove that line; systemd: LimitAS="};
    static const el_cli_advice short_stack = {
        .effect = "the main thread may run out of stack (workers have stacks of their own)",
        .remedy = "ulimit -s 8192",
        .lasting = "grep -rn stack /etc/security/limits*   # remove that line"};
    if (f->limit_address == EL_CLI_UNKNOWN || f->limit_stack == EL_CLI_UNKNOWN) {
        el_cli_not_known(finding, "the limits of this process");
        return;
    }
    int64_t need = f->plan_bytes > 0 ? f->plan_bytes : SMALLEST_NEED;
    const el_cli_advice *advice = f->limit_address != EL_CLI_UNLIMITED ? &narrow
                                  : f->limit_stack < STACK_BYTES       ? &short_stack
                                                                       : &wide;
    bool fails = f->limit_address < need || f->limit_stack < STACK_BYTES;
    el_cli_find(finding,
                fails             ? EL_CLI_STATE_WARN
                : advice == &wide ? EL_CLI_STATE_OK
                                  : EL_CLI_STATE_NOTE,
                advice, "address space %s, stack %s", el_cli_megabytes(f->limit_address).text,
                el_cli_megabytes(f->limit_stack).text);
}
