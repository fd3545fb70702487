#include "server/request_id.h"

#include <stdio.h>
#include <string.h>

bool el_request_id_is_sane(const char *id, size_t len)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:=+/";
    return len >= 1 && len <= EL_REQUEST_ID && strspn(id, allowed) == len;
}

void el_request_id_make(char id[EL_REQUEST_ID + 1], uint32_t start, uint32_t number)
{
    snprintf(id, EL_REQUEST_ID + 1, "%08x%08x", start, number);
}
