#!/usr/bin/env python3
"""`edgellm doctor` on made-up trees (--root), where every answer is known, and on this machine,
where Python reads the same facts by itself.

    python3 tests/test_doctor.py EDGELLM MAKE_TINY OUT_DIR [sanitized | counted]
"""
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
SANITIZED = "sanitized" in sys.argv[4:]
COUNTED = "counted" in sys.argv[4:]  # a build for coverage, not optimised
GGUF, TM2 = str(OUT / "tiny.gguf"), str(OUT / "tiny.tm2.bin")
USAGE, IO, FORMAT, UNSUPPORTED = 2, 3, 4, 5
STATES = ("ok", "note", "warn", "unknown")
CHECKS = ("cpu", "instructions", "cores", "isolation", "clusters", "frequency", "heat", "page-size",
          "memory", "locking", "swap", "huge-pages", "overcommit", "limits", "real-time",
          "rt-throttle", "clock", "kernel", "virtual", "load", "build")
MODEL_CHECKS = ("plan", "model-file")
POLICY, CPU = "sys/devices/system/cpu/cpufreq/policy0/", "sys/devices/system/cpu/"
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
THP = "sys/kernel/mm/transparent_hugepage/enabled"
CLOCK = "sys/devices/system/clocksource/clocksource0/"

LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max stack size            8388608              unlimited            bytes
Max locked memory         %s                   unlimited            bytes
Max address space         %s                   unlimited            bytes
Max nice priority         0                    0
Max realtime priority     0                    0
"""
SWAPS = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

# A Raspberry Pi 5 as its system is delivered.
PI = {
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/sys/kernel/arch": "aarch64\n",
    "proc/cpuinfo": "".join(f"processor\t: {i}\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm "
                            "aes asimdhp asimddp\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
                            "CPU part\t: 0xd0b\n\n" for i in range(4)),
    "proc/self/status": "Name:\tedgellm\nCapEff:\t0000000000000000\nCpus_allowed_list:\t0-3\n",
    "proc/self/limits": LIMITS % (8388608, "unlimited"),
    "proc/self/smaps": "5555 r-xp\nSize: 16 kB\nKernelPageSize:       16 kB\nMMUPageSize: 16 kB\n",
    "proc/self/cgroup": "0::/user.slice/session-1.scope\n",
    "proc/meminfo": "MemTotal:        8245248 kB\nMemFree: 1 kB\nMemAvailable:    7000000 kB\n",
    "proc/swaps": SWAPS + "/var/swap                               file\t\t524272\t\t1024\t\t-2\n",
    "proc/sys/vm/swappiness": "60\n",
    "proc/sys/vm/overcommit_memory": "0\n",
    "proc/sys/kernel/sched_rt_runtime_us": "950000\n",
    "proc/sys/kernel/sched_rt_period_us": "1000000\n",
    "proc/sys/kernel/osrelease": "6.6.31+rpt-rpi-2712\n",
    "proc/version": "Linux version 6.6.31+rpt-rpi-2712 (serge) #1 SMP PREEMPT Debian 1:6.6.31\n",
    "proc/loadavg": "0.12 0.10 0.09 1/200 1234\n",
    "proc/stat": "cpu  100 0 100 9800 0 0 0 0 0 0\ncpu0 25 0 25 2450 0 0 0 0 0 0\n",
    CPU + "online": "0-3\n",
    CPU + "isolated": "\n",
    POLICY + "scaling_governor": "ondemand\n",
    POLICY + "scaling_driver": "cpufreq-dt\n",
    POLICY + "scaling_cur_freq": "1500000\n",
    POLICY + "scaling_min_freq": "1500000\n",
    POLICY + "scaling_max_freq": "2400000\n",
    POLICY + "cpuinfo_max_freq": "2400000\n",
    "sys/class/thermal/thermal_zone0/temp": "52350\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    THROTTLED: "0\n",
    THP: "always [madvise] never\n",
    CLOCK + "current_clocksource": "arch_sys_counter\n",
    CLOCK + "available_clocksource": "arch_sys_counter\n",
}
PI.update({CPU + f"cpu{i}/cpu_capacity": "1024\n" for i in range(4)})


def doctor(*arguments, **options):
    return subprocess.run([EDGELLM, "doctor", *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=120, **options)


def setUpModule():
    OUT.mkdir(parents=True, exist_ok=True)
    subprocess.run([MAKE_TINY, GGUF], check=True, timeout=60)
    subprocess.run([EDGELLM, "quantize", GGUF, "-o", TM2], check=True, timeout=60,
                   capture_output=True)


class Case(unittest.TestCase):
    def folder(self):
        folder = tempfile.mkdtemp(dir=OUT)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        return pathlib.Path(folder)

    def tree(self, changes=(), base=PI):
        """Writes the files of `base` with changes; a change to None removes the file."""
        root = self.folder()
        for path, content in {**base, **dict(changes)}.items():
            if content is None:
                continue
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            data = content if isinstance(content, bytes) else content.encode()
            (root / path).write_bytes(data)
        return root

    def report(self, *arguments):
        done = doctor(*arguments, "--json")
        self.assertEqual((done.returncode, done.stderr), (0, b""), arguments)
        got = json.loads(done.stdout)
        self.assertEqual(sorted(got), ["checks", "facts", "summary"])
        self.assertEqual(tuple(got["summary"]), STATES)
        for state in STATES:
            self.assertEqual(got["summary"][state],
                             sum(check["state"] == state for check in got["checks"]))
        return got

    def check(self, name, changes=(), *arguments):
        """One check on the Pi with changes: (state, fact, remedy and lasting)."""
        got = self.report("--root", self.tree(changes), *arguments)
        [found] = [c for c in got["checks"] if c["name"] == name]
        return found["state"], found["fact"], found["remedy"] + "\n" + (found["lasting"] or "")

    def facts(self, changes=(), *arguments):
        return self.report("--root", self.tree(changes), *arguments)["facts"]


class MadeUp(Case):
    def test_a_pi(self):
        got = self.report("--root", self.tree())
        states = {check["name"]: check["state"] for check in got["checks"]}
        self.assertEqual(states, {
            "cpu": "ok", "instructions": "unknown", "cores": "ok", "isolation": "note",
            "clusters": "ok", "frequency": "warn", "heat": "ok", "page-size": "ok", "memory": "ok",
            "locking": "warn", "swap": "warn", "huge-pages": "ok", "overcommit": "ok",
            "limits": "ok", "real-time": "unknown", "rt-throttle": "note", "clock": "ok",
            "kernel": "ok", "virtual": "ok", "load": "ok", "build": states["build"]})
        facts = got["facts"]
        wanted = {"board": "Raspberry Pi 5 Model B Rev 1.0", "machine": "aarch64",
                  "cpu_vendor": "Arm", "cpu_model": "Cortex-A76",
                  "cpu_features": "asimd asimdhp asimddp", "kernel_used": None,
                  "cores_online": 4, "cores_affinity": 4, "cores_allowed": 4, "cores_fast": 4,
                  "governor": "ondemand", "frequency_now_khz": 1500000, "page_bytes": 16384,
                  "temperature_millidegrees": 52350, "temperature_zone": "cpu-thermal",
                  "memory_total_bytes": 8245248 * 1024, "memory_available_bytes": 7000000 * 1024,
                  "memory_group_limit_bytes": None, "swap_devices": 1, "swap_device": "/var/swap",
                  "swap_bytes": 524272 * 1024, "swap_used_bytes": 1024 * 1024, "swappiness": 60,
                  "limit_memlock_bytes": 8388608, "limit_address_space_bytes": "unlimited",
                  "capability_ipc_lock": False, "mlock_works": None, "sched_fifo_works": None,
                  "sched_rt_runtime_us": 950000, "clock_source": "arch_sys_counter",
                  "preemption": "PREEMPT", "load_milli": 120, "steal_millionths": 0}
        self.assertEqual({key: facts[key] for key in wanted}, wanted)

    def test_frequency(self):
        state, fact, remedy = self.check("frequency")
        self.assertEqual((state, fact), ("warn", "governor ondemand in 1 group of cores, "
                                                 "1500 to 2400 MHz, now 1500"))
        self.assertIn("scaling_governor", remedy)
        self.assertIn("/etc/tmpfiles.d/", remedy)
        governor, driver = POLICY + "scaling_governor", POLICY + "scaling_driver"
        for name, kind, wanted in (("powersave", "cpufreq-dt", "warn"), ("schedutil", "x", "warn"),
                                   ("powersave", "intel_pstate", "note"),
                                   ("performance", "intel_pstate", "ok")):
            self.assertEqual(self.check("frequency", {governor: name, driver: kind})[0], wanted)
        capped = {governor: "performance\n", POLICY + "scaling_max_freq": "1800000\n"}
        state, fact, remedy = self.check("frequency", capped)
        self.assertEqual(state, "warn")
        self.assertIn("2400 MHz", fact)
        self.assertIn("scaling_max_freq", remedy)
        second = {governor: "performance\n",
                  POLICY.replace("0", "4") + "scaling_governor": "powersave\n"}
        self.assertEqual(self.facts(second)["governor"], "powersave")
        self.assertEqual(self.facts(second)["frequency_policies"], 2)
        boost = self.facts({CPU + "intel_pstate/no_turbo": "1\n"})["boost"]
        self.assertIs(boost, False)

    def test_throttling(self):
        for bits, wanted, words in (("50005", "warn", "under-voltage now"),
                                    ("4", "warn", "throttled now"),
                                    ("80008", "warn", "soft temperature limit"),
                                    ("50000", "note", "throttling happened"),
                                    ("0", "ok", "no throttling")):
            state, fact, remedy = self.check("heat", {THROTTLED: bits + "\n"})
            self.assertEqual(state, wanted, bits)
            self.assertIn(words, fact)
        self.assertEqual(self.facts({THROTTLED: "50005"})["firmware_throttled_bits"], 0x50005)
        zone = "sys/class/thermal/thermal_zone1/temp"
        for celsius, wanted in ((45, "ok"), (75, "note"), (85, "warn")):
            self.assertEqual(self.check("heat", {zone: f"{celsius}000\n"})[0], wanted)
        for absent in ("-273000", "250000"):
            only = {zone.replace("zone1", "zone0"): absent}
            self.assertIsNone(self.facts(only)["temperature_millidegrees"])
        alarm = {THROTTLED: None, "sys/class/hwmon/hwmon2/name": "rpi_volt\n",
                 "sys/class/hwmon/hwmon2/in0_lcrit_alarm": "1\n"}
        self.assertEqual(self.check("heat", alarm)[0], "warn")
        self.assertIs(self.facts(alarm)["under_voltage"], True)

    def test_page_size(self):
        for kib, wanted in ((4, "ok"), (16, "ok"), (64, "note")):
            state, fact, _ = self.check(
                "page-size", {"proc/self/smaps": f"KernelPageSize: {kib} kB\n"})
            self.assertEqual((state, fact), (wanted, f"{kib} KiB"))

    def test_processor_quota(self):
        group = "sys/fs/cgroup/user.slice/session-1.scope/"
        state, fact, remedy = self.check("cores", {group + "cpu.max": "150000 100000\n"})
        self.assertEqual((state, fact), ("warn", "4 cores online, 2 usable, a quota of 1.50"))
        self.assertIn("cpuset", remedy)
        self.assertEqual(self.check("cores", {group + "cpu.max": "max 100000\n"})[0], "ok")
        self.assertEqual(self.check("cores", {group + "cpu.max": "400000 100000\n"})[0], "ok")
        above = {group + "cpu.max": "300000 100000", "sys/fs/cgroup/user.slice/cpu.max":
                 "50000 100000", "sys/fs/cgroup/cpu.max": "200000 100000"}
        self.assertEqual(self.facts(above)["cores_quota_milli"], 500)
        self.assertEqual(self.facts(above)["cores_allowed"], 1)
        old = {"proc/self/cgroup": "4:cpu,cpuacct:/a/b\n2:cpuset:/c\n",
               "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "250000\n",
               "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
               "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us": "-1\n",
               "sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us": "100000\n"}
        self.assertEqual(self.facts(old)["cores_quota_milli"], 2500)
        hidden = {"proc/self/cgroup": "0::/../../host/path\n",
                  "sys/fs/cgroup/cpu.max": "120000 100000\n"}
        self.assertEqual(self.facts(hidden)["cores_quota_milli"], 1200)

    def test_affinity_clusters_isolated(self):
        one = {"proc/self/status": "Cpus_allowed_list:\t1,3\n"}
        state, fact, remedy = self.check("cores", one)
        self.assertEqual((state, fact), ("note", "4 cores online, 2 usable"))
        self.assertIn("taskset", remedy)
        isolated = {CPU + "isolated": "2-3\n", "proc/self/status": "Cpus_allowed_list:\t0-1\n"}
        state, fact, _ = self.check("cores", isolated)
        self.assertEqual((state, fact), ("ok", "4 cores online, 2 usable, isolated: 2-3"))
        state, fact, remedy = self.check("isolation", isolated)
        self.assertEqual((state, fact), ("ok", "isolated: 2-3"))
        self.assertIn("taskset -c $(", remedy)
        self.assertEqual(self.facts(isolated)["cores_isolated_number"], 2)
        state, fact, remedy = self.check("isolation")
        self.assertEqual((state, fact), ("note", "no core is isolated (isolcpus)"))
        self.assertIn("isolcpus=$n", remedy)
        self.assertIn("cmdline.txt", remedy)
        self.assertEqual(self.check("isolation", {CPU + "online": "0\n"})[0], "ok")
        self.assertEqual(self.check("isolation", {CPU + "isolated": None})[0], "unknown")
        little = {CPU + f"cpu{i}/cpu_capacity": "402\n" for i in (0, 1)}
        state, fact, remedy = self.check("clusters", little)
        self.assertEqual((state, fact),
                         ("warn", "2 fast cores of capacity 1024; the slowest has 402"))
        self.assertIn("taskset", remedy)
        mixed = PI["proc/cpuinfo"].replace("0xd0b", "0xd05", 2)
        self.assertEqual(self.facts({"proc/cpuinfo": mixed})["cpu_model"],
                         "Cortex-A55 + Cortex-A76")

    def test_memory(self):
        group = "sys/fs/cgroup/user.slice/"
        limited = {group + "memory.max": "536870912\n",
                   group + "memory.stat": "anon 436870912\nfile 5\n"}
        state, fact, remedy = self.check("memory", limited)
        self.assertEqual(state, "note")
        self.assertIn("limit 536.9 MB", fact)
        self.assertIn("--max-ram", remedy)
        self.assertEqual(self.facts(limited)["memory_group_room_bytes"], 100000000)
        tight = {"proc/meminfo": "MemTotal: 512000 kB\nMemAvailable: 50000 kB\n"}
        self.assertEqual(self.check("memory", tight)[0], "warn")
        old = {"proc/self/cgroup": "9:memory:/x\n",
               "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "104857600\n",
               "sys/fs/cgroup/memory/x/memory.stat": "cache 9\ntotal_rss 4857600\n",
               "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}
        self.assertEqual(self.facts(old)["memory_group_limit_bytes"], 104857600)
        self.assertEqual(self.facts(old)["memory_group_room_bytes"], 100000000)
        none = {group + "memory.max": "max\n"}
        self.assertIsNone(self.facts(none)["memory_group_limit_bytes"])
        self.assertEqual(self.check("memory", none)[0], "ok")

    def test_swap(self):
        limits = "proc/self/limits"
        state, fact, remedy = self.check("swap")
        self.assertEqual((state, fact),
                         ("warn", "/var/swap, 1.0 MB of 536.9 MB used, swappiness 60"))
        self.assertIn("sudo swapoff -a", remedy)
        self.assertEqual(self.check("swap", {limits: LIMITS % ("unlimited", "unlimited")})[0],
                         "note")
        self.assertEqual(self.check("swap", {"proc/swaps": SWAPS})[:2], ("ok", "none active"))
        zram = {"proc/swaps": SWAPS + "/dev/zram0 partition 102396 0 100\n/x file 4 0 -2\n"}
        state, fact, _ = self.check("swap", zram)
        self.assertIn("/dev/zram0 and others (compressed memory)", fact)
        self.assertEqual(self.facts(zram)["swap_devices"], 2)
        lie = {"proc/swaps": SWAPS + f"/a file {(1 << 53) - 1} 0 1\n" * 3 + "no swap\n"}
        self.assertEqual(self.facts(lie)["swap_bytes"], (1 << 63) - 1)

    def test_locking(self):
        limits, status = "proc/self/limits", "proc/self/status"
        state, fact, remedy = self.check("locking")
        self.assertEqual((state, fact), ("warn", "limit 8.4 MB; mlock not tried"))
        self.assertIn("prlimit", remedy)
        self.assertIn("/etc/security/limits.d/", remedy)
        self.assertEqual(self.check("locking", {limits: LIMITS % ("unlimited", 1)})[0], "ok")
        self.assertEqual(self.check("locking", {limits: LIMITS % (200000000, 1)})[0], "ok")
        self.assertIn("docker run --ulimit memlock=-1", self.check("locking", {".dockerenv": ""})[2])
        able = {status: "CapEff:\t00000000a80465fb\nCpus_allowed_list:\t0-3\n"}
        self.assertEqual(self.check("locking", able)[0], "ok")

    def test_settings(self):
        """(check, changes, state, words of the fact, words of the remedy)."""
        rt = "proc/sys/kernel/sched_rt_runtime_us"
        release, version = "proc/sys/kernel/osrelease", "proc/version"
        server = "sys/kernel/debug/sched/fair_server/cpu0/runtime"
        for name, changes, wanted, words, remedy in (
                ("huge-pages", {THP: "[always] madvise never\n"}, "note", "always", "echo madvise"),
                ("huge-pages", {THP: "always [madvise] never\n"}, "ok", "madvise", "nothing"),
                ("huge-pages", {THP: "always madvise [never]\n"}, "note", "never", "echo madvise"),
                ("overcommit", {"proc/sys/vm/overcommit_memory": "2\n"}, "note", "strict", "sysctl"),
                ("overcommit", {"proc/sys/vm/overcommit_memory": "1\n"}, "ok", "always", "nothing"),
                ("limits", {"proc/self/limits": LIMITS % (1, 50000000)}, "warn", "50.0 MB",
                 "ulimit -v"),
                ("limits", {"proc/self/limits": LIMITS % (1, 5000000000)}, "note", "5000.0 MB",
                 "ulimit -v"),
                ("rt-throttle", {}, "note", "50 ms of every 1000 ms", "sched_rt_runtime_us=-1"),
                ("rt-throttle", {rt: "-1\n"}, "ok", "no throttle", "nothing"),
                ("rt-throttle", {rt: "1000000\n"}, "ok", "no throttle", "nothing"),
                ("rt-throttle", {rt: "-1\n", release: "6.12.3\n"}, "note",
                 "fair server with 5.0 %", "fair_server"),
                ("rt-throttle", {rt: "-1\n", release: "6.12.3\n", server: "0\n"}, "ok",
                 "no throttle", "nothing"),
                ("clock", {CLOCK + "current_clocksource": "hpet\n"}, "warn", "hpet", "echo tsc"),
                ("clock", {CLOCK + "current_clocksource": "sundial\n"}, "note", "sundial",
                 "nothing"),
                ("kernel", {version: "Linux version 6.1 #1 SMP Debian\n"}, "note", "voluntary",
                 "linux-image-rt"),
                ("kernel", {version: "Linux version 6.1 #1 SMP PREEMPT_RT\n"}, "ok", "PREEMPT_RT",
                 "nothing"),
                ("kernel", {"sys/kernel/realtime": "1\n"}, "ok", "PREEMPT_RT", "nothing"),
                ("kernel", {version: "Linux 6.1 #1 SMP PREEMPT_DYNAMIC",
                            "sys/kernel/debug/sched/preempt": "none (voluntary) full\n"}, "note",
                 "mode voluntary", "preempt=full"),
                ("virtual", {"proc/stat": "cpu 10 0 10 900 0 0 0 80 0 0\n"}, "warn",
                 "8.00 % of time stolen", "vmstat"),
                ("virtual", {"sys/class/dmi/id/sys_vendor": "QEMU\n"}, "note", "QEMU", "nothing"),
                ("virtual", {"run/systemd/container": "lxc\n"}, "ok", "container: lxc", "nothing"),
                ("virtual", {".dockerenv": ""}, "ok", "container: docker", "nothing"),
                ("load", {"proc/loadavg": "2.50 1 1 1/2 3\n"}, "note", "2.50", "ps -eo"),
                ("load", {"proc/loadavg": "4.00 1 1 1/2 3\n"}, "warn", "4.00", "ps -eo")):
            state, fact, todo = self.check(name, changes)
            self.assertEqual(state, wanted, (name, changes, fact))
            self.assertIn(words, fact)
            self.assertIn(remedy, todo)


class Model(Case):
    def device(self):
        number = os.stat(TM2).st_dev
        return f"{os.major(number)}:{os.minor(number)}"

    def disk(self, kind, rotational="0", name="mmcblk0"):
        """A tree in which the model's file lies on partition 2 of a disk of that kind."""
        disk = f"sys/devices/x/{name}"
        root = self.tree({f"{disk}/device/type": kind, f"{disk}/queue/rotational": rotational,
                          f"{disk}/{name}p2/partition": "2\n",
                          f"{disk}/{name}p2/uevent": f"MAJOR=179\nDEVNAME={name}p2\n"})
        link = root / "sys/dev/block" / self.device()
        link.parent.mkdir(parents=True)
        link.symlink_to(root / disk / f"{name}p2")
        return root

    def found(self, root, name, *arguments):
        got = self.report(TM2, "--root", root, *arguments)
        self.assertEqual(len(got["checks"]), len(CHECKS) + len(MODEL_CHECKS))
        return [c for c in got["checks"] if c["name"] == name][0], got["facts"]

    def test_card(self):
        check, facts = self.found(self.disk("SD\n"), "model-file")
        self.assertEqual(check["state"], "note")
        self.assertIn("mmcblk0p2 (SD)", check["fact"])
        self.assertEqual(facts["model_card"], "SD")
        self.assertIs(facts["model_rotational"], False)
        self.assertEqual(facts["model_bytes"], os.path.getsize(TM2))

    def test_the_device_is_read(self):
        """Past the page cache, where its file system can do that."""
        path = self.folder() / "read.tm2.bin"
        shutil.copy(TM2, path)
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
            direct = True
        except OSError:
            direct = False
        check, facts = self.found(self.tree(), "model-file")
        rate = facts["model_read_bytes_per_second"]
        self.assertEqual(rate is not None, direct)
        self.assertEqual("which reads" in check["fact"], direct)
        if direct:
            self.assertGreater(rate, 0)

    def test_rotating_and_network(self):
        check, facts = self.found(self.disk("x", "1\n", "sda"), "model-file")
        self.assertEqual((check["state"], facts["model_rotational"]), ("note", True))
        self.assertIn("(rotating disk)", check["fact"])
        check, _ = self.found(self.disk("x", "1\n", "vda"), "model-file")
        self.assertIn("(virtual disk)", check["fact"])
        mounts = f"21 1 0:5 / /proc rw - proc proc rw\n27 1 {self.device()} / /m rw,a shared:1 - "
        for kind, wanted in (("nfs4", "warn"), ("9p", "warn"), ("ext4", "ok")):
            root = self.tree({"proc/self/mountinfo": mounts + f"{kind} /dev/x rw\n"})
            pathlib.Path(TM2).read_bytes()  # into the page cache
            check, facts = self.found(root, "model-file")
            self.assertEqual((check["state"], facts["model_file_system"]), (wanted, kind))

    def test_cached(self):
        path = self.folder() / "cold.tm2.bin"
        path.write_bytes(pathlib.Path(TM2).read_bytes())
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        cold = self.report(path)["facts"]
        warm = self.report(path)["facts"]  # it was opened, so its tables were read
        self.assertLess(cold["model_cached_bytes"], cold["model_bytes"])
        self.assertGreater(warm["model_cached_bytes"], cold["model_cached_bytes"])
        path.read_bytes()
        self.assertEqual(self.report(path)["facts"]["model_cached_bytes"], cold["model_bytes"])

    def test_plan(self):
        plan = json.loads(subprocess.run([EDGELLM, "info", TM2, "--json", "-c", "64"], check=True,
                                         capture_output=True, timeout=60).stdout)["plan"]
        check, facts = self.found(self.tree(), "plan", "-c", "64")
        self.assertEqual(check["state"], "ok")
        self.assertEqual(facts["plan_context"], 64)
        # The program's own share is measured, and differs a little from run to run.
        self.assertAlmostEqual(facts["plan_bytes"] - plan["total"], 0, delta=4 << 20)
        self.assertEqual(facts["plan_locked_bytes"],
                         plan["weights"] + plan["kv_cache"] + plan["scratch"])
        kib = facts["plan_bytes"] // 1024
        for have, wanted in ((kib // 2, "warn"), (kib * 4, "ok")):
            root = self.tree({"proc/meminfo": f"MemTotal: 1000000 kB\nMemAvailable: {have} kB\n"})
            self.assertEqual(self.found(root, "plan", "-c", "64")[0]["state"], wanted)

    def test_bad_models(self):
        for path, code in (("/nonexistent.tm2.bin", IO), (OUT, IO), (GGUF, FORMAT)):
            done = doctor(path)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertRegex(done.stderr, rb"\Aedgellm: [^\n]+\n\Z")


class Strange(Case):
    def test_absent_everything(self):
        got = self.report("--root", self.folder())
        states = {check["name"]: check["state"] for check in got["checks"]}
        self.assertEqual(set(states), set(CHECKS))
        self.assertEqual({n for n, s in states.items() if s != "unknown"}, {"build"})
        for check in got["checks"]:
            if check["name"] != "build":
                self.assertRegex(check["fact"], r"\Anot known here: ")
                self.assertEqual(check["remedy"], "nothing to do")

    def test_strange_contents(self):
        """Every file of the tree, all at once and one at a time: never an error or a crash."""
        for content in (b"", b"\n", b"\0" * 100, b"\xff\xfe\x80" * 1000, b"-1\n", b"[", b"(:, -\n",
                        b"9" * 400, b"-" + b"9" * 400, b"%s%n%d" * 50, b"0-99999999999,1-\n",
                        b"1e999 nan inf\n", b"x" * (1 << 20), b"0::" + b"/a" * 5000 + b"\n",
                        b"\x1b[31mred\n"):
            root = self.tree({path: content for path in PI})
            got = self.report(TM2, "--root", root)
            for value in got["facts"].values():
                if isinstance(value, str):
                    self.assertTrue(value.isprintable() and value.isascii(), value)
            self.assertEqual(doctor("--root", root).returncode, 0)
        for path in PI:
            self.report("--root", self.tree({path: b"\xff" * 70000}))
            self.report("--root", self.tree({path: None}))

    def test_huge_files_are_cut(self):
        more = "x\n" * (1 << 20)
        self.assertEqual(self.facts({"proc/meminfo": PI["proc/meminfo"] + more})
                         ["memory_total_bytes"], 8245248 * 1024)
        self.assertIsNone(self.facts({"proc/meminfo": more + PI["proc/meminfo"]})
                          ["memory_total_bytes"])

    def test_pipes_and_directories_where_files_should_be(self):
        root = self.tree({"proc/meminfo": None, "proc/stat": None, "proc/cpuinfo": None})
        os.mkfifo(root / "proc/meminfo")
        pipe = os.open(root / "proc/meminfo", os.O_RDWR)
        self.addCleanup(os.close, pipe)
        os.write(pipe, PI["proc/meminfo"].encode())
        (root / "proc/stat").mkdir()
        (root / "proc/cpuinfo").symlink_to("/dev/zero")
        got = self.report("--root", root)
        self.assertIsNone(got["facts"]["memory_total_bytes"])
        self.assertIsNone(got["facts"]["cpu_model"])

    def test_bad_roots(self):
        for root in ("/nonexistent", TM2, "/tmp/" * 1000):
            done = doctor("--root", root)
            self.assertEqual(done.returncode, IO)
            self.assertRegex(done.stderr, rb"\Aedgellm: [^\n]+\n\Z")
        deep = pathlib.Path(self.folder(), *["d" * 200] * 12)  # longer than the names it reads
        os.makedirs(deep)
        self.assertIsNone(self.report("--root", deep)["facts"]["machine"])


class ThisMachine(Case):
    def test_facts_agree_with_python(self):
        facts = self.report(TM2)["facts"]
        self.assertEqual(facts["page_bytes"], os.sysconf("SC_PAGESIZE"))
        self.assertEqual(facts["cores_online"], os.sysconf("SC_NPROCESSORS_ONLN"))
        self.assertEqual(facts["cores_affinity"], len(os.sched_getaffinity(0)))
        self.assertEqual(facts["machine"], os.uname().machine)
        self.assertEqual(facts["kernel_release"], os.uname().release)
        memory = dict(re.findall(r"(\w+): +(\d+) kB", pathlib.Path("/proc/meminfo").read_text()))
        self.assertEqual(facts["memory_total_bytes"], int(memory["MemTotal"]) * 1024)
        self.assertAlmostEqual(facts["memory_available_bytes"] / 1024, int(memory["MemAvailable"]),
                               delta=int(memory["MemTotal"]) / 4)
        for key, which in (("limit_memlock_bytes", resource.RLIMIT_MEMLOCK),
                           ("limit_address_space_bytes", resource.RLIMIT_AS),
                           ("limit_stack_bytes", resource.RLIMIT_STACK),
                           ("limit_rtprio", resource.RLIMIT_RTPRIO),
                           ("limit_nice", resource.RLIMIT_NICE)):
            soft = resource.getrlimit(which)[0]
            self.assertEqual(facts[key], "unlimited" if soft == resource.RLIM_INFINITY else soft)
        for key, path in (("swappiness", "vm/swappiness"), ("overcommit", "vm/overcommit_memory"),
                          ("sched_rt_runtime_us", "kernel/sched_rt_runtime_us")):
            file = pathlib.Path("/proc/sys") / path
            self.assertEqual(facts[key], int(file.read_text()) if file.exists() else None)
        swaps = pathlib.Path("/proc/swaps").read_text().splitlines()[1:]
        self.assertEqual(facts["swap_devices"], len(swaps))

    def test_agrees_with_the_engine(self):
        facts = self.report(TM2)["facts"]
        info = json.loads(subprocess.run([EDGELLM, "info", TM2, "--json"], check=True,
                                         capture_output=True, timeout=60).stdout)
        self.assertEqual(facts["kernel_used"], info["kernel"])
        self.assertEqual(facts["kernels_runnable"].split(), info["kernels_available"])
        self.assertLessEqual(set(info["kernels_available"]), set(facts["kernels_built"].split()))
        self.assertEqual(min(facts["cores_allowed"], 8), info["plan"]["n_threads"])
        self.assertEqual(facts["version"] + "\n", subprocess.run(
            [EDGELLM, "--version"], capture_output=True, timeout=60).stdout.decode().split()[1] + "\n")

    def test_affinity_and_limits_that_are_set(self):
        core = min(os.sched_getaffinity(0))

        def less():
            os.sched_setaffinity(0, {core})
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
            resource.setrlimit(resource.RLIMIT_STACK, (2 << 20, resource.RLIM_INFINITY))

        done = doctor("--json", preexec_fn=less)
        self.assertEqual(done.returncode, 0)
        facts = json.loads(done.stdout)["facts"]
        self.assertEqual((facts["cores_affinity"], facts["cores_allowed"]), (1, 1))
        self.assertEqual(facts["limit_memlock_bytes"], 65536)
        self.assertEqual(facts["limit_stack_bytes"], 2 << 20)

    def test_without_rights(self):
        """What a user may not do is found out by trying."""
        folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        shutil.copy(EDGELLM, folder / "edgellm")
        folder.chmod(0o755)
        options = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}

        def limits():
            resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))

        done = subprocess.run([folder / "edgellm", "doctor", "--json"], capture_output=True,
                              timeout=60, cwd="/", preexec_fn=limits, **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        got = json.loads(done.stdout)
        self.assertIs(got["facts"]["sched_fifo_works"], False)
        self.assertIs(got["facts"]["mlock_works"], SANITIZED)  # a sanitizer's mlock does nothing
        states = {check["name"]: check["state"] for check in got["checks"]}
        self.assertEqual(states["real-time"], "note")
        if not SANITIZED:
            self.assertEqual(states["locking"], "warn")

    def test_nothing_is_changed(self):
        """Neither its own nor its parent's scheduling, nor a file of the tree."""
        before = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
        root = self.tree()
        seen = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in root.rglob("*") if p.is_file()}
        self.report("--root", root)
        self.report()
        self.assertEqual((os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)), before)
        self.assertEqual(seen, {p: (p.stat().st_mtime_ns, p.read_bytes())
                                for p in root.rglob("*") if p.is_file()})


