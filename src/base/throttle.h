/*
 * throttle.h: how much of a core's time the kernel takes back from a real-time thread that never
 * sleeps. Two things do so: the throttle (sched_rt_runtime_us of sched_rt_period_us, 950 of 1000 ms
 * by default), and since Linux 6.12 the fair server, which gives ordinary threads that wait 50 of
 * 1000 ms, also where the throttle is off. Both stall a thread for all of it at one time.
 */
#ifndef EL_BASE_THROTTLE_H
#define EL_BASE_THROTTLE_H

#define EL_THROTTLE_DEFAULT 50 /* thousandths */

/* Thousandths of the time that are taken back on that core; 0: none. root: "" or a made-up tree's
 * folder. What the system does not tell counts as its default. */
unsigned el_throttle_share(const char *root, unsigned core);

#endif
