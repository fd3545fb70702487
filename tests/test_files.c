/* test_files.c: files that are mapped and files that are replaced whole, or not at all. */
#include "support/test_help.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/mapfile.h"
#include "base/outfile.h"

#define FOLDER EL_TEST_OUT "/files"

static void assert_file(const char *path, const char *text)
{
    char found[256] = {0};
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t size = fread(found, 1, sizeof found - 1, f);
    fclose(f);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(found, text, size);
}

/* Files in FOLDER whose name contains `part`. */
static int count_files(const char *part)
{
    DIR *folder = opendir(FOLDER);
    assert_non_null(folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder));)
        count += !!strstr(entry->d_name, part);
    closedir(folder);
    return count;
}

static int set_up(void **state)
{
    (void)state;
    return mkdir(FOLDER, 0777) == 0 || errno == EEXIST ? 0 : -1;
}

/* ---- mapfile -------------------------------------------------------------------------------- */

static void test_mapfile(void **state)
{
    (void)state;
    put_file(FOLDER "/map", "some bytes");
    el_mapfile map;
    edgellm_error err;
    assert_int_equal(el_mapfile_open(&map, FOLDER "/map", &err), EDGELLM_OK);
    assert_int_equal(map.size, 10);
    assert_memory_equal(map.data, "some bytes", 10);
    el_mapfile_settle(&map);
    assert_memory_equal(map.data, "some bytes", 10);
    el_mapfile_close(&map);
    assert_null(map.data);
    el_mapfile_settle(&map);
    el_mapfile_close(&map);
}

/* A copy stays what it was when the file is cut short and written again. */
static void test_mapfile_copy(void **state)
{
    (void)state;
    el_mapfile copy;
    edgellm_error err;
    put_file(FOLDER "/map", "some bytes");
    assert_int_equal(el_mapfile_copy(&copy, FOLDER "/map", &err), EDGELLM_OK);
    assert_int_equal(truncate(FOLDER "/map", 0), 0);
    put_file(FOLDER "/map", "other");
    assert_int_equal(copy.size, 10);
    assert_memory_equal(copy.data, "some bytes", 10);
    el_mapfile_close(&copy);
    assert_int_equal(el_mapfile_copy(&copy, FOLDER, &err), EDGELLM_ERR_IO);
    assert_contains(err.message, "a directory");
}

/* Begins where a huge page can, and ends where the file does. */
static void test_mapfile_copy_of_a_large_file(void **state)
{
    (void)state;
    enum { HUGE_PAGE = 2 << 20, SIZE = 2 * HUGE_PAGE + 12345 };
    el_mapfile copy;
    edgellm_error err;
    put_file(FOLDER "/large", "begins");
    assert_int_equal(truncate(FOLDER "/large", SIZE), 0);
    assert_int_equal(el_mapfile_copy_within(&copy, FOLDER "/large", SIZE - 1, &err),
                     EDGELLM_ERR_MEMORY);
    assert_contains(err.message, "takes 4206649 bytes of memory, there are 4206648");
    assert_int_equal(el_mapfile_copy_within(&copy, FOLDER "/large", SIZE, &err), EDGELLM_OK);
    assert_int_equal(copy.size, SIZE);
    assert_int_equal((uintptr_t)copy.data % HUGE_PAGE, 0);
    assert_memory_equal(copy.data, "begins", 7);
    assert_int_equal(copy.data[SIZE - 1], 0);
    el_mapfile_settle(&copy);
    el_mapfile_close(&copy);
    unlink(FOLDER "/large");
}

