/*
 * hosts.h: by which name was the server asked? A page of another origin can make its own name mean
 * this machine (DNS rebinding) and then ask what only this machine may; but its name still stands
 * in the header Host.
 */
#ifndef EL_SERVER_HOSTS_H
#define EL_SERVER_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct el_hosts {
    const char *const *names; /* (n) */
    uint32_t n;
} el_hosts;

/* localhost, 127.0.0.1, [::1], or one of those; a port may follow. `host` is NUL-terminated. */
bool el_hosts_have(const el_hosts *hosts, const char *host);

#endif
