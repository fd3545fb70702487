/*
 * quota.h: the CPU time that control groups allow, in whole cores. The two places are arguments
 * so that a test can lay out a container of its own.
 */
#ifndef EL_BASE_QUOTA_H
#define EL_BASE_QUOTA_H

/*
 * proc_cgroup: as /proc/self/cgroup; root: as /sys/fs/cgroup. The smallest quota of all groups
 * from this process up to the root, rounded up to whole cores, at least 1; 0 if there is none.
 */
unsigned el_quota_cores(const char *proc_cgroup, const char *root);

#endif
