#include "server/hosts.h"

#include <string.h>
#include <strings.h>

/* Of a name, without the port behind it. */
static size_t name_length(const char *host)
{
    const char *end = host[0] == '[' ? strchr(host, ']') : NULL;
    const size_t len = end ? (size_t)(end + 1 - host) : strcspn(host, ":");
    const char *port = host + len;
    if (*port == '\0') return len;
    return *port == ':' && port[1 + strspn(port + 1, "0123456789")] == '\0' ? len : 0;
}

/* An address of IPv6 is in brackets there, and perhaps not where it was given. */
static bool is_name(const char *name, const char *host, size_t len)
{
    const size_t n = strlen(name);
    if (n == len && strncasecmp(name, host, len) == 0) return true;
    return n + 2 == len && host[0] == '[' && strncasecmp(name, host + 1, n) == 0;
}

bool el_hosts_have(const el_hosts *hosts, const char *host)
{
    static const char *const loopback[] = {"localhost", "127.0.0.1", "[::1]"};
    const size_t len = name_length(host);
    if (len == 0) return false;
    for (size_t i = 0; i < sizeof loopback / sizeof loopback[0]; i++)
        if (is_name(loopback[i], host, len)) return true;
    for (uint32_t i = 0; i < hosts->n; i++)
        if (is_name(hosts->names[i], host, len)) return true;
    return false;
}
