"""assembly.py: one turn of a loop, cut out of a compiler's assembly as straight instructions.

No marks are needed in the source. Decoding asks for each line of a block in advance, other loops
don't: the loop over blocks is the shortest way, in the graph of basic blocks, from a block back to
itself that has as many prefetches and calls nothing of ours. What is called inside (the scales of a
group, once in several turns) is counted apart; memcpy(), by which a compiler may read 16 bytes, is
left out.
"""
import re

LABEL = re.compile(r"([.\w$]+):")
TARGET = re.compile(r"(?:.*[,\s])?(\.L(?:BB)?[\d_]+)\Z")  # not .LC0, a constant
JUMPS = {"b", "j", "jmp"}              # without a condition
CALLS = {"bl", "blr", "call", "jalr", "tail"}
COPIES = re.compile(r"(?:call|bl) memcpy(?:@plt)?\Z")
PREFETCHES = ("prfm", "prefetch.r", "prefetcht0")
ADDRESSES = {"adrp", "la", "lla"}      # name a label and don't go there


class CutError(Exception):
    """The assembly does not look as expected."""


class Block:
    """Instructions without a label or jump among them, and where it goes on."""

    def __init__(self):
        self.code, self.next, self.calls = [], [], False


def function(text, name):
    """Lines of a function: labels as 'NAME:', instructions as 'MNEMONIC OPERANDS'."""
    body = re.search(rf"^{re.escape(name)}:.*?\n(.*?)^\s*\.size\s+{re.escape(name)},", text,
                     re.S | re.M)
    if not body:
        raise CutError(f"no function {name} in the assembly")
    lines = []
    for line in body[1].splitlines():
        line = re.sub(r"\s(#\s.*|//.*)\Z", "", line).strip()
        line = re.sub(r"\s+", " ", line)
        if LABEL.fullmatch(line) or re.match(r"[a-z]", line) and not COPIES.match(line):
            lines.append(line)
    return lines


def target(instruction):
    """The label an instruction may jump to, or None."""
    mnemonic, _, operands = instruction.partition(" ")
    found = TARGET.match(operands)
    return found[1] if found and mnemonic not in ADDRESSES | CALLS else None


def blocks(lines):
    """Basic blocks in order."""
    made, names, open_block = [], {}, None
    for line in lines:
        label = LABEL.fullmatch(line)
        if label or open_block is None:
            made.append(Block())
            open_block = made[-1]
        if label:
            names[label[1]] = len(made) - 1
            continue
        open_block.code.append(line)
        mnemonic = line.split()[0]
        open_block.calls |= mnemonic in CALLS
        if target(line) or mnemonic == "ret":
            open_block = None
    connect(made, names)
    return made


def connect(made, names):
    for at, block in enumerate(made):
        last = block.code[-1] if block.code else ""
        if target(last):
            block.next.append(names[target(last)])
        if last.split()[:1] not in [["ret"], *([jump] for jump in JUMPS)] and at + 1 < len(made):
            block.next.append(at + 1)


def loops(made):
    """All ways from a block back to itself that meet no block twice and call nothing."""
    found = []

    def go(way):
        for follower in made[way[-1]].next:
            if follower == way[0]:
                found.append(way)
            elif follower > way[0] and follower not in way and not made[follower].calls:
                go([*way, follower])

    for start, block in enumerate(made):
        if not block.calls:
            go([start])
    return found


def marks(made, way):
    return sum(line.startswith(PREFETCHES) for at in way for line in made[at].code)


def loop_turn(lines, prefetches, inner_turns=None):
    """Instructions of one turn of the shortest loop with so many prefetches. A loop inside it is
    met `inner_turns` times; whether there is one must be known, and tells loops apart."""
    made = blocks(lines)
    ways = [way for way in loops(made) if marks(made, way) == prefetches]
    if not ways:
        raise CutError(f"no loop with {prefetches} prefetches")
    ways.sort(key=lambda way: sum(len(made[at].code) for at in way))
    inside = [[at for at in way if at in made[at].next and len(way) > 1] for way in ways]
    wanted = int(inner_turns is not None)
    fitting = [at for at, inner in enumerate(inside) if len(inner) == wanted]
    if not fitting:
        raise CutError(f"{len(inside[0])} loops inside, not {wanted}")
    turn = []
    for at in ways[fitting[0]]:
        turn += made[at].code * (inner_turns if at in inside[fitting[0]] else 1)
    return turn


def straight(lines, inner_turns=1):
    """Instructions of a function without calls, and without jumps but its return and those of loops of
    one block, each of which is met `inner_turns` times."""
    made, code = blocks(lines), []
    for at, block in enumerate(made):
        loop = at in block.next
        jumps = target(block.code[-1]) if block.code else None
        if block.calls or jumps and not loop:
            raise CutError("jumps or calls in what should be straight")
        code += block.code * (inner_turns if loop else 1)
    return [line for line in code if line != "ret"]
