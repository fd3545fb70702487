/*
 * cmd_doctor.c: `edgellm doctor`: is this machine set up for even token times? Facts are gathered
 * first, then each check of the table judges them, then the findings are printed. Nothing is
 * changed; what would change something is printed as a command.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli_model.h"
#include "cli/cli_output.h"
#include "cli/doctor_checks.h"

typedef struct doctor_values {
    el_cli_model_values model;
    const char *root;
    bool json, strict, brief;
} doctor_values;

/* One row is one check. */
static const struct check {
    const char *name;
    const char *affects;
    const char *why; /* what it decides: the effect, where the state is not known */
    el_cli_check_fn run;
    bool needs_model;
} checks[] = {
    {"cpu", "speed", "its vector units and its memory set the speed", el_cli_check_cpu, false},
    {"instructions", "speed", "they decide which kernels can run", el_cli_check_instructions,
     false},
    {"cores", "speed, jitter", "one thread runs on each usable core", el_cli_check_cores, false},
    {"isolation", "jitter",
     "on a core that others may use too, a token waits for them now and then",
     el_cli_check_isolation, false},
    {"clusters", "speed", "where cores differ, the slowest sets the pace", el_cli_check_clusters,
     false},
    {"frequency", "speed, jitter",
     "a clock that moves makes times uneven; a virtual machine's host decides it",
     el_cli_check_frequency, false},
    {"heat", "speed, jitter", "a hot processor or a weak supply lowers the clock",
     el_cli_check_heat, false},
    {"page-size", "memory", "a mapping may take up to a page more than planned",
     el_cli_check_page_size, false},
    {"memory", "memory", "a session reserves and touches all its memory at its start",
     el_cli_check_memory, false},
    {"plan", "memory",
     "a session that does not fit fails, or reads weights from disk for every token",
     el_cli_check_plan, true},
    {"model-file", "latency", "weights are read from it once, and again if they had to be dropped",
     el_cli_check_model_file, true},
    {"locking", "jitter", "what is not locked may be dropped, and a token then waits for a disk",
     el_cli_check_locking, false},
    {"swap", "jitter", "memory that is not locked may be swapped out", el_cli_check_swap, false},
    {"huge-pages", "memory, jitter", "pages of 2 MiB may take more memory than planned",
     el_cli_check_huge_pages, false},
    {"overcommit", "memory", "strict accounting may refuse a session though memory is free",
     el_cli_check_overcommit, false},
    {"limits", "memory", "mapped weights count as address space", el_cli_check_limits, false},
    {"real-time", "jitter", "beside busy programs, real-time priority keeps times even",
     el_cli_check_real_time, false},
    {"rt-throttle", "jitter",
     "by default a busy real-time task is stalled for 50 ms of every second",
     el_cli_check_rt_throttle, false},
    {"clock", "measurement", "a slow clock source makes measuring tokens costly",
     el_cli_check_clock, false},
    {"kernel", "jitter", "a kernel that cannot be preempted makes a token wait now and then",
     el_cli_check_kernel, false},
    {"virtual", "jitter", "a host may take cores away", el_cli_check_virtual, false},
    {"load", "latency, jitter", "other programs share the cores", el_cli_check_load, false},
    {"build", "speed", "a build for finding bugs is slow", el_cli_check_build, false},
};
enum { N_CHECKS = sizeof checks / sizeof checks[0] };

static const struct state_row {
    const char *word, *one, *many;
} states[EL_CLI_STATES] = {
    [EL_CLI_STATE_OK] = {"ok", "ok", "ok"},
    [EL_CLI_STATE_NOTE] = {"note", "note", "notes"},
    [EL_CLI_STATE_WARN] = {"warn", "warning", "warnings"},
    [EL_CLI_STATE_UNKNOWN] = {"unknown", "not known here", "not known here"},
};

typedef struct report {
    el_cli_facts facts;
    el_cli_tree tree;
    el_cli_finding findings[N_CHECKS];
    bool done[N_CHECKS]; /* or else the check needs a model, and there is none */
    int count[EL_CLI_STATES], total;
} report;

/* ---- findings ----------------------------------------------------------------------------- */

void el_cli_find(el_cli_finding *finding, el_cli_state state, const el_cli_advice *advice,
                 const char *fact_format, ...)
{
    va_list arguments;
    finding->state = state;
    finding->advice = advice;
    va_start(arguments, fact_format);
    vsnprintf(finding->fact, sizeof finding->fact, fact_format, arguments);
    va_end(arguments);
}

