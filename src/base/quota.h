/*
 * quota.h: what control groups allow, CPU time in whole cores and memory, and the memory that the
 * machine has left. The places are arguments so that a test can lay out a container of its own.
 */
#ifndef EL_BASE_QUOTA_H
#define EL_BASE_QUOTA_H

#include <stdint.h>

/*
 * proc_cgroup: as /proc/self/cgroup; root: as /sys/fs/cgroup. The smallest quota of all groups
 * from this process up to the root, rounded up to whole cores, at least 1; 0 if there is none.
 */
unsigned el_quota_cores(const char *proc_cgroup, const char *root);

/* The same for bytes of memory: the smallest limit; 0 if there is none. */
uint64_t el_quota_memory(const char *proc_cgroup, const char *root);

/* Bytes that the machine itself has left, swap too, before it ends programs; 0: nobody knows.
 * proc_meminfo: as /proc/meminfo. */
uint64_t el_quota_left(const char *proc_meminfo);

/* Bytes that both leave for more, where `kept` are taken already. group: el_quota_memory(); left:
 * el_quota_left(). UINT64_MAX: nobody knows. */
uint64_t el_quota_room(uint64_t group, uint64_t left, uint64_t kept);

#endif
