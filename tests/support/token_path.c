#include "support/token_path.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <math.h> /* INFINITY */
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "edgellm.h"

/* The linker routes every allocation of the program through these (-Wl,--wrap=...). */
static volatile int allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t size)
{
    allocations++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    allocations++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    allocations++;
    return __real_realloc(p, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    allocations++;
    return __real_aligned_alloc(alignment, size);
}

/* What glibc's header makes of mmap() where offsets have 64 bits, as they do here. */
void *__wrap_mmap64(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    allocations++;
    return __real_mmap64(at, n, prot, flags, fd, offset);
}

int token_path_allocations(void)
{
    return allocations;
}

/* From here on only write (to report), exit and, if allowed, futex; for all threads. */
static bool forbid_system_calls(bool allow_futex)
{
#define ALLOW(nr)                                                                                  \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(SYS_write),
        ALLOW(SYS_exit_group),
        ALLOW(allow_futex ? SYS_futex : SYS_write),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {.len = sizeof rules / sizeof rules[0], .filter = rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0;
}

/* What a child decodes with. */
typedef struct place {
    const char *path, *grammar;
    uint32_t threads;
    edgellm_engine *engine;
    edgellm_grammar *made;
} place;

static edgellm_session *start(place *at)
{
    const uint32_t prompt[] = {5, 6, 7, 8};
    const edgellm_engine_options wants = {.grammars = at->grammar != NULL};
    edgellm_session_options options = {
        .context = 256, .threads = at->threads, .grammar = at->grammar != NULL};
    edgellm_session *session;
    if (edgellm_engine_open(at->path, &wants, &at->engine, NULL) != EDGELLM_OK) _exit(10);
    if (at->grammar && edgellm_grammar_create(at->engine, at->grammar, strlen(at->grammar),
                                              &at->made, NULL) != EDGELLM_OK)
        _exit(16);
    if (edgellm_session_open(at->engine, &options, &session, NULL) != EDGELLM_OK) _exit(11);
    if (edgellm_session_eval(session, prompt, 4, NULL, NULL) != EDGELLM_OK) _exit(12);
    return session;
}

/* Every way to sample in turn: the defaults, every step at once, mirostat 1 and 2. */
static void change_sampler(edgellm_session *session, int step)
{
    static const edgellm_logit_bias bias[] = {{3, 2.0f}, {4, -INFINITY}};
    edgellm_sampler_options o = edgellm_sampler_defaults();
    o.mirostat = step % 4 >= 2 ? (uint32_t)(step % 4 - 1) : 0;
    if (step % 4 == 1) {
        o.top_k = 0, o.typical_p = 0.9f, o.xtc_probability = 0.5f, o.dry_multiplier = 0.8f;
        o.presence_penalty = 0.1f, o.frequency_penalty = 0.1f;
        o.logit_bias = bias, o.n_logit_bias = 2;
    }
    o.seed = (uint64_t)step;
    if (edgellm_session_set_sampler(session, &o, NULL) != EDGELLM_OK) _exit(15);
}

/* Begins an answer in the grammar, if there is one. */
static void begin(const place *at, edgellm_session *session)
{
    if (at->made && edgellm_session_set_grammar(session, at->made, 1000, NULL) != EDGELLM_OK)
        _exit(17);
}

static void child(place at, int n, bool trap, int report)
{
    edgellm_session *session = start(&at);
    edgellm_stream stream = {{0}, 0};
    char text[EDGELLM_STREAM_BYTES];
    if (trap && !forbid_system_calls(at.threads > 1)) _exit(13);
    token_path_result r = {0};
    int before = allocations;
    if (n < 0) getppid();
    begin(&at, session);
    for (; r.tokens < n; r.tokens++) {
        change_sampler(session, r.tokens);
        uint32_t token = edgellm_session_sample(session);
        edgellm_stream_push(at.engine, &stream, token, text);
        if (edgellm_is_end(at.engine, token)) begin(&at, session);
        if (edgellm_session_eval(session, &token, 1, NULL, NULL) != EDGELLM_OK) break;
    }
    r.allocations = allocations - before;
    if (write(report, &r, sizeof r) != sizeof r) _exit(14);
    _exit(0);
}

token_path_result token_path_measure(const char *path, const char *grammar, uint32_t threads, int n,
                                     bool trap)
{
    token_path_result r = {.tokens = -1, .allocations = -1};
    int ends[2], status = 0;
    if (pipe(ends) != 0) return r;
    pid_t pid = fork();
    if (pid == 0)
        child((place){.path = path, .grammar = grammar, .threads = threads}, n, trap, ends[1]);
    close(ends[1]);
    if (read(ends[0], &r, sizeof r) != sizeof r) r.tokens = -1;
    close(ends[0]);
    waitpid(pid, &status, 0);
    r.killed_by_a_system_call = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
    return r;
}