void el_cli_not_known(el_cli_finding *finding, const char *what)
{
    el_cli_find(finding, EL_CLI_STATE_UNKNOWN, NULL, "not known here: %s", what);
}

el_cli_amount el_cli_megabytes(int64_t bytes)
{
    el_cli_amount amount = {"unknown"};
    if (bytes == EL_CLI_UNLIMITED) {
        snprintf(amount.text, sizeof amount.text, "unlimited");
    } else if (bytes != EL_CLI_UNKNOWN) {
        snprintf(amount.text, sizeof amount.text, "%.1f MB", (double)bytes / EL_CLI_MB);
    }
    return amount;
}

static void judge(report *r, bool has_model)
{
    for (int i = 0; i < N_CHECKS; i++) {
        if (checks[i].needs_model && !has_model) continue;
        checks[i].run(&r->facts, &r->findings[i]);
        r->done[i] = true;
        r->count[r->findings[i].state]++;
        r->total++;
    }
}

/* ---- text --------------------------------------------------------------------------------- */

enum { COLUMNS = 100, INDENT = 14, LABEL = 9 };

static const char nothing[] = "nothing to do";

/* The finding's advice, or what there is to say where the state is not known. */
static el_cli_advice advice_of(const struct check *check, const el_cli_finding *finding)
{
    el_cli_advice advice = {.effect = check->why, .remedy = nothing, .lasting = NULL};
    if (finding->advice != NULL) advice = *finding->advice;
    if (advice.remedy == NULL) advice.remedy = nothing;
    return advice;
}

/* Words, broken before column 100 and continued below the first. */
static void print_words(const char *text)
{
    int column = INDENT + LABEL;
    while (*text != '\0') {
        int n = (int)strcspn(text, " ");
        if (column + n + 1 > COLUMNS && column > INDENT + LABEL) {
            printf("\n%*s", INDENT + LABEL, "");
            column = INDENT + LABEL;
        }
        column += printf("%s%.*s", column > INDENT + LABEL ? " " : "", n, text);
        text += n + (text[n] == ' ');
    }
    putchar('\n');
}

/* A command as it is; its line ends are kept. */
static void print_command(const char *label, const char *text)
{
    printf("%*s%-*s", INDENT, "", LABEL, label);
    for (; *text != '\0'; text++) {
        putchar(*text);
        if (*text == '\n') printf("%*s", INDENT + LABEL, "");
    }
    putchar('\n');
}

static void print_finding(const struct check *check, const el_cli_finding *finding)
{
    char effect[512];
    el_cli_advice advice = advice_of(check, finding);
    printf("%-*s%-*s", INDENT, check->name, LABEL, states[finding->state].word);
    print_words(finding->fact);
    printf("%*s%-*s", INDENT, "", LABEL, "effect");
    snprintf(effect, sizeof effect, "%s: %s", check->affects, advice.effect);
    print_words(effect);
    print_command("remedy", advice.remedy);
    if (advice.lasting != NULL) print_command("lasting", advice.lasting);
}

static void print_text(const report *r, bool brief)
{
    for (int i = 0; i < N_CHECKS; i++) {
        el_cli_state state = r->findings[i].state;
        bool wanted = !brief || state == EL_CLI_STATE_NOTE || state == EL_CLI_STATE_WARN;
        if (r->done[i] && wanted) print_finding(&checks[i], &r->findings[i]);
    }
    printf("%d checks:", r->total);
    for (int s = 0; s < EL_CLI_STATES; s++) {
        printf("%s %d %s", s > 0 ? "," : "", r->count[s],
               r->count[s] == 1 ? states[s].one : states[s].many);
    }
    putchar('\n');
}

/* ---- JSON --------------------------------------------------------------------------------- */

static json_t *finding_json(const struct check *check, const el_cli_finding *finding)
{
    el_cli_advice advice = advice_of(check, finding);
    json_t *o = json_object();
    json_object_set_new(o, "name", json_string(check->name));
    json_object_set_new(o, "state", json_string(states[finding->state].word));
    json_object_set_new(o, "fact", el_cli_json_text(finding->fact, strlen(finding->fact)));
    json_object_set_new(o, "affects", json_string(check->affects));
    json_object_set_new(o, "effect", json_string(advice.effect));
    json_object_set_new(o, "remedy", json_string(advice.remedy));
    json_object_set_new(o, "lasting",
                        advice.lasting != NULL ? json_string(advice.lasting) : json_null());
    return o;
}

