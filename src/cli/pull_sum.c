#include "cli/pull_sum.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_signals.h"

/* Without memory for its own tables OpenSSL 3 would crash in the next call. */
static bool is_ready(void)
{
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    if (OSSL_LIB_CTX_get0_global_default() == NULL) return false;
#endif
    return OPENSSL_init_crypto(0, NULL) == 1;
}

edgellm_status el_pull_sum_begin(el_pull_sum *sum, edgellm_error *err)
{
    if (sum->context == NULL && is_ready()) sum->context = EVP_MD_CTX_new();
    if (sum->context != NULL && EVP_DigestInit_ex(sum->context, EVP_sha256(), NULL) == 1)
        return EDGELLM_OK;
    EVP_MD_CTX_free(sum->context); /* half begun, it can only be dropped */
    sum->context = NULL;
    return el_cli_fail(err, EDGELLM_ERR_MEMORY, "no memory for a SHA-256");
}

void el_pull_sum_add(el_pull_sum *sum, const void *bytes, size_t n)
{
    EVP_DigestUpdate(sum->context, bytes, n);
}

void el_pull_sum_end(el_pull_sum *sum, el_pull_hex hex)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (hex != NULL) hex[0] = '\0';
    if (sum->context != NULL && EVP_DigestFinal_ex(sum->context, digest, &n) == 1 && n == 32) {
        for (unsigned i = 0; hex != NULL && i < n; i++)
            snprintf(hex + (size_t)2 * i, 3, "%02x", (unsigned)digest[i]);
    }
    EVP_MD_CTX_free(sum->context);
    sum->context = NULL;
}

edgellm_status el_pull_sum_file(el_pull_sum *sum, int fd, uint64_t bytes, edgellm_error *err)
{
    unsigned char buffer[65536];
    uint64_t done = 0;
    while (done < bytes) {
        const size_t want = bytes - done < sizeof buffer ? (size_t)(bytes - done) : sizeof buffer;
        const ssize_t n = pread(fd, buffer, want, (off_t)done);
        if (el_cli_interrupted() != 0) return el_cli_fail(err, EDGELLM_ERR_INTERRUPTED, "%s", "");
        if (n <= 0)
            return el_cli_fail(err, EDGELLM_ERR_IO, "cannot read what was fetched: %s",
                               n < 0 ? strerror(errno) : "the file has become shorter");
        el_pull_sum_add(sum, buffer, (size_t)n);
        done += (uint64_t)n;
    }
    return EDGELLM_OK;
}

void el_pull_sum_text(const char *text, el_pull_hex hex)
{
    el_pull_sum sum = {NULL};
    edgellm_error ignored;
    hex[0] = '\0';
    if (el_pull_sum_begin(&sum, &ignored) == EDGELLM_OK) el_pull_sum_add(&sum, text, strlen(text));
    el_pull_sum_end(&sum, hex);
}

bool el_pull_sum_read(const char *text, el_pull_hex hex)
{
    size_t n = 0;
    for (; n < 64 && isxdigit((unsigned char)text[n]); n++)
        hex[n] = (char)tolower((unsigned char)text[n]);
    hex[n] = '\0';
    if (n == 64 && !isalnum((unsigned char)text[n])) return true;
    hex[0] = '\0';
    return false;
}
