#include "server/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

enum { BACKLOG = 256, SEND_BYTES = 65536, REST_NS = 10000000 };

bool el_place_is_local(const el_place *place)
{
    static const char *const names[] = {"127.0.0.1", "localhost", "::1"};
    bool local = place->path != NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        local |= strcmp(place->host, names[i]) == 0;
    return local;
}

/* ---- TCP ----------------------------------------------------------------------------------- */

static edgellm_status resolve(const el_place *place, struct addrinfo **found, edgellm_error *err)
{
    char port[8];
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    snprintf(port, sizeof port, "%u", place->port);
    const int failure = getaddrinfo(place->host, port, &hints, found);
    if (failure == 0) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_IO, "--host '%.200s' is no address: %s", place->host,
                   gai_strerror(failure));
}

/* The socket, or -1 with errno. */
static int bind_to(const struct sockaddr *address, socklen_t len)
{
    const int on = 1;
    const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    if (address->sa_family != AF_UNIX)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, address, len) == 0 && listen(fd, BACKLOG) == 0) return fd;
    const int failure = errno;
    close(fd);
    errno = failure;
    return -1;
}

static void name_address(el_listener *listener, bool is_secret)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    char host[64] = "", port[8] = "";
    (void)getsockname(listener->fd, (struct sockaddr *)&address, &len);
    (void)getnameinfo((struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
                      NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(listener->url, sizeof listener->url,
             strchr(host, ':') ? "http%s://[%s]:%s" : "http%s://%s:%s", is_secret ? "s" : "", host,
             port);
}

static edgellm_status listen_tcp(el_listener *listener, const el_place *place, edgellm_error *err)
{
    struct addrinfo *found = NULL;
    EL_TRY(resolve(place, &found, err));
    listener->fd = bind_to(found->ai_addr, found->ai_addrlen);
    const int failure = errno;
    freeaddrinfo(found);
    if (listener->fd < 0)
        return el_fail(err, EDGELLM_ERR_IO, "cannot listen at %.200s, port %u: %s%s", place->host,
                       place->port, strerror(failure),
                       failure == EADDRINUSE ? "; another --port, or 0 for any" : "");
    name_address(listener, place->is_secret);
    return EDGELLM_OK;
}

/* ---- Unix ---------------------------------------------------------------------------------- */

/* A socket that nobody listens at any more, left by a program that was killed, is in the way. */
static void remove_stale(const struct sockaddr_un *address)
{
    struct stat s;
    if (stat(address->sun_path, &s) != 0 || !S_ISSOCK(s.st_mode)) return;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return;
    const bool refused = connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
                         errno == ECONNREFUSED;
    close(fd);
    if (refused) unlink(address->sun_path);
}

static edgellm_status listen_unix(el_listener *listener, const char *path, edgellm_error *err)
{
    struct stat s;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return el_fail(err, EDGELLM_ERR_USAGE, "--unix: a path of at most %zu bytes, not '%.200s'",
                       sizeof address.sun_path - 1, path);
    memcpy(address.sun_path, path, strlen(path)); /* the rest are NULs */
    remove_stale(&address);
    const mode_t before = umask(0177); /* its owner alone may ask */
    listener->fd = bind_to((const struct sockaddr *)&address, sizeof address);
    const int failure = errno;
    umask(before);
    if (listener->fd < 0)
        return el_fail(err, EDGELLM_ERR_IO, "cannot listen at '%.200s': %s", path,
                       strerror(failure));
    if (stat(path, &s) != 0) s = (struct stat){0};
    listener->path = path;
    listener->device = s.st_dev;
    listener->inode = s.st_ino;
    snprintf(listener->url, sizeof listener->url, "unix:%s", path);
    return EDGELLM_OK;
}

edgellm_status el_listen(el_listener *listener, const el_place *place, edgellm_error *err)
{
    *listener = (el_listener){.fd = -1};
    return place->path ? listen_unix(listener, place->path, err) : listen_tcp(listener, place, err);
}

/* Not if another program has put its own in that place. */
static void remove_own(const el_listener *listener)
{
    struct stat s;
    if (stat(listener->path, &s) != 0) return;
    if (s.st_dev == listener->device && s.st_ino == listener->inode) unlink(listener->path);
}

void el_listener_close(el_listener *listener)
{
    if (listener->fd < 0) return;
    if (listener->path) remove_own(listener);
    close(listener->fd);
    listener->fd = -1;
}

/* Without files or memory the connection stays where it is, and would be offered again at once, for
 * ever: a core's time for nothing. */
static void rest_if_short(int failure)
{
    static const struct timespec some = {.tv_nsec = REST_NS};
    if (failure == EMFILE || failure == ENFILE || failure == ENOBUFS || failure == ENOMEM)
        (void)nanosleep(&some, NULL);
}

int el_listener_accept(const el_listener *listener)
{
    const int on = 1, bytes = SEND_BYTES;
    const int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        rest_if_short(errno);
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* a token at a time */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return fd;
}

void el_peer_name(int fd, char *name, size_t size)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    const bool is_there = getpeername(fd, (struct sockaddr *)&address, &len) == 0;
    snprintf(name, size, "%s", is_there && address.ss_family == AF_UNIX ? "unix" : "");
    if (is_there && address.ss_family != AF_UNIX)
        (void)getnameinfo((struct sockaddr *)&address, len, name, (socklen_t)size, NULL, 0,
                          NI_NUMERICHOST);
}

/* ---- who started it ------------------------------------------------------------------------ */

void el_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || path[0] == '\0' || strlen(path) >= sizeof address.sun_path) return;
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@') address.sun_path[0] = '\0'; /* in the abstract namespace */
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    close(fd);
}
