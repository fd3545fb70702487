/* fuzz.c: see fuzz.h. */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/checks.h"

void fuzz_broken(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

/* Printable UTF-8 throughout: a message goes to a terminal. */
static bool is_one_line(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)text[i];
        if (byte < 0x20 || byte == 0x7f) return false;
        if (byte == 0xc2 && (uint8_t)text[i + 1] < 0xa0) return false; /* C1 */
    }
    return el_text_is_valid(text, len);
}

bool fuzz_status(edgellm_status status, const edgellm_error *err)
{
    if (status == EDGELLM_OK) {
        FUZZ_CHECK(err->status == EDGELLM_OK && err->message[0] == '\0');
        return true;
    }
    size_t len = strnlen(err->message, sizeof err->message);
    FUZZ_CHECK(err->status == status && strcmp(edgellm_status_name(status), "unknown") != 0);
    FUZZ_CHECK(status != EDGELLM_ERR_INTERNAL);
    FUZZ_CHECK(len > 0 && len < sizeof err->message);
    FUZZ_CHECK(is_one_line(err->message, len));
    return false;
}

/* ---- a file in memory ------------------------------------------------------------------ */

fuzz_file fuzz_file_open(const uint8_t *data, size_t size)
{
    fuzz_file file = {.fd = memfd_create("fuzz", MFD_CLOEXEC)};
    FUZZ_CHECK(file.fd >= 0);
    FUZZ_CHECK(size == 0 || write(file.fd, data, size) == (ssize_t)size);
    snprintf(file.path, sizeof file.path, "/proc/self/fd/%d", file.fd);
    return file;
}

void fuzz_file_close(fuzz_file *file)
{
    close(file->fd);
    file->fd = -1;
}

void fuzz_folder(char folder[FUZZ_FOLDER_BYTES])
{
    const char *place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, FUZZ_FOLDER_BYTES, "%s/edgellm_fuzz_XXXXXX", place);
    FUZZ_CHECK(mkdtemp(folder) != NULL);
}

bool fuzz_folder_is_empty(const char *folder)
{
    int entries = 0;
    DIR *d = opendir(folder);
    FUZZ_CHECK(d != NULL);
    while (readdir(d) != NULL)
        entries++;
    closedir(d);
    return entries == 2; /* "." and ".." */
}

/* ---- a structured input ---------------------------------------------------------------- */

static const uint8_t *take(fuzz_input *in, size_t n)
{
    const uint8_t *at = in->data;
    in->data += n;
    in->size -= n;
    return at;
}

uint8_t fuzz_byte(fuzz_input *in)
{
    return in->size > 0 ? *take(in, 1) : 0;
}

const uint8_t *fuzz_piece(fuzz_input *in, size_t *len)
{
    *len = fuzz_byte(in);
    if (*len > in->size) *len = in->size;
    return take(in, *len);
}

char *fuzz_text(fuzz_input *in)
{
    const uint8_t *end = in->size > 0 ? memchr(in->data, 0, in->size) : NULL;
    size_t len = end ? (size_t)(end - in->data) : in->size;
    char *text = fuzz_room(len + 1);
    if (len > 0) memcpy(text, in->data, len);
    text[len] = '\0';
    take(in, end ? len + 1 : len);
    return text;
}

void *fuzz_room(size_t size)
{
    void *room = malloc(size ? size : 1);
    FUZZ_CHECK(room != NULL);
    return room;
}
