/* folder_more.h: what config.json's readers share: folder_config.c, folder_more.c. */
#ifndef EL_FOLDER_FOLDER_MORE_H
#define EL_FOLDER_FOLDER_MORE_H

#include "folder/folder_work.h"

/* How wide a head is: as said, else the embedding's share. Errors: FORMAT. */
edgellm_status el_folder_head_dim(const el_folder *f, uint32_t *head);

#endif
