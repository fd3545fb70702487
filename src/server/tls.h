/*
 * tls.h: a certificate and its key, from files in PEM, for connections that libwebsockets takes in
 * with OpenSSL. Each connection gets those that were read last: they can be read again at any time.
 */
#ifndef EL_SERVER_TLS_H
#define EL_SERVER_TLS_H

#include "edgellm.h"

typedef struct el_tls el_tls;

/*
 * Reads both files. *tls: NULL at first; what it had stays where something is wrong. Errors: IO
 * (missing, no permission, no file), FORMAT (no certificate, no key or one with a pass phrase, one
 * of another certificate), MEMORY.
 */
edgellm_status el_tls_read(el_tls **tls, const char *certificate, const char *key,
                           edgellm_error *err);
void el_tls_close(el_tls *tls);

/* Connections of this context of OpenSSL, an SSL_CTX, are told them; TLS 1.2 or later. */
void el_tls_use(el_tls *tls, void *context);

#endif
