#!/usr/bin/env python3
"""tools/mca: its arithmetic on made-up cycles, its cutting of assembly, and the tables of
docs/HARDWARE.md. Needs neither llvm-mca nor a cross compiler.

    python3 tests/test_mca.py SOURCE_DIR OUT_DIR

Standard library only.
"""
import json
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(sys.argv[1]).absolute()
OUT = pathlib.Path(sys.argv[2]).absolute()
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "tools" / "mca"))
import assembly  # noqa: E402
import boards  # noqa: E402
import estimate  # noqa: E402
import report  # noqa: E402

REPORT = ROOT / "tools" / "mca" / "report.py"
SMALL = {"name": "small", "dim": 64, "ffn_dim": 160, "layers": 2, "heads": 4, "kv_heads": 2,
         "head_dim": 16, "vocab": 100}


def made_up(block=100, group=40):
    """Every core and codec takes the same."""
    codec = {"instructions": 1, "block": block, "group": group}
    return {name: {"model": "A57", "codecs": {c: dict(codec) for c in boards.CODECS}}
            for name in boards.CORES}


class Arithmetic(unittest.TestCase):
    def test_matrix(self):
        # 100 rows: 7 tiles; 64 columns: 2 blocks, 1 group
        self.assertEqual(estimate.matrix_work(100, 64, 3), (14, 7, 7 * (2 * 192 + 16 + 32)))
        # 160 columns: 5 blocks, 2 groups
        self.assertEqual(estimate.matrix_work(64, 160, 2), (20, 8, 4 * (5 * 128 + 32 + 32)))

    def test_shape(self):
        # a layer: q, o 64 x 64, k, v 32 x 64, gate, up 160 x 64, down 64 x 160; the head 100 x 64
        blocks = 2 * (8 + 8 + 4 + 4 + 20 + 20 + 20) + 14
        groups = 2 * (4 + 4 + 2 + 2 + 10 + 10 + 8) + 7
        work = estimate.shape_work(SMALL, 4)
        self.assertEqual(list(work), ["s4"])
        self.assertEqual(work["s4"][:2], (blocks, groups))
        tiles = 2 * (4 + 4 + 2 + 2 + 10 + 10 + 4) + 7
        self.assertEqual(work["s4"].bytes, blocks * 256 + groups * 16 + tiles * 32)

    def test_shape_is_all_of_the_weights(self):
        work = estimate.shape_work(report.shape("smollm2-135m"), 2)["s2"]
        self.assertEqual(work.blocks * 512, 134479872)
        self.assertEqual(sum(boards.MIX_WEIGHTS.values()), 134479872)

    def test_mix(self):
        work = estimate.mix_work({"s2": 4096, "s3": 1024}, 12345)
        self.assertEqual(work, {"s2": (8, 2, 12345), "s3": (2, 1, 0)})

    def test_time(self):
        work = {"s2": estimate.Work(1000, 250, 10**6), "s4": estimate.Work(10, 5, 0)}
        costs = {"s2": estimate.Cost(200, 40), "s4": estimate.Cost(100, 20)}
        cycles = 1000 * 200 + 250 * 40 + 10 * 100 + 5 * 20
        self.assertEqual(estimate.token_cycles(work, costs), cycles)
        self.assertAlmostEqual(estimate.token_ms(work, costs, 2.0, 4), cycles / 2e9 / 4 * 1000)
        self.assertAlmostEqual(estimate.memory_ms(work, 0.5), 2.0)
        self.assertAlmostEqual(estimate.cycles_a_weight(costs["s2"]), 200 / 512 + 40 / 2048)


