/*
 * soak_requests.h: requests of random lengths with deadlines, one after the other, and what became
 * of each. Lengths and deadlines depend on the seed and on the forecasts only; a deadline is a
 * random multiple of the forecast. The way is that of `edgellm run --deadline-ms`: forecast, begun
 * or refused, ended in time.
 */
#ifndef EL_CLI_SOAK_REQUESTS_H
#define EL_CLI_SOAK_REQUESTS_H

#include "cli/bench_causes.h"
#include "cli/cli_model.h"

typedef enum el_cli_fate {
    EL_CLI_WHOLE,     /* admitted */
    EL_CLI_SHORTENED, /* not all of it fits: begun as far as its deadline lets it */
    EL_CLI_REFUSED    /* not even one token fits */
} el_cli_fate;

typedef struct el_cli_soaked {
    el_cli_fate fate;
    uint32_t prompt, answer;         /* tokens */
    uint32_t fit, got;               /* tokens of the answer: that fit by the forecast; that came */
    double share;                    /* the deadline, as a multiple of the forecast */
    double forecast_ms, deadline_ms; /* from the request's start */
    double taken_ms;                 /* until it had ended; 0: not begun */
    double excess_ms;                /* the longest gap beyond its forecast */
    unsigned causes;                 /* bits of bench_causes.h, of what was late */
    bool disturbed;                  /* the machine shows stolen time or throttling */
} el_cli_soaked;

typedef struct el_cli_soak_plan {
    uint32_t requests, most_prompt, most_answer; /* 1 or more */
    uint64_t seed;
    bool progress; /* a line on standard error that is drawn again and again */
} el_cli_soak_plan;

typedef struct el_cli_soak_results {
    el_cli_soaked *requests; /* (n), owned */
    double *gaps_ms;         /* (n_gaps), owned: from token to token */
    uint32_t n;
    size_t n_gaps;
} el_cli_soak_results;

/*
 * costs: the session's. It has a context of most_prompt + most_answer. Release the results in any
 * case. Errors: MEMORY; INTERRUPTED, with the results until then; FORMAT.
 */
edgellm_status el_cli_soak_requests(const el_cli_soak_plan *plan, const el_cli_model *model,
                                    const edgellm_costs *costs, const cpu_set_t *cores,
                                    el_cli_soak_results *results, edgellm_error *err);
void el_cli_soak_results_release(el_cli_soak_results *results);

/* Milliseconds by which a request ended after its deadline; 0: in time. */
double el_cli_soaked_late(const el_cli_soaked *q);

#endif
