#!/usr/bin/env python3
"""Pages of docs/boards, and the reports in docs/HARDWARE.md: what fits on a board, what its memory and processor allow, what was
reported. One source: docs/boards/boards.json, tools/mca (cycles in docs/HARDWARE.md), the shapes of examples, plans by
`edgellm quantize --plan`, and the reports in docs/boards/reports.

    make boards                                    # writes them
    tools/board_pages.py EDGELLM [--check]         # --check: are they up to date? exit code 1: no
"""
import json
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "mca"))
import boards as mca_boards  # noqa: E402
import estimate  # noqa: E402
import measure  # noqa: E402
import report as mca  # noqa: E402

FOLDER = measure.ROOT / "docs" / "boards"
README = FOLDER / "README.md"
BEGIN, END = "<!-- begin: written by make boards -->\n", "<!-- end -->\n"
CONTEXT, SYSTEM_MB, OTHER_MB = 512, 128, 16  # what is planned for; beside file and cache of a session
BITS = (2, 4)
# Not among the examples: met by what was expected of a board alone (config.json of Phi-3-mini-4k-instruct).
CLAIMED = {"phi-3-mini": {"name": "Phi-3-mini", "dim": 3072, "ffn_dim": 8192, "layers": 32, "heads": 32,
                          "kv_heads": 32, "head_dim": 96, "vocab": 32064}}


def shape_of(name):
    return CLAIMED.get(name) or mca.shape(name)