class Cutting(unittest.TestCase):
    ARM = """\
f:
\t.cfi_startproc
\tmov\tw1, 0
.L2:
\tcbz\tw1, .L9
\tadd\tx4, x4, 1
\tadd\tx5, x5, 1
\tadd\tx6, x6, 1
.L3:
\tldr\tq0, [x9], 16
\tprfm\tPLDL1KEEP, [x9, 3072]
\tsub\tw1, w1, #1
\tbne\t.L2
\tadrp\tx0, .L7
\tret
.L9:
\tbl\tstart_group
\tb\t.L3
.L5:
\tprfm\tPLDL1KEEP, [x9, 1]
\tprfm\tPLDL1KEEP, [x9, 2]
\tbne\t.L5
\tret
\t.size\tf, .-f
"""
    RISCV = """\
g:                                      # @g
.LBB0_1:                                # =>This Loop Header
\tprefetch.r\t0(a0)
\tli\ta3, 0
.LBB0_2:                                #   Parent Loop
\tvle8.v\tv8, (a0)                      # a comment
\tbne\ta4, a7, .LBB0_2
# %bb.3:
\tvse8.v\tv8, (a1)
\tbeqz\ta2, .LBB0_1
\tret
\t.size\tg, .Lend-g
"""

    X86 = """\
f:
.L2:
\tjmp\t.L4
.L3:
\tcall\tstart_group
.L4:
\tprefetcht0\t3072(%rdi)
\tmovaps\t.LC0(%rip), %xmm0
\tpmaddubsw\t%xmm1, %xmm0
\tjne\t.L2
\tret
\t.size\tf, .-f
"""
    TWO_INSIDE = """\
f:
.L1:
\tprefetch.r\t0(a0)
\tbeq\ta2, a3, .L5
.L2:
\tadd\ta0, a0, a1
\tcall\tmemcpy@plt
\tbne\ta0, a4, .L2
.L3:
\tadd\ta1, a1, a1
\tbne\ta1, a4, .L3
\tbne\ta5, a6, .L1
\tret
.L5:
\tli\ta1, 1
\tli\ta1, 2
\tli\ta1, 3
.L6:
\tadd\ta2, a2, 4
\tbne\ta2, a7, .L6
\tj\t.L1
\t.size\tf, .-f
"""

    def test_x86(self):
        """An unconditional jump has no way past it; a constant is no place to go."""
        self.assertEqual(assembly.loop_turn(assembly.function(self.X86, "f"), 1), [
            "jmp .L4", "prefetcht0 3072(%rdi)", "movaps .LC0(%rip), %xmm0", "pmaddubsw %xmm1, %xmm0", "jne .L2"])

    def test_loops_are_told_apart_by_those_inside(self):
        """The shorter way has two; memcpy() is left out."""
        inner = ["add a2, a2, 4", "bne a2, a7, .L6"]
        self.assertEqual(assembly.loop_turn(assembly.function(self.TWO_INSIDE, "f"), 1, 2), [
            "prefetch.r 0(a0)", "beq a2, a3, .L5", "li a1, 1", "li a1, 2", "li a1, 3", *inner * 2, "j .L1"])

    def test_turn_without_what_is_called(self):
        self.assertEqual(assembly.loop_turn(assembly.function(self.ARM, "f"), 1), [
            "cbz w1, .L9", "add x4, x4, 1", "add x5, x5, 1", "add x6, x6, 1", "ldr q0, [x9], 16",
            "prfm PLDL1KEEP, [x9, 3072]", "sub w1, w1, #1", "bne .L2"])

    def test_loop_inside(self):
        inner = ["vle8.v v8, (a0)", "bne a4, a7, .LBB0_2"]
        lines = assembly.function(self.RISCV, "g")
        self.assertEqual(assembly.loop_turn(lines, 1, 3), [
            "prefetch.r 0(a0)", "li a3, 0", *inner * 3, "vse8.v v8, (a1)", "beqz a2, .LBB0_1"])
        with self.assertRaisesRegex(assembly.CutError, "1 loops inside, not 0"):
            assembly.loop_turn(lines, 1)

    def test_what_is_not_there(self):
        with self.assertRaisesRegex(assembly.CutError, "no function h"):
            assembly.function(self.ARM, "h")
        with self.assertRaisesRegex(assembly.CutError, "no loop with 3"):
            assembly.loop_turn(assembly.function(self.ARM, "f"), 3)
        with self.assertRaisesRegex(assembly.CutError, "straight"):
            assembly.straight(["add x0, x0, 1", "cbz x0, .L1", "add x0, x0, 1", ".L1:", "ret"])

    def test_straight(self):
        self.assertEqual(assembly.straight([".L1:", "adrp x5, .LC0", "ret"]), ["adrp x5, .LC0"])
        self.assertEqual(assembly.straight(["li a5, 0", ".L2:", "ld a1, 0(a4)", "bne a5, a0, .L2", "ret"], 3),
                         ["li a5, 0", *["ld a1, 0(a4)", "bne a5, a0, .L2"] * 3])
        with self.assertRaisesRegex(assembly.CutError, "straight"):
            assembly.straight(["call start_tile", "ret"], 3)


