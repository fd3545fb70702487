#!/usr/bin/env python3
"""A whole small computer, emulated: `make test-boards`. Four Cortex-A53 under Debian's kernel, with 256 MB
of memory, then with 128, and a disk with the real model; the static program for arm64 answers there.

    tools/test_boards.py PROGRAM INIT REFERENCE KERNEL MODEL FOLDER [Board.test_256]

PROGRAM: the static edgellm for arm64; INIT: tools/boards/init.c, built for it; REFERENCE: an edgellm
for this machine; KERNEL: a folder with Linux and its modules (scripts/foreign.sh --kernel).

What must hold: tokens, text and logits' hash are those of this machine; the plan of `edgellm info` is
within 2 % of the peak that the kernel counted; of 256 MB at least 128 are left for all else; what
does not fit is refused with numbers, and of a machine the context that is named then fits. A disk that is
slow delays the first token, and changes nothing else.
"""
import functools
import json
import lzma
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

PROGRAM, INIT, REFERENCE, KERNEL, MODEL = map(pathlib.Path, sys.argv[1:6])
OUT = pathlib.Path(sys.argv[6]).absolute()
MB = 1 << 20
BOOT_SECONDS = 900  # it takes a fraction, were nobody else computing
MEMORY_EXIT = 6
GROUP = 12 * MB  # of a control group
PROMPT = "The lighthouse keeper counted the steps"
ANSWER = ["-p", PROMPT, "-s", "7", "--ignore-eos", "--hash", "--json", "-q"]
THERE = ["-j", "4", "--kernel", "neon"]
RUN = ["run", "/model/model.tm2.bin", *ANSWER, *THERE]
TOKENS, FEW_TOKENS = 8, 2  # few where each pass over the weights reads the disk
SLOW = 8 * MB  # bytes a second: a bad card
MODULES = ["virtio_mmio", "virtio_blk", "crc32c_generic", "ext4"]
INITRAMFS_MOST = 5_000_000


# ---- the disks -------------------------------------------------------------------------------------

def module_files():
    found = {}
    for path in KERNEL.glob("lib/modules/**/*.ko*"):
        found[path.name.split(".ko")[0].replace("-", "_")] = path
    return found


def read_module(path):
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


def with_needs(names, files, taken):
    """The modules by name, each behind those that it needs; what is not there is built in."""
    for name in names:
        if name in taken or name not in files:
            continue
        data = read_module(files[name])
        needs = re.search(rb"\0depends=([^\0]*)\0", data)
        with_needs(needs.group(1).decode().replace("-", "_").split(",") if needs else [], files, taken)
        taken[name] = data
    return taken


def cpio_entry(name, data, mode, number):
    numbers = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % n for n in numbers) + name.encode() + b"\0"
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def initramfs(steps):
    """The first file system, in memory: program, init, modules and what is to be done."""
    modules = with_needs(MODULES, module_files(), {})
    entries = [(name, b"", 0o40755) for name in ("dev", "proc", "sys", "model")]
    entries += [("init", INIT.read_bytes(), 0o100755), ("edgellm", PROGRAM.read_bytes(), 0o100755)]
    entries += [(f"{name}.ko", data, 0o100644) for name, data in modules.items()]
    lines = "".join("\t".join([name, str(limit), "/edgellm", *arguments]) + "\n"
                    for name, limit, arguments in steps)
    entries.append(("modules", "".join(f"/{name}.ko\n" for name in modules).encode(), 0o100644))
    entries.append(("steps", lines.encode(), 0o100644))
    packed = b"".join(cpio_entry(*entry, i + 1) for i, entry in enumerate(entries))
    path = OUT / "initramfs"
    path.write_bytes(packed + cpio_entry("TRAILER!!!", b"", 0, 0))
    subprocess.run(["gzip", "-9nf", path], check=True)
    return path.with_name("initramfs.gz")


