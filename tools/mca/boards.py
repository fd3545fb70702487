"""boards.py: cores that llvm-mca has a model for, boards, and what a token of a model meets.

Bandwidths are other people's measurements, in GB (of a billion bytes) a second; where they come
from is in docs/HARDWARE.md. None: no measurement found.
"""
from collections import namedtuple

# A core: which level it chooses, the compiler and flags that make the level's file (as in
# cmake/modules.cmake and cmake/rvv.cmake), and what llvm-mca is told.
Core = namedtuple("Core", "level kernel compiler flags triple cpu")

ARM_GCC = ("aarch64-linux-gnu-gcc", "-mno-outline-atomics")
RISCV_CLANG = ("clang-19", "--target=riscv64-linux-gnu", "-Xclang", "-target-feature", "-Xclang",
               "+unaligned-scalar-mem")
NEON, DOTPROD, RVV = "arm/matmul_neon.c", "arm/matmul_dotprod.c", "riscv/matmul_rvv.c"
X86_GCC, RISCV_GCC = ("x86_64-linux-gnu-gcc",), ("riscv64-linux-gnu-gcc",)
SSSE3, SCALAR = "x86/matmul_ssse3.c", "scalar/matmul_scalar.c"
# For gcc, which leaves prefetches out where the processor has none, and with them the sign of the loop; they are not
# measured.
PREFETCH_R = '-D__builtin_prefetch(p)=__asm__ volatile("prefetch.r 0(%0)"::"r"(p))'


def arm(level, kernel, cpu, *flags):
    return Core(level, kernel, ARM_GCC, flags, "aarch64", cpu)


def rvv(march):
    """zicbop: prefetches, by which the loop is found; they are not measured."""
    return Core("rvv", RVV, RISCV_CLANG, (f"-march={march}_zicbop",), "riscv64", "sifive-x280")


SDOT = ("-march=armv8.2-a+dotprod", "-mtune=cortex-a72")
FEW = ("-mssse3", "-msse4.1", "-fschedule-insns", "-fsched-pressure", "-fno-tree-reassoc")
CORES = {
    "Cortex-A53": arm("neon", NEON, "cortex-a53"),
    "Cortex-A55": arm("dotprod", DOTPROD, "cortex-a55", *SDOT),
    "Cortex-A72": arm("neon", NEON, "cortex-a72"),
    "Cortex-A76": arm("dotprod", DOTPROD, "neoverse-n1", *SDOT),
    "Silvermont": Core("ssse3", SSSE3, X86_GCC, FEW, "x86_64", "silvermont"),
    "U74": Core("scalar", SCALAR, RISCV_GCC, ("-mtune=sifive-7-series", PREFETCH_R), "riscv64", "sifive-u74"),
    "X280, groups as coded": rvv("rv64gcv"),
    "X280, groups as needed": rvv("rv64gcv_zvl512b"),
}
CODECS = ("s2", "s3", "s4", "o4", "i8")
# dot_rvv.inc, signed_sum(): 8 quads, two a turn; dot_words.inc, block_sum(): 8 pairs of rows
INNER_TURNS = {("rvv", "i8"): 4, **{("scalar", codec): 8 for codec in CODECS}}

# like: whose model stands for its cores, if not their own
Board = namedtuple("Board", "name core like cores ghz bandwidths")
BOARDS = (
    Board("Raspberry Pi Zero 2 W", "Cortex-A53", None, 4, 1.0, (0.55, 1.0)),
    Board("Raspberry Pi 3 B+", "Cortex-A53", None, 4, 1.4, (1.1,)),
    Board("ODROID-C4", "Cortex-A55", None, 4, 2.0, (3.3,)),
    Board("Raspberry Pi 4", "Cortex-A72", None, 4, 1.5, (3.3,)),
    Board("Raspberry Pi 5", "Cortex-A76", None, 4, 2.4, (10.0,)),
    Board("BeagleBone AI-64", "Cortex-A72", None, 2, 2.0, (2.7,)),
    Board("Jetson Nano", "Cortex-A72", "A57", 4, 1.43, (3.7,)),
    Board("Jetson Orin Nano", "Cortex-A76", "A78AE", 6, 1.5, (6.7,)),
    Board("RK3588 boards, fast cores", "Cortex-A76", None, 4, 2.35, (10.8,)),
    Board("Atom x5-Z8350 boards", "Silvermont", "Airmont", 4, 1.44, (2.0, 3.2)),
    Board("VisionFive 2", "U74", None, 4, 1.5, (0.86,)),
    Board("Banana Pi BPI-F3, as coded", "X280, groups as coded", "X60", 8, 1.6, (2.6,)),
    Board("Banana Pi BPI-F3, as needed", "X280, groups as needed", "X60", 8, 1.6, (2.6,)),
)

SHAPES = ("smollm2-135m", "smollm-360m", "qwen2-0.5b", "llama-3.2-1b", "bitnet-2b4t")
# SmolLM2-135M as `edgellm quantize --fit 40MB` made it: weights of each codec, bytes of the file.
MIX_NAME = "SmolLM2-135M, 40 MB"
MIX_WEIGHTS = {"s2": 107532288, "s3": 18690048, "s4": 8146944, "i8": 110592}
MIX_BYTES = 40000000

# (board, cores, what is asked of compute alone for the 40 MB file): ms a token, or "memory" for
# less than its memory takes.
AIMS = (
    ("Raspberry Pi Zero 2 W", 4, 25.0),
    ("Raspberry Pi 4", 4, "memory"),
    ("Raspberry Pi 5", 4, "memory"),
)
