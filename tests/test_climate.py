#!/usr/bin/env python3
"""Heat, energy and an even rate, from outside: `edgellm run`, `chat` and `bench` on made-up trees
(--root) and on this system, with a tiny model.

    python3 tests/test_climate.py EDGELLM MAKE_TINY OUT_DIR

Standard library only.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

EDGELLM, MAKE_TINY = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
OUT = pathlib.Path(sys.argv[3]).absolute()
USAGE, IO = 2, 3
TRIES = 6
TM2 = str(OUT / "tiny.tm2.bin")
os.environ["EDGELLM_CACHE"] = "none"
ZONE, RAPL = "sys/class/thermal/thermal_zone0/", "sys/class/powercap/intel-rapl:0/"
INA = "sys/class/hwmon/hwmon2/"
PARTS = {"temperature", "clock_mhz", "firmware_throttled", "energy", "pace"}


def setUpModule():
    OUT.mkdir(parents=True, exist_ok=True)
    gguf = TM2.replace(".tm2.bin", ".gguf")
    subprocess.run([MAKE_TINY, gguf], check=True, timeout=60)
    subprocess.run([EDGELLM, "quantize", gguf, "-o", TM2, "-q"], check=True, timeout=60)


class Case(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(dir=OUT))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)

    def put(self, path, value):
        """Appears whole, for it may be read meanwhile."""
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / ".new").write_text(f"{value}\n")
        (path.parent / ".new").rename(path)

    def command(self, *more, root=True):
        place = ("--root", self.root) if root else ()
        return list(map(str, (EDGELLM, "run", TM2, "-p", "the quick fox", "-n", "20", "-s", "3", "-j", "1",
                              "--ignore-eos", "--hash", *place, *more)))

    def run_json(self, *more, **options):
        done = subprocess.run(self.command(*more, "--json", **options), capture_output=True, timeout=120)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        return json.loads(done.stdout)

    def refused(self, code, says, *more):
        done = subprocess.run(self.command(*more), capture_output=True, timeout=60, text=True)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertRegex(done.stderr, rf"\Aedgellm: [^\n]*{says}[^\n]*\n\Z")

    def once(self, holds, ask):
        """What ask() tells once holds() of it: of times a busy machine spoils some, a fault each."""
        for _ in range(TRIES):
            if holds(got := ask()):
                return got
        return self.fail(got)

    def even(self, ask, period=100):
        """Its tokens are on time in the mean, whatever woke late."""
        return self.once(lambda got: abs(got["timings"]["token_ms"]["mean"] - period) <= period / 10, ask)

    def thermal(self, millidegrees):
        self.put(ZONE + "type", "cpu-thermal")
        self.put(ZONE + "temp", millidegrees)

    def rapl(self, microjoules, name="package-0"):
        self.put(RAPL + "name", name)
        self.put(RAPL + "max_energy_range_uj", 10_000_000)
        self.put(RAPL + "energy_uj", microjoules)

    def meanwhile(self, change, seconds=0.02):
        """Calls change(0), change(1), ... until the test ends."""
        stop = threading.Event()

        def go_on():
            i = 0
            while not stop.wait(seconds):
                change(i)
                i += 1
        thread = threading.Thread(target=go_on)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(stop.set)


class Told(Case):
    def test_what_is_not_there_is_null(self):
        self.assertEqual(self.run_json()["conditions"], dict.fromkeys(PARTS))

    def test_this_system(self):
        """Whatever it has: what it does not tell is null, and no more."""
        got = self.run_json(root=False)["conditions"]
        self.assertEqual(set(got), PARTS)
        zones = [p for p in pathlib.Path("/sys/class/thermal").glob("thermal_zone*/temp")]
        if not zones:
            self.assertIsNone(got["temperature"])
        meters = list(pathlib.Path("/sys/class/powercap").glob("intel-rapl:*")) + list(
            pathlib.Path("/sys/class/hwmon").glob("hwmon*"))
        if not meters:
            self.assertIsNone(got["energy"])

    def test_sensors(self):
        self.thermal(51250)
        self.put("sys/devices/platform/soc/soc:firmware/get_throttled", "50000")
        for core in os.sched_getaffinity(0):
            self.put(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq", 1500000)
        got = self.run_json()["conditions"]
        self.assertEqual(got["temperature"], {"zone": "cpu-thermal", "first_c": 51.25, "most_c": 51.25,
                                              "last_c": 51.25})
        self.assertEqual(got["clock_mhz"], {"first": 1500, "last": 1500})
        self.assertEqual(got["firmware_throttled"], {"first": 0x50000, "last": 0x50000})
        self.assertIsNone(got["energy"])

    def test_the_clock_of_the_core_that_computes(self):
        """Which --rt chooses; on boards of two kinds of cores the first one is of the slow kind."""
        for core in os.sched_getaffinity(0):
            self.put(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq", 1000000 + 1000 * core)
        got = self.run_json("--rt")
        core = (got["realtime"]["cores"] or [min(os.sched_getaffinity(0))])[0]
        self.assertEqual(got["conditions"]["clock_mhz"], {"first": 1000 + core, "last": 1000 + core})

    def test_the_printed_line(self):
        self.thermal(51250)
        self.rapl(0)
        done = subprocess.run(self.command("--target-rate", "200"), capture_output=True, check=True)
        self.assertRegex(done.stderr.decode(), r" \| up to 51\.2 C \| 0 J a token \| held back for \d\.\d s \| "
                                      r"length\n\Z")


class Energy(Case):
    def test_joules_of_a_counter(self):
        self.rapl(0)
        self.meanwhile(lambda i: self.put(RAPL + "energy_uj", 100_000 * i % 10_000_000))
        got = self.run_json("--target-rate", "20")["conditions"]["energy"]
        self.assertEqual((got["meter"], got["why"]), ("RAPL package-0", None))
        # 0.1 J in some 20 ms, less often on a busy machine, for 950 ms: each reading is exact.
        self.assertAlmostEqual(got["answer_joules"] / 0.1, round(got["answer_joules"] / 0.1), delta=1e-6)
        self.assertGreater(got["answer_joules"], 0.3)
        self.assertAlmostEqual(got["joules_per_token"], got["answer_joules"] / 19)

    def test_a_counter_that_begins_anew(self):
        """20 W by the clock, so that it does so each half second, of an answer that takes 950 ms."""
        begun = time.monotonic()

        def joules():
            return 20 * (time.monotonic() - begun)
        self.rapl(0)
        self.meanwhile(lambda i: self.put(RAPL + "energy_uj", int(1e6 * joules()) % 10_000_000))
        got = self.run_json("--target-rate", "20")["conditions"]["energy"]
        self.assertGreater(got["answer_joules"], 1)
        self.assertLess(got["answer_joules"], joules())

    def test_a_power_sensor_is_read_meanwhile(self):
        self.put(INA + "name", "ina226")
        self.put(INA + "power1_input", 2_500_000)
        def is_right(got):
            seconds = 19 / got["timings"]["decode_tok_s"]
            return abs(got["conditions"]["energy"]["answer_joules"] - 2.5 * seconds) <= 0.25
        got = self.once(is_right, lambda: self.run_json("--target-rate", "20"))
        self.assertEqual(got["conditions"]["energy"]["meter"], "ina226 power1_input")
        real = self.run_json("--rt")["conditions"]["energy"]
        self.assertIn("not with --rt", real["why"])
        self.assertIsNone(real["joules_per_token"])

    def test_a_meter_that_breaks(self):
        self.rapl("")
        self.assertIsNone(self.run_json()["conditions"]["energy"])


class Rate(Case):
    def test_tokens_are_given_out_evenly(self):
        plain = self.run_json()
        got = self.even(lambda: self.run_json("--target-rate", "10"))
        self.assertEqual([got[k] for k in ("tokens", "text", "hash")],
                         [plain[k] for k in ("tokens", "text", "hash")])
        times = got["timings"]
        self.assertAlmostEqual(times["decode_tok_s"] * times["token_ms"]["mean"], 1e3, delta=1)
        pace = got["conditions"]["pace"]
        self.assertEqual((pace["target_rate"], pace["max_temp_c"], pace["duty_least"]), (10, None, None))
        self.assertGreater(pace["waited_ms"], 1000)
        self.assertIsNone(plain["conditions"]["pace"])

    def test_text_appears_at_its_time(self):
        def moments():
            """At which some of it came."""
            found = []
            with subprocess.Popen(self.command("--target-rate", "10", "-n", "8", "-q"), stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL) as process:
                while os.read(process.stdout.fileno(), 100):
                    found.append(time.monotonic())
            return found
        self.once(lambda found: len(found) > 3 and found[-1] - found[0] > 0.55, moments)

    def test_a_rate_out_of_reach_costs_nothing(self):
        got = self.run_json("--target-rate", "1000000")
        self.assertEqual(got["conditions"]["pace"]["waited_ms"], 0)

    def test_real_time(self):
        self.even(lambda: self.run_json("--target-rate", "10", "--rt"))

    def test_a_signal_ends_the_wait(self):
        process = subprocess.Popen(self.command("--target-rate", "0.01"), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        os.read(process.stdout.fileno(), 1)  # the first token; the next one is due in 100 s
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        self.assertEqual(process.returncode, 143)

    def test_chat(self):
        command = [EDGELLM, "chat", TM2, "-n", "8", "-s", "7", "-j", "1", "--ignore-eos", "--json", "--root",
                   self.root, "--target-rate", "10"]
        def answers():
            done = subprocess.run(list(map(str, command)), input=b"fox\nlazy dog\n", capture_output=True,
                                  check=True, timeout=60)
            return list(map(json.loads, done.stdout.splitlines()))
        first, second = self.once(lambda got: all(abs(a["timings"]["token_ms"]["mean"] - 100) <= 10 for a in got),
                                  answers)
        self.assertGreater(second["conditions"]["pace"]["waited_ms"],
                           first["conditions"]["pace"]["waited_ms"])

    def test_bench(self):
        self.thermal(40000)
        self.rapl(0)
        command = [EDGELLM, "bench", TM2, "--runs", "2", "-n", "8", "-p", "4", "-j", "1", "--target-rate", "10",
                   "--root", self.root]
        def told():
            return json.loads(subprocess.run(list(map(str, (*command, "--json"))), capture_output=True,
                                             check=True).stdout)
        got = self.once(lambda got: abs(got["decode_tok_s"] - 10) <= 1, told)
        self.assertEqual(got["conditions"]["energy"]["joules_per_token"], 0)
        text = subprocess.run(list(map(str, command)), capture_output=True, check=True, text=True).stdout
        for line in (r"temperature +up to 40\.0 C \(cpu-thermal\)", r"energy +0 J a token", r"held back +for"):
            self.assertRegex(text, rf"(?m)^{line}")
        longer = subprocess.run(list(map(str, (*command, "--blocks", "2", "--json"))), capture_output=True,
                                check=True)
        self.assertIn("conditions", json.dumps(json.loads(longer.stdout)))

    def test_haste_and_holding_back_exclude_each_other(self):
        self.refused(USAGE, "one or the other", "--target-rate", "5", "--deadline-ms", "1000")
        self.refused(USAGE, "bad number '0' for --target-rate", "--target-rate", "0")
        self.refused(USAGE, "bad number '19' for --max-temp", "--max-temp", "19")


class Temperature(Case):
    def test_no_zone_is_an_error(self):
        self.refused(IO, f"--max-temp needs a temperature: '{self.root}/sys/class/thermal' has no zone",
                     "--max-temp", "70")

    def test_a_cool_board_runs_freely(self):
        self.thermal(45000)
        pace = self.run_json("--max-temp", "70")["conditions"]["pace"]
        self.assertEqual((pace["waited_ms"], pace["duty_least"]), (0, 1))

    def test_a_hot_board_is_held_back(self):
        plain = self.run_json()
        self.thermal(90000)
        got = self.run_json("--max-temp", "70")
        self.assertEqual(got["hash"], plain["hash"])
        pace = got["conditions"]["pace"]
        self.assertAlmostEqual(pace["duty_least"], 0.05, delta=0.001)
        # Most of the time it waits, however long others kept it from computing.
        self.assertGreater(pace["waited_ms"], 0.6 * 19 * got["timings"]["token_ms"]["mean"])

    def test_a_sensor_that_fails_meanwhile_is_told(self):
        self.thermal(45000)
        process = subprocess.Popen(self.command("--max-temp", "70", "--target-rate", "10"), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        begun = process.stdout.read(1)
        self.put(ZONE + "temp", "broken")
        text, said = process.communicate(timeout=120)
        self.assertEqual((process.returncode, len(begun)), (0, 1), said)
        self.assertRegex(said.decode(), r"duty at least 1\.00, blind \d+ times: no temperature could be read \| length\n\Z")
        self.thermal(45000)
        self.assertEqual(self.run_json("--max-temp", "70")["conditions"]["pace"]["blind_looks"], 0)

    def test_both(self):
        """The slower of the two decides."""
        self.thermal(45000)
        self.even(lambda: self.run_json("--max-temp", "70", "--target-rate", "10"))

    def test_in_between_it_is_smooth(self):
        """5 degrees below the limit: a duty between, the same all the time but for the integral."""
        self.thermal(66500)
        got = self.run_json("--max-temp", "70", "-n", "60")
        duty = got["conditions"]["pace"]["duty_least"]
        self.assertTrue(0.5 < duty < 0.9, duty)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