class Report(unittest.TestCase):
    def report(self, measured):
        OUT.mkdir(parents=True, exist_ok=True)
        path = OUT / "cycles.json"
        path.write_text(json.dumps(measured))
        return subprocess.run([sys.executable, REPORT, "--cycles", path], check=True, timeout=60,
                              capture_output=True, text=True).stdout

    def test_figures(self):
        text = self.report(made_up())
        # 134479872 weights: 262656 blocks; 65664 quarters of them and 2 begun groups more
        cycles = 262656 * 100 + sum(-(-n // 2048) for n in boards.MIX_WEIGHTS.values()) * 40
        one, four = 1e9 / cycles, 4e9 / cycles
        self.assertIn("| Raspberry Pi Zero 2 W (4 x A53, 1.0 GHz) | "
                      f"{one:.0f}, {four:.0f}; 14 to 25 |", text)
        self.assertIn("| Cortex-A53 | 0.215 | 0.215 |", text)  # 100 / 512 + 40 / 2048
        self.assertIn(f"| 4 | 25 | {cycles / 4e6:.1f} | reached |", text)

    def test_aims_can_be_missed(self):
        text = self.report(made_up(block=400))
        self.assertRegex(text, r"Zero 2 W .* \| 4 \| 25 \| 27 \| not reached \|")

    def test_few_cores_are_all_used(self):
        cell = re.search(r"\| BeagleBone AI-64 .*? \| ([\d.]+), ([\d.]+); \d+ \|",
                         self.report(made_up()))
        self.assertAlmostEqual(float(cell[2]) / float(cell[1]), 2, delta=0.05)

    def test_cycles_are_read_back(self):
        measured = made_up(321, 65)
        measured["Cortex-A55"]["codecs"]["o4"]["block"] = 7
        self.assertEqual(report.read_cycles(report.cycle_table(measured)), measured)

    def test_document(self):
        text = report.DOCUMENT.read_text().split(report.BEGIN)[1].split(report.END)[0]
        self.assertEqual(report.render(report.read_cycles(text)), text,
                         "docs/HARDWARE.md: make mca ARGS=--update")

    def test_update_leaves_the_rest(self):
        OUT.mkdir(parents=True, exist_ok=True)
        path = OUT / "document.md"
        path.write_text(f"before\n{report.BEGIN}old\n{report.END}after\n{report.END}more\n")
        report.update(path, "new\n")
        self.assertEqual(path.read_text(), f"before\n{report.BEGIN}new\n{report.END}after\n{report.END}more\n")


class Flags(unittest.TestCase):
    def test_kernels_are_compiled_as_in_the_build(self):
        text = (ROOT / "cmake" / "modules.cmake").read_text()
        text += (ROOT / "cmake" / "rvv.cmake").read_text()
        variables = dict(re.findall(r"set\((\w+) ([^)\n]*)\)", text))
        for core in boards.CORES.values():
            built = re.search(rf"el_kernel_level\(\w+ {core.level}\b([^)]*)\)", text)[1]
            built = re.sub(r"\$\{(\w+)\}", lambda name: variables[name[1]], built).split()
            used = [flag.replace("_zvl512b", "").replace("_zicbop", "")
                    for flag in (*core.flags, *core.compiler[1:])]
            self.assertLessEqual(set(built), set(used), core)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