class Output(Case):
    def trees(self):
        yield ()
        yield ("--root", self.tree())
        yield ("--root", self.folder())
        yield (TM2,)
        bad = {THROTTLED: "5", CPU + "isolated": "3", THP: "[always]", CLOCK + "current_clocksource":
               "hpet", "proc/sys/vm/overcommit_memory": "2", "proc/version": "Linux",
               "proc/loadavg": "9 9 9", CPU + "cpu0/cpu_capacity": "300",
               "proc/self/limits": LIMITS % (0, 4096), "sys/fs/cgroup/memory.max": "9999999"}
        yield (TM2, "--root", self.tree(bad))
        yield ("--root", self.tree({"sys/fs/cgroup/cpu.max": "50000 100000"}))

    def test_every_check_has_effect_and_remedy(self):
        for arguments in self.trees():
            got = self.report(*arguments)
            names = [check["name"] for check in got["checks"]]
            self.assertEqual(sorted(names), sorted(CHECKS + (MODEL_CHECKS if TM2 in arguments
                                                             else ())))
            for check in got["checks"]:
                self.assertIn(check["state"], STATES)
                for key in ("fact", "affects", "effect", "remedy"):
                    self.assertGreater(len(check[key]), 1, check)
                if check["state"] == "warn":
                    self.assertNotEqual(check["remedy"], "nothing to do", check)

    def test_commands_are_commands(self):
        """A shell takes them as they are printed, line ends included."""
        for arguments in self.trees():
            for check in self.report(*arguments)["checks"]:
                for command in (check["remedy"], check["lasting"] or ""):
                    done = subprocess.run(["bash", "-n", "-c", command], capture_output=True)
                    self.assertEqual(done.stderr, b"", command)

    def test_text_fits_and_says_the_same(self):
        for arguments in self.trees():
            done = doctor(*arguments)
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            text = done.stdout.decode("ascii")
            self.assertEqual([line for line in text.splitlines() if len(line) > 100], [])
            self.assertNotIn("\x1b", text)
            states = re.findall(r"(?m)^([a-z-]+) +(ok|note|warn|unknown) ", text)
            got = self.report(*arguments)
            changing = ("load",)
            self.assertEqual([s for s in states if s[0] not in changing],
                             [(c["name"], c["state"]) for c in got["checks"]
                              if c["name"] not in changing])
            self.assertEqual(len(re.findall(r"(?m)^ {14}effect   ", text)), len(states))
            self.assertEqual(len(re.findall(r"(?m)^ {14}remedy   ", text)), len(states))
            last = text.splitlines()[-1]
            self.assertRegex(last, rf"\A{len(states)} checks: \d+ ok, \d+ notes?, "
                                   r"\d+ warnings?, \d+ not known here\Z")

    def test_brief(self):
        text = doctor("-q", "--root", self.tree()).stdout.decode()
        names = re.findall(r"(?m)^([a-z-]+) +(note|warn) ", text)
        self.assertIn(("frequency", "warn"), names)
        self.assertIn(("rt-throttle", "note"), names)
        self.assertNotRegex(text, r"(?m)^[a-z-]+ +(ok|unknown) ")

    def test_strict(self):
        done = doctor("--strict", "--root", self.tree())
        self.assertEqual(done.returncode, UNSUPPORTED)
        self.assertRegex(done.stderr.decode(), r"\Aedgellm: doctor: \d+ warnings? \(--strict\)\n\Z")
        self.assertEqual(doctor("--root", self.tree()).returncode, 0)
        if not SANITIZED and not COUNTED:  # which is a warning itself
            self.assertEqual(doctor("--strict", "--root", self.folder()).returncode, 0)

    def test_usage(self):
        for arguments in (("a", "b"), ("--frobnicate",), ("--root",), ("-c", "0", TM2)):
            self.assertEqual(doctor(*arguments).returncode, USAGE, arguments)
        text = doctor("--help").stdout.decode()
        for word in ("--json", "--strict", "--root", "-q", "-c", "usage: edgellm doctor"):
            self.assertIn(word, text)
        self.assertLessEqual(max(map(len, text.splitlines())), 100)
        with open("/dev/full", "wb") as full:
            for more in ((), ("--json",)):
                done = subprocess.run([EDGELLM, "doctor", *more], stdout=full,
                                      stderr=subprocess.PIPE, timeout=60)
                self.assertEqual(done.returncode, IO)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
