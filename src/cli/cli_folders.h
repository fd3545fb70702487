/*
 * cli_folders.h: where the program keeps files of its own, as the XDG base directory specification
 * says, and the folders on the way there.
 */
#ifndef EL_CLI_CLI_FOLDERS_H
#define EL_CLI_CLI_FOLDERS_H

#include <stdbool.h>

/* Makes the folders of `path` that are missing, for their owner only. False with errno set. */
bool el_cli_make_folders(char *path);

/* NAME in the folder that the environment's VARIABLE (XDG_...) names, else in UNDER_HOME
 * ("/.cache") of the home folder. Owned: free(). NULL: nowhere, or out of memory. No folder is
 * made. */
char *el_cli_user_path(const char *variable, const char *under_home, const char *name);

/* The folder of what may be deleted at any time: `place`, or if that is NULL $EDGELLM_CACHE, or if
 * that is not set edgellm in the user's cache folder. Owned: free(). NULL: "none" was said;
 * nowhere; out of memory. No folder is made. */
char *el_cli_cache_folder(const char *place);

#endif
