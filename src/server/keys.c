#include "server/keys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"

static edgellm_status add(el_keys *keys, const char *key, size_t len, const char *from,
                          edgellm_error *err)
{
    if (keys->n == EL_KEYS)
        return el_fail(err, EDGELLM_ERR_USAGE, "more than %d keys in %.200s", EL_KEYS, from);
    if (len >= EL_KEY_BYTES)
        return el_fail(err, EDGELLM_ERR_USAGE, "a key in %.200s is longer than %d bytes", from,
                       EL_KEY_BYTES - 1);
    memcpy(keys->key[keys->n++], key, len);
    return EDGELLM_OK;
}

/* One line, without what is around the key. */
static edgellm_status add_line(el_keys *keys, const char *line, const char *path,
                               edgellm_error *err)
{
    const char *begin = line + strspn(line, " \t\r\n");
    const size_t len = strcspn(begin, " \t\r\n");
    if (len == 0 || begin[0] == '#') return EDGELLM_OK;
    return add(keys, begin, len, path, err);
}

static edgellm_status read_file(el_keys *keys, const char *path, edgellm_error *err)
{
    char line[2 * EL_KEY_BYTES];
    edgellm_status status = EDGELLM_OK;
    FILE *file = fopen(path, "re");
    if (!file)
        return el_fail(err, EDGELLM_ERR_IO, "cannot open the file of keys '%.200s': %s", path,
                       strerror(errno));
    while (status == EDGELLM_OK && fgets(line, sizeof line, file)) {
        if (strchr(line, '\n') || feof(file))
            status = add_line(keys, line, path, err);
        else /* what follows would be taken for a key of its own */
            status =
                el_fail(err, EDGELLM_ERR_USAGE,
                        "a line in the file of keys '%.200s' is no text or longer than %d bytes",
                        path, 2 * EL_KEY_BYTES - 2);
    }
    if (status == EDGELLM_OK && ferror(file))
        status = el_fail(err, EDGELLM_ERR_IO, "cannot read the file of keys '%.200s'", path);
    fclose(file);
    if (status == EDGELLM_OK && keys->n == 0)
        status = el_fail(err, EDGELLM_ERR_USAGE, "the file of keys '%.200s' has none", path);
    return status;
}

/* A line's end, which comes along from many a file of secrets, is no part of it. */
static edgellm_status add_given(el_keys *keys, const char *given, edgellm_error *err)
{
    const char *begin = given + strspn(given, " \t\r\n");
    size_t len = strlen(begin);
    while (len > 0 && strchr(" \t\r\n", begin[len - 1]))
        len--;
    if (len == 0)
        return el_fail(err, EDGELLM_ERR_USAGE, "EDGELLM_API_KEY is blank: give a key, or unset it");
    return add(keys, begin, len, "EDGELLM_API_KEY", err);
}

edgellm_status el_keys_read(el_keys *keys, const char *path, const char *given, edgellm_error *err)
{
    memset(keys, 0, sizeof *keys);
    if (path) EL_TRY(read_file(keys, path, err));
    if (given && given[0] != '\0') EL_TRY(add_given(keys, given, err));
    return EDGELLM_OK;
}

/* Equal, in a time that depends on neither. */
static unsigned equal(const char *a, const char *b)
{
    unsigned differs = 0;
    for (size_t i = 0; i < EL_KEY_BYTES; i++)
        differs |= (unsigned char)(a[i] ^ b[i]);
    return differs == 0;
}

bool el_keys_allow(const el_keys *keys, const char *header, size_t len)
{
    static const char scheme[] = "Bearer ";
    const size_t skipped = sizeof scheme - 1;
    char key[EL_KEY_BYTES] = {0};
    unsigned found = 0;
    if (keys->n == 0) return true;
    if (len <= skipped || len - skipped >= EL_KEY_BYTES) return false;
    if (strncasecmp(header, scheme, skipped) != 0) return false;
    memcpy(key, header + skipped, len - skipped);
    for (unsigned i = 0; i < keys->n; i++)
        found |= equal(key, keys->key[i]);
    return found != 0;
}
