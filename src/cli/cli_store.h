/*
 * cli_store.h: the models that `edgellm pull` keeps, by name. The store is a folder: $EDGELLM_HOME,
 * else edgellm in the user's data folder (XDG). In it
 *
 *   models/NAME/             a model: its files, and entry.json, which describes them
 *   partial/KEY/             what is being fetched, or was until it was interrupted
 *
 * A folder comes into models/ whole, by one rename, and leaves it so: what lies there is complete.
 */
#ifndef EL_CLI_CLI_STORE_H
#define EL_CLI_CLI_STORE_H

#include <jansson.h>

#include "cli/cli.h"

#define EL_CLI_STORE_MODELS  "models"
#define EL_CLI_STORE_PARTIAL "partial"
#define EL_CLI_STORE_ENTRY   "entry.json"  /* in models/NAME */
#define EL_CLI_STORE_SOURCE  "source.json" /* in partial/KEY */
enum { EL_CLI_STORE_NAME_MAX = 120 };

/* The folder; owned: free(). It need not be there. Errors: IO (no home folder), MEMORY. */
edgellm_status el_cli_store_root(char **root, edgellm_error *err);

/* Letters, digits, '.', '_' and '-', of which the first is a letter or digit. */
bool el_cli_store_is_name(const char *word);

/* "ROOT/PART/NAME" and "/FILE" unless that is NULL; owned: free(). Errors: MEMORY. */
edgellm_status el_cli_store_path(const char *root, const char *part, const char *name,
                                 const char *file, char **path, edgellm_error *err);

/*
 * What entry.json says of a model: an object with "source" (as it was pulled), "pulled" (when),
 * "files" (name, bytes, sha256 each); "revision" if the source has one; "model": the TM2 file, and
 * "origin": what that was made from, or would be, "." for the whole folder. One of the two may be
 * missing. Owned: json_decref(). Errors: IO (there is none), FORMAT (damaged), MEMORY.
 */
edgellm_status el_cli_store_read(const char *root, const char *name, json_t **entry,
                                 edgellm_error *err);

/* The file of an entry that runs, or the one to quantize; NULL: it has none. */
const char *el_cli_store_file(const json_t *entry, bool to_quantize);

uint64_t el_cli_store_bytes(const json_t *entry);

/* The names of what lies in models/ or partial/, sorted: owned, like the list itself. A store that
 * is not there is empty. Errors: IO, MEMORY. */
typedef struct el_cli_store_names {
    char **name; /* (n) */
    size_t n;
} el_cli_store_names;
edgellm_status el_cli_store_list(const char *root, const char *part, el_cli_store_names *names,
                                 edgellm_error *err);
void el_cli_store_forget(el_cli_store_names *names);

/*
 * What a word in the place of a model means: *path is the file of the entry of that name, owned,
 * or NULL if the word is a path, a file that is there, or no name in the store.
 * Errors: FORMAT (an entry that is damaged or has no such file), MEMORY.
 */
edgellm_status el_cli_store_find(const char *word, bool to_quantize, char **path,
                                 edgellm_error *err);

/* Removes what lies in models/ or partial/ under a name: a model first leaves models/ as a whole.
 * Errors: IO (there is none, or the system refuses), MEMORY. */
edgellm_status el_cli_store_remove(const char *root, const char *part, const char *name,
                                   edgellm_error *err);

/* Removes a folder and all in it; links are not followed. False with errno set. */
bool el_cli_store_remove_tree(const char *path);

#endif