def cache_bytes(shape):
    """Of the KV cache: a byte a value and a float for up to 32 of a head (docs/NUMERICS.md)."""
    record = shape["head_dim"] + 4 * -(-shape["head_dim"] // 32)
    return 2 * shape["layers"] * shape["kv_heads"] * record * CONTEXT


def file_bytes(edgellm, name, bits):
    """Of a file with all matrices at so many bits: what the program plans beside them, and they."""
    path = measure.ROOT / "examples" / "shapes" / f"{name}.json"
    plan = json.loads(subprocess.run([edgellm, "quantize", "--plan", path, "--fit", "1GB", "--json"],
                                     check=True, capture_output=True, timeout=60).stdout)
    size = {b: plan["fixed_bytes"] + sum(work.bytes for work in estimate.shape_work(mca.shape(name), b).values())
            for b in (2, bits)}
    if size[2] != plan["calibrated_bytes"]:
        raise AssertionError(f"{name}: {size[2]} bytes at 2 bits, but the program plans {plan['calibrated_bytes']}")
    return size[bits]


class Ceiling:
    """Tokens a second that a board's processor and memory allow at most."""

    def __init__(self, board, shape, bits, measured):
        works = estimate.shape_work(shape, bits)
        found = next(b for b in mca_boards.BOARDS if b.name == board["estimate"])
        self.bandwidths = found.bandwidths
        self.memory = [1000 / estimate.memory_ms(works, gb) for gb in found.bandwidths]
        self.mb = sum(work.bytes for work in works.values()) / 1e6
        costs = measure.costs(measured[found.core])
        self.compute = 1000 / estimate.token_ms(works, costs, found.ghz, min(mca.FEW, found.cores))

    def most(self):
        return min(max(self.memory), self.compute)

    def cells(self):
        memory = " to ".join(mca.figure(value) for value in self.memory)
        low, high = (min(value, self.compute) for value in (min(self.memory), max(self.memory)))
        both = mca.figure(low) if mca.figure(low) == mca.figure(high) else f"{mca.figure(low)} to {mca.figure(high)}"
        return [mca.figure(self.compute), memory, both]


def models(edgellm, board, measured):
    text = mca.head("model", "bits", "file, MB", f"file and cache of {CONTEXT} tokens, MB", "fits into memory of",
                    "tok/s by compute", "by memory", "ceiling")
    for name in mca_boards.SHAPES:
        shape = mca.shape(name)
        for bits in BITS:
            size = file_bytes(edgellm, name, bits)
            needs = (size + cache_bytes(shape)) / 1e6 + OTHER_MB
            fits = [str(mb) for mb in board["memory_mb"] if needs + SYSTEM_MB <= mb * 1.048576]
            text += mca.row(shape["name"], bits, f"{size / 1e6:.0f}", f"{needs - OTHER_MB:.0f}",
                            f"{', '.join(fits)} MB" if fits else "none",
                            *Ceiling(board, shape, bits, measured).cells())
    return text


class Expected:
    """What the seed project expected of the board, held to what the board can do."""

    def __init__(self, board, measured):
        claim = board["expected"]
        self.low, self.high = claim["tok_s"]
        self.model = claim["model"]
        limit = Ceiling(board, shape_of(claim["shape"]), 2, measured)
        self.needs = " to ".join(f"{limit.mb * rate / 1e3:.2g}" for rate in claim["tok_s"])
        self.gives = " to ".join(f"{gb:g}" for gb in limit.bandwidths)
        self.most = mca.figure(limit.most())
        if self.high <= limit.most():
            self.verdict = "within it"
        elif self.low > limit.most():
            self.verdict = "**more than that allows**"
        else:
            self.verdict = "**the upper end is more than that allows**"

    def sentence(self):
        return (f"The seed project expected {self.low} to {self.high} tok/s of {self.model} here. At 2 bits that reads {self.needs} GB/s,\n"
                f"of the {self.gives} that its memory was measured at; the ceiling of a file with 2 bits is {self.most}: {self.verdict}.\n\n")

    def row(self, title):
        return mca.row(title, self.model, f"{self.low} to {self.high}", self.needs, self.gives, self.most, self.verdict)


def expected(board, measured):
    return Expected(board, measured).sentence() if "expected" in board else ""


def expected_table(board_list, measured):
    text = mca.head("board", "model", "expected, tok/s", "which reads, GB/s", "memory gives, GB/s", "ceiling, tok/s", "the expected is")
    return text + "".join(Expected(board, measured).row(f"[{board['title']}](boards/{board['slug']}.md)")
                          for board in board_list if "expected" in board)


def reports():
    """(name of the file, report) in order."""
    return [(path.name, json.loads(path.read_text())) for path in sorted((FOLDER / "reports").glob("*.json"))]


def kind(report):
    board = report["board"]
    if report["emulated"]:
        return "**emulated**"
    return "virtual machine" if board["virtual_machine"] else "board"


def number(value, form=".1f"):
    return "-" if value is None else format(value, form)


def report_table(found, folder="reports"):
    text = mca.head("report", "of", "processor", "model", "threads, kernel", "decode tok/s", "prefill tok/s",
                    "token P50, P99 ms", "jitter ms", "share of bandwidth", "peak MB")
    for name, r in found:
        m, board = r["measured"], r["board"]
        text += mca.row(f"[{name}]({folder}/{name})", kind(r), board["cpu_model"] or "?",
                        f"{r['model']['name']}, {m['file_bytes'] / 1e6:.0f} MB", f"{m['threads']}, {m['kernel']}",
                        number(m["decode_tok_s"]), number(m["prefill_tok_s"]),
                        f"{number(m['token_ms']['p50'])}, {number(m['token_ms']['p99'])}", number(m["jitter_ms"]),
                        f"{100 * m['roofline']['share']:.0f} % of {m['roofline']['roof_gb_s']:.1f} GB/s",
                        f"{m['peak_rss'] / 1e6:.0f}")
    return text


def of_board(board):
    return [(name, r) for name, r in reports() if not r["emulated"] and not r["board"]["virtual_machine"]
            and re.search(board["matches"], r["board"]["name"] or r["board"]["cpu_model"] or "")]


def page(edgellm, board, measured):
    found = of_board(board)
    archive = f"edgellm-core-VERSION-linux-{board['archive']}"
    return f"""# {board['title']}

{board['processor']}; memory of {', '.join(map(str, board['memory_mb']))} MB. Kernels: `{board['kernel']}`. Archive: `{board['archive']}`
([BOARDS.md](../BOARDS.md)). This page is written by `make boards`.

{"".join(f"- {note}" + chr(10) for note in board["notes"])}
## What was measured

{report_table(found) if found else "Nothing yet: no report of this board has come in ([how](README.md)). What follows is estimated." + chr(10)}
## What fits, and how fast at most

Compute: cycles by a model of the processor, `make mca`, on {mca.FEW} cores, or all where there are fewer; memory: the bytes of all matrices over the
bandwidth that others measured ([HARDWARE.md](../HARDWARE.md)); where that was a copy, reading alone may be faster, up to twice. The ceiling is the lower of both, and a real figure lies below.
A model is said to fit where its file, the cache and {OTHER_MB} MB of the program leave {SYSTEM_MB} MB for all else.

{models(edgellm, board, measured)}
{expected(board, measured)}## On the board

    tar -xzf {archive}.tar.gz && cd {archive}
    bin/edgellm doctor                                        # what stands in the way of even times
    bin/edgellm info MODEL -c {CONTEXT}                             # what it will take of memory
    bin/edgellm run MODEL -c {CONTEXT} -p "Say hello." --hash       # the same hash as on any other machine
    echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor
    bin/edgellm bench MODEL --runs 20 --submit {board['slug']}.json
    bin/edgellm certify MODEL -c {CONTEXT} && bin/edgellm soak MODEL --load all
"""


def index(board_list):
    text = mca.head("board", "processor", "kernels", "archive", "reports")
    for board in board_list:
        text += mca.row(f"[{board['title']}]({board['slug']}.md)", board["processor"], board["kernel"], board["archive"],
                        len(of_board(board)) or "none yet")
    found = reports()
    return text + "\n## All reports\n\n" + (report_table(found) if found else "None yet.\n")


def written(path, text):
    """The document with that between the marks."""
    before, rest = path.read_text().split(BEGIN)
    return before + BEGIN + text + END + rest.split(END, 1)[1]


def hardware(board_list, measured):
    """The part of docs/HARDWARE.md that is not estimated, and what was expected."""
    found = reports()
    table = report_table(found, "boards/reports") if found else "None yet.\n"
    return f"{table}\n## What the seed project expected\n\nAt 2 bits:\n\n{expected_table(board_list, measured)}"


def pages(edgellm):
    """{path: text} of all that is written."""
    board_list = json.loads((FOLDER / "boards.json").read_text())
    measured = mca.read_cycles(mca.DOCUMENT.read_text().split(mca.BEGIN)[1])
    made = {FOLDER / f"{board['slug']}.md": page(edgellm, board, measured) for board in board_list}
    made[README] = written(README, index(board_list))
    made[mca.DOCUMENT] = written(mca.DOCUMENT, hardware(board_list, measured))
    return made


def main():
    made = pages(sys.argv[1])
    stale = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    stale += [path for path in FOLDER.glob("*.md") if path not in made]
    if "--check" in sys.argv[2:]:
        for path in stale:
            print(f"{path.relative_to(measure.ROOT)} is not what its sources say: make boards")
        return 1 if stale else 0
    for path, text in made.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
