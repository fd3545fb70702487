/*
 * server.h: a server for a model over HTTP, on libwebsockets, which nothing here mentions. Two
 * threads: the caller's, in which all of the network is, and one that computes (compute.h). Between
 * them are tasks, made before the start (tasks.h).
 */
#ifndef EL_SERVER_SERVER_H
#define EL_SERVER_SERVER_H

#include "server/listen.h"

enum { EL_FORECASTS_BY = 640 };

/* By what forecasts are made. */
typedef struct el_forecasts {
    bool are_known; /* what computing takes was set, to `costs`; else it is to be measured */
    edgellm_costs costs;
    char by[EL_FORECASTS_BY];
} el_forecasts;

/* Sets what computing takes, where something is known of it, and says in any case by what forecasts
 * are made. Called by the thread that computes. */
typedef edgellm_status el_find_costs(void *context, const edgellm_model_info *info,
                                     edgellm_scheduler *scheduler, uint32_t sessions,
                                     el_forecasts *forecasts, edgellm_error *err);

/* What it says when it is ready. */
typedef struct el_server_report {
    const char *model, *url, *forecasts_by;
    uint32_t sessions, connections;
    uint64_t connection_bytes; /* what one takes at most; they are in the plan, as all else */
    edgellm_memory_plan memory;
} el_server_report;

enum { EL_SENSES_CPUS = 64 };

/* What the machine tells of itself now; what it does not is 0, or as it was given. */
typedef struct el_senses {
    uint64_t resident_bytes; /* of this process */
    double celsius;          /* of the processor */
    struct {
        uint32_t number;
        uint64_t hertz;
    } cpus[EL_SENSES_CPUS]; /* (n_cpus) */
    uint32_t n_cpus;
} el_senses;

typedef struct el_server_options {
    const char *model; /* the path */
    edgellm_engine_options engine;
    edgellm_session_options session;
    el_place place;
    const char *key_file;             /* NULL: none */
    const char *key;                  /* one more; NULL: none */
    const char *const *allowed_hosts; /* (n_allowed_hosts) names by which it may be asked, beside
                                         its own, where there are no keys */
    uint32_t n_allowed_hosts;
    bool no_web;           /* without the web page */
    bool insecure;         /* others than this machine may ask without a key */
    uint32_t sessions;     /* 1 .. EDGELLM_SCHEDULER_SLOTS */
    uint32_t queue;        /* requests that may wait for one */
    uint32_t answer;       /* tokens of one that shifts; less than a context: as many as that */
    uint32_t top_logprobs; /* the most that a request may want, 0 .. EDGELLM_TOP_LOGPROBS */
    uint64_t max_body;     /* bytes of a request's body */
    uint32_t connections;
    uint32_t drain_s;     /* how long running answers may take after the first signal to stop */
    uint32_t reader_s;    /* how long a reader may take nothing */
    uint32_t resume_s;    /* how long an answer is kept whose WebSocket has ended */
    uint32_t heartbeat_s; /* between pings of a WebSocket */
    el_find_costs *find_costs;
    void *costs_context;
    uint32_t calibrate_ms;
    const char *tls_certificate, *tls_key; /* files; NULL: without TLS */
    const char *slot_folder;               /* where slots may be saved; NULL: nowhere */
    bool log_requests;                     /* a line of JSON on standard error for each */
    int (*interrupted)(void);              /* a signal that came before it begins */
    void (*ready)(const el_server_report *report);
    void (*sense)(void *sense_context, el_senses *senses); /* for /metrics */
    void *sense_context;
} el_server_options;

/* Serves until SIGTERM or SIGINT, or until the terminal that it was started from has gone (unless
 * SIGHUP is ignored): then requests that run may end, and OK is returned. A second one ends them.
 * SIGHUP otherwise has the file of keys read again, and that of the model looked at: another model
 * takes the place of the one that is served (swap.h). Errors: IO, USAGE, MEMORY, and those of
 * edgellm_engine_open() and edgellm_scheduler_open(). */
edgellm_status el_server_run(const el_server_options *options, edgellm_error *err);

#endif
