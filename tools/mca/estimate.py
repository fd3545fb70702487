"""estimate.py: from cycles of a block and of a group to milliseconds of a token. Arithmetic alone.

A matrix of rows x cols is ceil(rows / 16) tiles of ceil(cols / 32) blocks; a block is 16 x 32
weights, and GROUP columns of a tile share a start (scales). The layout: src/kernel/matrix.h.
"""
from collections import namedtuple

TILE, BLOCK, GROUP = 16, 32, 128
BITS = {"s2": 2, "s3": 3, "s4": 4, "o4": 4, "i8": 8}
PLAIN = {2: "s2", 3: "s3", 4: "s4"}  # what all matrices have at so many bits

Cost = namedtuple("Cost", "block group")         # cycles of one core
Work = namedtuple("Work", "blocks groups bytes")  # of a token, of one codec


def ceil_div(a, b):
    return -(-a // b)


def matrices(shape):
    """(rows, cols, how many) of all matrices that a token meets; the embedding is one row, the head
    all of them."""
    dim, ffn, layers = shape["dim"], shape["ffn_dim"], shape["layers"]
    q, kv = shape["heads"] * shape["head_dim"], shape["kv_heads"] * shape["head_dim"]
    return [(q, dim, layers), (kv, dim, 2 * layers), (dim, q, layers), (ffn, dim, 2 * layers),
            (dim, ffn, layers), (shape["vocab"], dim, 1)]


def matrix_work(rows, cols, bits):
    """Codes, byte scales, and the references of the rows: docs/FORMAT.md."""
    tiles, blocks, groups = ceil_div(rows, TILE), ceil_div(cols, BLOCK), ceil_div(cols, GROUP)
    size = tiles * (blocks * 64 * bits + groups * TILE + 2 * TILE)
    return Work(tiles * blocks, tiles * groups, size)


def shape_work(shape, bits):
    """{codec: Work} with every matrix at so many bits."""
    works = [(matrix_work(rows, cols, bits), count) for rows, cols, count in matrices(shape)]
    return {PLAIN[bits]: Work(*(sum(work[i] * n for work, n in works) for i in range(3)))}


def mix_work(weights, size):
    """{codec: Work} of a file of `size` bytes with so many weights of each codec, in full blocks
    and groups. The bytes are put down to the first."""
    works = {codec: Work(n // (TILE * BLOCK), ceil_div(n, TILE * GROUP), 0)
             for codec, n in weights.items()}
    first = next(iter(works))
    works[first] = works[first]._replace(bytes=size)
    return works


def token_cycles(works, costs):
    """Of one core that does all of it."""
    return sum(work.blocks * costs[codec].block + work.groups * costs[codec].group
               for codec, work in works.items())


def token_ms(works, costs, ghz, cores):
    """Shared evenly, nothing else done."""
    return token_cycles(works, costs) / (ghz * 1e6) / cores


def memory_ms(works, gb_per_second):
    return sum(work.bytes for work in works.values()) / (gb_per_second * 1e6)


def cycles_a_weight(codec_cost):
    """With the share of a group's start."""
    return codec_cost.block / (TILE * BLOCK) + codec_cost.group / (TILE * GROUP)