static edgellm_status print_json(const report *r, edgellm_error *err)
{
    json_t *o = json_object(), *list = json_array(), *summary = json_object();
    for (int i = 0; i < N_CHECKS; i++) {
        if (r->done[i]) json_array_append_new(list, finding_json(&checks[i], &r->findings[i]));
    }
    for (int s = 0; s < EL_CLI_STATES; s++)
        json_object_set_new(summary, states[s].word, json_integer(r->count[s]));
    json_object_set_new(o, "summary", summary);
    json_object_set_new(o, "facts", el_cli_facts_json(&r->facts));
    json_object_set_new(o, "checks", list);
    return el_cli_print_json(o, err);
}

/* ---- command ------------------------------------------------------------------------------ */

static edgellm_status check_root(const char *root, edgellm_error *err)
{
    struct stat status;
    if (root == NULL) return EDGELLM_OK;
    if (stat(root, &status) != 0) {
        return el_cli_fail(err, EDGELLM_ERR_IO, "cannot examine '%.300s': %s", root,
                           strerror(errno));
    }
    if (S_ISDIR(status.st_mode)) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_IO, "'%.300s' is not a directory; --root needs one", root);
}

static edgellm_status examine(report *r, const doctor_values *v, const char *model,
                              edgellm_error *err)
{
    EL_CLI_TRY(check_root(v->root, err));
    r->tree.root = v->root != NULL ? v->root : "";
    el_cli_facts_gather(&r->facts, &r->tree, v->root == NULL);
    if (model != NULL) {
        EL_CLI_TRY(el_cli_facts_add_model(&r->facts, &r->tree, model, &v->model.session, err));
    }
    judge(r, model != NULL);
    if (v->json) {
        EL_CLI_TRY(print_json(r, err));
    } else {
        print_text(r, v->brief);
    }
    int warnings = r->count[EL_CLI_STATE_WARN];
    if (!v->strict || warnings == 0) return EDGELLM_OK;
    return el_cli_fail(err, EDGELLM_ERR_UNSUPPORTED, "doctor: %d warning%s (--strict)", warnings,
                       warnings == 1 ? "" : "s");
}

static edgellm_status doctor(const void *values, char **operands, int n_operands,
                             edgellm_error *err)
{
    report *r = calloc(1, sizeof *r);
    if (r == NULL) return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for the report");
    edgellm_status status = examine(r, values, n_operands > 0 ? operands[0] : NULL, err);
    free(r);
    return status;
}

static const el_cli_option options[] = {
    {"brief", 'q', EL_CLI_ON, offsetof(doctor_values, brief), NULL, NULL,
     "only what is a note or a warning", 0, 0, NULL},
    {"strict", 0, EL_CLI_ON, offsetof(doctor_values, strict), NULL, NULL,
     "exit code 5 if there is a warning, for scripts", 0, 0, NULL},
    {"json", 0, EL_CLI_ON, offsetof(doctor_values, json), NULL, NULL,
     "one JSON object: summary, facts, checks", 0, 0, NULL},
    {"root", 0, EL_CLI_TEXT, offsetof(doctor_values, root), "DIR", NULL,
     "read DIR/proc and DIR/sys: a container's host, or a copied tree", 0, 0, NULL},
    EL_CLI_CONTEXT_ROW(doctor_values, NULL,
                       "context of the plan for MODEL; 512, or less if the model knows less"),
    {0},
};

const el_cli_command el_cli_cmd_doctor = {
    .name = "doctor",
    .summary = "is this machine set up for it? facts, effects, remedies",
    .synopsis = "doctor [MODEL] [options]",
    .about = "Looks at processor, memory, limits and kernel, and says what each means for speed,\n"
             "jitter and memory, with the command that changes it. Changes nothing itself. With\n"
             "MODEL: does its plan fit, and where does its file lie? The exit code is 0 with\n"
             "warnings too, unless --strict. With --root, what only a running process can find\n"
             "out (kernels in use, mlock, SCHED_FIFO) is not known.\n",
    .examples = "  edgellm doctor\n"
                "  edgellm doctor -q --strict\n"
                "  edgellm doctor --root /host --json\n"
                "  edgellm doctor model.tm2.bin -c 2048\n",
    .options = options,
    .values_size = sizeof(doctor_values),
    .min_operands = 0,
    .max_operands = 1,
    .model = EL_CLI_RUNS_MODEL,
    .run = doctor,
};
