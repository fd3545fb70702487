#!/bin/sh
# How many compilers may run at once: one a core, but 700 MB of free memory for each.
set -eu
cores=$(nproc)
free=$(awk '/^MemAvailable:/ { print int($2 / 716800) }' /proc/meminfo)
[ "${free:-0}" -ge 1 ] || free=1
if [ "$free" -lt "$cores" ]; then echo "$free"; else echo "$cores"; fi