@functools.cache
def disk():
    """ext4 with the model, made without mounting anything."""
    folder, path = OUT / "disk", OUT / "disk.img"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path.unlink(missing_ok=True)
    (folder / "model.tm2.bin").hardlink_to(MODEL.resolve())
    size = f"{MODEL.stat().st_size // 1024 + 16384}k"
    subprocess.run(["/sbin/mke2fs", "-qF", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", folder, path, size],
                   check=True, stdout=subprocess.DEVNULL)
    return path


# ---- the machine -----------------------------------------------------------------------------------

class Step:
    def __init__(self, output, status, peak_kb, available_kb):
        self.output, self.status = output.strip(), int(status)
        self.peak, self.available = int(peak_kb) * 1024, int(available_kb) * 1024

    def json(self):
        if self.status != 0:
            raise AssertionError(f"exit {self.status}: {self.output}")
        return json.loads(self.output[self.output.index("{"):])


def boot(megabytes, *steps, disk_rate=0):
    """Runs the steps (name, limit of the group, arguments) on a machine of that size; by name. disk_rate: bytes
    that its disk gives in a second, 0: as many as it can."""
    first = initramfs(steps)
    console = OUT / f"console-{megabytes}.txt"
    with open(console, "wb") as out:
        subprocess.run(
            ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a53", "-smp", "4", "-m", str(megabytes),
             "-nic", "none", "-nographic", "-no-reboot", "-kernel", next(KERNEL.glob("boot/vmlinuz-*")),
             "-initrd", first, "-append", "console=ttyAMA0 quiet panic=-1",
             "-drive", f"file={disk()},format=raw,if=none,id=model,readonly=on,throttling.bps-read={disk_rate}",
             "-device", "virtio-blk-device,drive=model"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=BOOT_SECONDS)
    text = console.read_text(errors="replace").replace("\r", "")
    found = {match.group(1): Step(*match.group(2, 3, 4, 5)) for match in re.finditer(
        r"== begin (\S+)\n(.*?)\n== end \1 (\d+) (\d+) (\d+)\n", text, re.DOTALL)}
    if "== done" not in text or len(found) != len(steps):
        raise AssertionError(f"the machine did not come to its end:\n{text[-3000:]}")
    total, available = re.search(r"== memory (\d+) (\d+)", text).groups()
    print(f"{megabytes} MB: {int(total) / 1024:.0f} MB are the kernel's to give, "
          f"{int(available) / 1024:.0f} at first available; initramfs {first.stat().st_size / 1e6:.1f} MB")
    for name, step in found.items():
        print(f"  {name}: exit {step.status}, peak {step.peak / MB:.1f} MB, "
              f"least available {step.available / MB:.1f} MB")
    return found


@functools.cache
def reference(tokens):
    return json.loads(subprocess.run([REFERENCE, "run", MODEL, *ANSWER, "-n", str(tokens), "-j", "1"],
                                     capture_output=True, check=True, timeout=600).stdout)


class Board(unittest.TestCase):
    def says_the_same(self, step, tokens):
        got, known = step.json(), reference(tokens)
        for what in ("tokens", "text", "hash"):
            self.assertEqual(got[what], known[what], what)
        self.assertEqual(len(got["tokens"]), tokens)

    def refused(self, step, who):
        self.assertEqual(step.status, MEMORY_EXIT, step.output)
        self.assertIn(who, step.output)
        named = re.search(r"a context of (\d+) tokens would fit", step.output)
        self.assertIsNotNone(named, step.output)
        return int(named.group(1))

    def test_256(self):
        steps = boot(256, ("plan", 0, ["info", RUN[1], "--json", *THERE]),
                     ("run", 0, [*RUN, "-n", str(TOKENS)]))
        self.assertLess((OUT / "initramfs.gz").stat().st_size, INITRAMFS_MOST)
        plan, ran = steps["plan"].json()["plan"], steps["run"]
        self.says_the_same(ran, TOKENS)
        print(f"  planned {plan['total'] / MB:.1f} MB; left of 256 MB: {256 - ran.peak / MB:.1f}")
        self.assertLess(abs(plan["total"] / ran.peak - 1), 0.02)
        self.assertGreaterEqual(256 * MB - ran.peak, 128 * MB)

    def test_slow_disk(self):
        """The weights come once, as slowly as they do; then they are in memory."""
        ran = boot(256, ("run", 0, [*RUN, "-n", str(TOKENS)]), disk_rate=SLOW)["run"]
        self.says_the_same(ran, TOKENS)
        times, gaps = ran.json()["timings"], TOKENS - 1
        least = 1000 * MODEL.stat().st_size / SLOW
        # Whoever emulates may be stopped for a while: the longest gap does not count.
        each = (gaps * times["token_ms"]["mean"] - times["token_ms"]["max"]) / (gaps - 1)
        print(f"  loaded in {times['load_ms']:.0f} ms, for which the disk needs {least:.0f}; a token then takes {each:.0f}")
        self.assertGreater(times["load_ms"], 0.9 * least)
        self.assertLess(each, 0.9 * least)

    def test_128(self):
        """Less than the weights is left: they are read again for each pass, but the answer is the same."""
        few = [*RUN, "-n", str(FEW_TOKENS)]
        steps = boot(128, ("large", 0, [*few, "-c", "8192"]), ("group", GROUP, few))
        fits = self.refused(steps["large"], "this machine has")
        fits_group = self.refused(steps["group"], "control group")
        print(f"  contexts that would fit: {fits}, in the group {fits_group}")
        self.assertGreater(fits, 512)
        self.assertLess(fits_group, 512)
        # Of what is left of the machine, the next start leaves a little more or less.
        again = boot(128, ("large", 0, [*few, "-c", str(fits * 3 // 4)]))
        self.says_the_same(again["large"], FEW_TOKENS)


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    unittest.main(argv=[sys.argv[0], *sys.argv[7:]], verbosity=2)
