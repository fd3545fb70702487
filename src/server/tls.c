#include "server/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"

struct el_tls {
    SSL_CTX *certificates; /* the certificate, and those that vouch for it */
    EVP_PKEY *key;
};

static void release(const el_tls *tls)
{
    SSL_CTX_free(tls->certificates);
    EVP_PKEY_free(tls->key);
}

/* ---- reading ------------------------------------------------------------------------------- */

/* Why OpenSSL could not do something, in its words. */
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text ? text : "not in PEM";
}

/* Nobody is there who could be asked. */
static int no_phrase(char *text, int size, int writes, void *context)
{
    (void)text, (void)size, (void)writes, (void)context;
    return -1;
}

/* A pipe has nothing when it is read again, and would hold everybody up. */
static edgellm_status open_file(FILE **file, const char *option, const char *path,
                                edgellm_error *err)
{
    struct stat s;
    *file = NULL;
    if (stat(path, &s) == 0 && !S_ISREG(s.st_mode))
        return el_fail(err, EDGELLM_ERR_IO, "%s '%.200s' is no file", option, path);
    *file = fopen(path, "re");
    if (*file) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_IO, "%s '%.200s' cannot be opened: %s", option, path,
                   strerror(errno));
}

static edgellm_status read_certificates(const el_tls *tls, const char *path, edgellm_error *err)
{
    FILE *file;
    EL_TRY(open_file(&file, "--tls-cert", path, err));
    fclose(file);
    if (SSL_CTX_use_certificate_chain_file(tls->certificates, path) == 1) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "--tls-cert '%.200s' has no certificate that is taken: "
                   "%.120s",
                   path, reason());
}

static edgellm_status read_key(el_tls *tls, const char *path, edgellm_error *err)
{
    FILE *file;
    EL_TRY(open_file(&file, "--tls-key", path, err));
    tls->key = PEM_read_PrivateKey(file, NULL, no_phrase, NULL);
    fclose(file);
    if (tls->key) return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "--tls-key '%.200s' has no private key that can be read without a pass phrase: "
                   "%.120s",
                   path, reason());
}

static edgellm_status read_both(el_tls *tls, const char *certificate, const char *key,
                                edgellm_error *err)
{
    ERR_clear_error();
    tls->certificates = SSL_CTX_new(TLS_server_method());
    if (!tls->certificates) return el_fail(err, EDGELLM_ERR_MEMORY, "no memory for certificates");
    SSL_CTX_set_default_passwd_cb(tls->certificates, no_phrase);
    EL_TRY(read_certificates(tls, certificate, err));
    EL_TRY(read_key(tls, key, err));
    if (X509_check_private_key(SSL_CTX_get0_certificate(tls->certificates), tls->key) == 1)
        return EDGELLM_OK;
    return el_fail(err, EDGELLM_ERR_FORMAT,
                   "the key in --tls-key '%.160s' is not that of the certificate in --tls-cert "
                   "'%.160s'",
                   key, certificate);
}

edgellm_status el_tls_read(el_tls **tls, const char *certificate, const char *key,
                           edgellm_error *err)
{
    el_tls both = {NULL, NULL};
    edgellm_status status = read_both(&both, certificate, key, err);
    if (status == EDGELLM_OK && !*tls) *tls = calloc(1, sizeof **tls);
    if (status == EDGELLM_OK && !*tls)
        status = el_fail(err, EDGELLM_ERR_MEMORY, "no memory for certificates");
    ERR_clear_error();
    if (status != EDGELLM_OK) {
        release(&both);
        return status;
    }
    release(*tls);
    **tls = both;
    return EDGELLM_OK;
}

void el_tls_close(el_tls *tls)
{
    if (!tls) return;
    release(tls);
    free(tls);
}

/* ---- its use ------------------------------------------------------------------------------- */

/* Before each handshake. */
static int give(SSL *connection, void *context)
{
    const el_tls *tls = context;
    STACK_OF(X509) *chain = NULL;
    SSL_CTX_get0_chain_certs(tls->certificates, &chain);
    SSL_certs_clear(connection);
    return SSL_use_cert_and_key(connection, SSL_CTX_get0_certificate(tls->certificates), tls->key,
                                chain, 1);
}

void el_tls_use(el_tls *tls, void *context)
{
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_cert_cb(context, give, tls);
}