static void test_mapfile_errors(void **state)
{
    (void)state;
    el_mapfile map = {(const uint8_t *)"x", 77};
    edgellm_error err;
    put_file(FOLDER "/empty", "");
    unlink(FOLDER "/fifo");
    assert_int_equal(mkfifo(FOLDER "/fifo", 0600), 0);
    static const struct {
        const char *path;
        edgellm_status status;
        const char *text;
    } rows[] = {
        {FOLDER "/missing", EDGELLM_ERR_IO, "No such file"},
        {FOLDER "/missing", EDGELLM_ERR_IO, FOLDER "/missing"},
        {FOLDER "/map/below", EDGELLM_ERR_IO, "Not a directory"},
        {FOLDER, EDGELLM_ERR_IO, "a directory"},
        {FOLDER "/fifo", EDGELLM_ERR_IO, "a pipe"},
        {"/dev/null", EDGELLM_ERR_IO, "a device"},
        {FOLDER "/empty", EDGELLM_ERR_FORMAT, "empty"},
        {"", EDGELLM_ERR_IO, "No such file"},
    };
    put_file(FOLDER "/map", "x");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(el_mapfile_open(&map, rows[i].path, &err), rows[i].status);
        assert_contains(err.message, rows[i].text);
    }
    char path[3000]; /* the reason must survive a long name */
    memset(path, 'a', sizeof path);
    path[sizeof path - 1] = 0;
    assert_int_equal(el_mapfile_open(&map, path, &err), EDGELLM_ERR_IO);
    assert_contains(err.message, "File name too long");
    assert_int_equal(map.size, 77); /* failures left the argument alone */
    unlink(FOLDER "/fifo");
}

/* Without the right to lock: the same, unlocked. */
static int settle_unlocked(void)
{
    struct rlimit none = {0, 0};
    el_arena arena;
    el_mapfile map;
    if (el_arena_reserve(&arena, 100000, NULL) != EDGELLM_OK) return 1;
    if (el_mapfile_open(&map, FOLDER "/map", NULL) != EDGELLM_OK) return 2;
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0) return 3;
    if (geteuid() == 0 && setuid(65534) != 0) return 4;
    el_arena_settle(&arena);
    el_mapfile_settle(&map);
#ifndef EL_TEST_SANITIZED /* sanitizers make mlock do nothing and succeed */
    if (arena.locked) return 5;
#endif
    return map.data[0] == 'x' ? 0 : 6;
}

static void test_settle_unlocked(void **state)
{
    (void)state;
    put_file(FOLDER "/map", "x");
    assert_int_equal(in_child(settle_unlocked), 0);
}

/* ---- outfile -------------------------------------------------------------------------------- */

#define TARGET FOLDER "/target"

static void test_outfile(void **state)
{
    (void)state;
    edgellm_error err;
    el_outfile out;
    put_file(TARGET, "old");
    mode_t mask = umask(027);
    assert_int_equal(el_outfile_create(&out, TARGET, &err), EDGELLM_OK);
    umask(mask);
    el_outfile_write(&out, "abc", 3);
    el_outfile_write(&out, NULL, 0);
    el_outfile_align(&out, 8);
    el_outfile_align(&out, 8);
    assert_int_equal(out.written, 8);
    el_outfile_write(&out, "\x01", 1);
    assert_int_equal(el_outfile_patch(&out, 1, "XY", 2, &err), EDGELLM_OK);
    assert_int_equal(el_outfile_patch(&out, 8, "ab", 2, &err), EDGELLM_ERR_INTERNAL);
    assert_int_equal(el_outfile_patch(&out, UINT64_MAX, "ab", 2, &err), EDGELLM_ERR_INTERNAL);
    el_outfile_write(&out, "z", 1);
    assert_int_equal(el_outfile_check(&out, &err), EDGELLM_OK);
    assert_file(TARGET, "old");
    assert_int_equal(el_outfile_commit(&out, &err), EDGELLM_OK);
    assert_null(out.temporary);

    uint8_t found[16];
    FILE *f = fopen(TARGET, "rb");
    assert_non_null(f);
    assert_int_equal(fread(found, 1, sizeof found, f), 10);
    fclose(f);
    assert_memory_equal(found, "aXY\0\0\0\0\0\x01z", 10);
    struct stat status;
    assert_int_equal(stat(TARGET, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0640);
    assert_int_equal(count_files(".tmp"), 0);
}

#define TEMPORARY TARGET ".tmp-edgellm"

/* What a killed process left goes; what another writer holds stays, and the second is refused. */
static void test_outfile_stale_and_busy(void **state)
{
    (void)state;
    edgellm_error err;
    el_outfile first, second;
    put_file(TARGET, "old");
    put_file(TEMPORARY, "left by a killed process, and longer than what comes");
    assert_int_equal(el_outfile_create(&first, TARGET, &err), EDGELLM_OK);
    el_outfile_write(&first, "new", 3);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(el_outfile_create(&second, TARGET, &err), EDGELLM_ERR_IO);
        assert_contains(err.message, "'" TARGET "' is being written by another program");
        assert_int_equal(count_files(".tmp"), 1);
    }
    assert_int_equal(el_outfile_commit(&first, &err), EDGELLM_OK);
    assert_file(TARGET, "new");
    assert_int_equal(count_files(".tmp"), 0);
    assert_int_equal(el_outfile_create(&second, TARGET, &err), EDGELLM_OK);
    el_outfile_cancel(&second);
    assert_file(TARGET, "new");
    /* a link in the way leads nowhere, and what it leads to is not touched */
    put_file(FOLDER "/victim", "mine");
    assert_int_equal(symlink("victim", TEMPORARY), 0);
    assert_int_equal(el_outfile_create(&second, TARGET, &err), EDGELLM_ERR_IO);
    assert_contains(err.message, "'" TEMPORARY "'");
    assert_file(FOLDER "/victim", "mine");
    unlink(TEMPORARY);
}

