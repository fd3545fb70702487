#include "base/memlock.h"

#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/systext.h"

/* What this process has locked, in bytes. False: the system does not say, or not just now, as where
 * another thread has the last descriptor. */
static bool locked_now(uint64_t *bytes)
{
    char text[4096];
    const char *line = NULL;
    for (int tries = 0; !line && tries < 2; tries++)
        if (el_systext_read(text, sizeof text, "/proc/self/status"))
            line = strstr(text, "\nVmLck:");
    if (!line) return false;
    line += strlen("\nVmLck:");
    line += strspn(line, " \t");
    *bytes = el_systext_number(&line) * 1024;
    return true;
}

/* Whole pages of a range. */
static struct el_lock pages_of(const void *at, size_t bytes)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = (uintptr_t)at / page * page;
    uintptr_t end = ((uintptr_t)at + bytes + page - 1) / page * page;
    return (struct el_lock){(void *)begin, end - begin}; // NOLINT(performance-no-int-to-ptr)
}

void el_locks_take(el_locks *locks, const void *at, size_t bytes)
{
    if (!at || bytes == 0) return;
    struct el_lock range = pages_of(at, bytes);
    uint64_t before = 0, after = 0;
    bool known = locked_now(&before);
    locks->wanted += range.bytes;
    if (mlock(range.at, range.bytes) != 0) {
        if (!locks->error) locks->error = errno;
        return;
    }
    locks->locked += range.bytes;
    known = locked_now(&after) && known;
    bool is_ours = !known || after >= before + range.bytes;
    if (is_ours && locks->n < EL_LOCKS_MAX) locks->ours[locks->n++] = range;
}

static bool holds(const struct dl_phdr_info *object, const void *address)
{
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const uintptr_t begin = object->dlpi_addr + object->dlpi_phdr[i].p_vaddr;
        if (object->dlpi_phdr[i].p_type == PT_LOAD && (uintptr_t)address >= begin &&
            (uintptr_t)address - begin < object->dlpi_phdr[i].p_memsz)
            return true;
    }
    return false;
}

/* Locks the object's code and constants: what is mapped from the file and never written. */
static int lock_object(struct dl_phdr_info *object, size_t size, void *locks)
{
    (void)size;
    const void *library = (const void *)(uintptr_t)el_locks_take_code;
    const void *libc = (const void *)(uintptr_t)memcpy;
    if (!holds(object, library) && !holds(object, libc)) return 0;
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        if (object->dlpi_phdr[i].p_type != PT_LOAD || (object->dlpi_phdr[i].p_flags & PF_W))
            continue;
        uintptr_t begin = object->dlpi_addr + object->dlpi_phdr[i].p_vaddr;
        el_locks_take(locks, (const void *)begin, // NOLINT(performance-no-int-to-ptr)
                      object->dlpi_phdr[i].p_memsz);
    }
    return 0;
}

void el_locks_take_code(el_locks *locks)
{
    dl_iterate_phdr(lock_object, locks);
}

void el_locks_release(el_locks *locks)
{
    while (locks->n > 0) {
        const struct el_lock *range = &locks->ours[--locks->n];
        munlock(range->at, range->bytes);
    }
}