/* Small pieces, pieces larger than the buffer, and patches across both, come out in order. */
static void test_outfile_buffers(void **state)
{
    (void)state;
    enum { PIECES = 40, LARGEST = 100000 };
    static uint8_t piece[LARGEST], found[LARGEST];
    el_outfile out;
    uint64_t hash = 0, total = 0, random = 7;
    assert_int_equal(el_outfile_create(&out, TARGET, NULL), EDGELLM_OK);
    for (int i = 0; i < PIECES; i++) {
        size_t size = next_random(&random) % (i % 2 ? LARGEST : 1000);
        for (size_t k = 0; k < size; k++)
            piece[k] = (uint8_t)next_random(&random);
        el_outfile_write(&out, piece, size);
        if (i == 0) assert_int_equal(el_outfile_patch(&out, 0, "first", 5, NULL), EDGELLM_OK);
        if (i == 0) memcpy(piece, "first", 5);
        hash = hash_bytes(hash, piece, size);
        total += size;
        assert_true(out.written == total);
    }
    assert_int_equal(el_outfile_commit(&out, NULL), EDGELLM_OK);
    FILE *f = fopen(TARGET, "rb");
    assert_non_null(f);
    uint64_t found_hash = 0, found_total = 0;
    for (size_t n; (n = fread(found, 1, sizeof found, f)) > 0; found_total += n)
        found_hash = hash_bytes(found_hash, found, n);
    fclose(f);
    assert_true(found_total == total && found_hash == hash);
}

static void test_outfile_cancel(void **state)
{
    (void)state;
    el_outfile out;
    put_file(TARGET, "old");
    assert_int_equal(el_outfile_create(&out, TARGET, NULL), EDGELLM_OK);
    el_outfile_write(&out, "new", 3);
    el_outfile_align(&out, 4096);
    assert_int_equal(count_files(".tmp"), 1);
    el_outfile_cancel(&out);
    assert_int_equal(count_files(".tmp"), 0);
    assert_file(TARGET, "old");
}

static void test_outfile_refuses(void **state)
{
    (void)state;
    edgellm_error err;
    el_outfile out;
    unlink(FOLDER "/fifo");
    unlink(FOLDER "/dangling");
    unlink(FOLDER "/null");
    assert_int_equal(mkfifo(FOLDER "/fifo", 0600), 0);
    assert_int_equal(symlink("nowhere", FOLDER "/dangling"), 0);
    assert_int_equal(symlink("/dev/null", FOLDER "/null"), 0);
    static const char *const rows[][2] = {
        {FOLDER, "directory"},
        {"/dev/null", "device"},
        {"/dev/full", "device"},
        {FOLDER "/null", "device"},
        {FOLDER "/fifo", "pipe"},
        {FOLDER "/dangling", "symbolic link"},
        {FOLDER "/no/such", "No such file"},
        {"", "No such file"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(el_outfile_create(&out, rows[i][0], &err), EDGELLM_ERR_IO);
        assert_contains(err.message, rows[i][1]);
    }
    struct stat status;
    assert_int_equal(stat("/dev/null", &status), 0);
    assert_true(S_ISCHR(status.st_mode));
    assert_int_equal(count_files(".tmp"), 0);
    unlink(FOLDER "/fifo");
    unlink(FOLDER "/dangling");
    unlink(FOLDER "/null");
}

static void test_outfile_follows_links(void **state)
{
    (void)state;
    el_outfile out;
    put_file(TARGET, "old");
    unlink(FOLDER "/link");
    assert_int_equal(symlink("target", FOLDER "/link"), 0);
    assert_int_equal(el_outfile_create(&out, FOLDER "/link", NULL), EDGELLM_OK);
    el_outfile_write(&out, "new", 3);
    assert_int_equal(el_outfile_commit(&out, NULL), EDGELLM_OK);
    assert_file(TARGET, "new");
    struct stat status;
    assert_int_equal(lstat(FOLDER "/link", &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    unlink(FOLDER "/link");
}

/* /dev/full under the descriptor is a disk that filled up. */
static void test_outfile_disk_full(void **state)
{
    (void)state;
    static char block[100000];
    edgellm_error err;
    for (int small = 0; small < 2; small++) {
        el_outfile out;
        put_file(TARGET, "old");
        assert_int_equal(el_outfile_create(&out, TARGET, &err), EDGELLM_OK);
        el_outfile_write(&out, "head", 4);
        int full = open("/dev/full", O_WRONLY);
        assert_true(full >= 0 && dup2(full, out.fd) == out.fd);
        close(full);
        el_outfile_write(&out, block, small ? 10 : sizeof block); /* small stays in the buffer */
        assert_int_equal(el_outfile_check(&out, &err), small ? EDGELLM_OK : EDGELLM_ERR_IO);
        if (!small) {
            uint64_t written = out.written;
            el_outfile_write(&out, block, 10); /* nothing after a failure */
            assert_int_equal(out.written, written);
            assert_int_equal(el_outfile_patch(&out, 0, "x", 1, &err), EDGELLM_ERR_IO);
        }
        assert_int_equal(el_outfile_commit(&out, &err), EDGELLM_ERR_IO);
        assert_int_equal(err.status, EDGELLM_ERR_IO);
        assert_contains(err.message, "no space left");
        assert_contains(err.message, "bytes");
        assert_contains(err.message, "untouched");
        assert_file(TARGET, "old");
        assert_int_equal(count_files(".tmp"), 0);
    }
}

/* A limit on the size of files makes write() itself fail, part of the way. */
static int write_past_limit(void)
{
    static char block[100000];
    struct rlimit limit = {250000, 250000};
    edgellm_error err;
    el_outfile out;
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
    if (el_outfile_create(&out, TARGET, &err) != EDGELLM_OK) return 2;
    for (int i = 0; i < 5; i++)
        el_outfile_write(&out, block, sizeof block);
    if (el_outfile_check(&out, NULL) != EDGELLM_ERR_IO) return 3;
    if (el_outfile_commit(&out, &err) != EDGELLM_ERR_IO) return 4;
    return strstr(err.message, "File too large") ? 0 : 5;
}

static void test_outfile_failures(void **state)
{
    (void)state;
    edgellm_error err;
    el_outfile out;
    put_file(TARGET, "old");
    assert_int_equal(in_child(write_past_limit), 0);
    assert_file(TARGET, "old");
    assert_int_equal(el_outfile_create(&out, FOLDER "/later", &err), EDGELLM_OK);
    assert_int_equal(mkdir(FOLDER "/later", 0777), 0); /* so that the rename fails */
    el_outfile_write(&out, "new", 3);
    assert_int_equal(el_outfile_commit(&out, &err), EDGELLM_ERR_IO);
    assert_contains(err.message, "Is a directory");
    assert_int_equal(rmdir(FOLDER "/later"), 0);
    assert_int_equal(count_files(".tmp"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mapfile),
        cmocka_unit_test(test_mapfile_copy),
        cmocka_unit_test(test_mapfile_copy_of_a_large_file),
        cmocka_unit_test(test_mapfile_errors),
        cmocka_unit_test(test_settle_unlocked),
        cmocka_unit_test(test_outfile),
        cmocka_unit_test(test_outfile_stale_and_busy),
        cmocka_unit_test(test_outfile_buffers),
        cmocka_unit_test(test_outfile_cancel),
        cmocka_unit_test(test_outfile_refuses),
        cmocka_unit_test(test_outfile_follows_links),
        cmocka_unit_test(test_outfile_disk_full),
        cmocka_unit_test(test_outfile_failures),
    };
    return cmocka_run_group_tests_name("files", tests, set_up, NULL);
}
