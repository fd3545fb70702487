"""GGUF files cut in parts, NAME-00001-of-00003.gguf, as llama.cpp cuts them. Standard library only."""
import struct

import hf_folder

UINT16, UINT32, INT32 = 2, 4, 5


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def number(key, kind, value):
    return text(key) + struct.pack("<I" + hf_folder.SCALARS[kind], kind, value)


class Whole:
    """A GGUF file as bytes: its metadata entries, and (name, dimensions, type, data) of its tensors."""

    def __init__(self, path):
        r = hf_folder.Reader(path.read_bytes())
        _, _, n_tensors, n_values = r.take("IIQQ")
        self.values, table = [], []
        for _ in range(n_values):
            at = r.at
            r.text()
            r.value(r.take("I"))
            self.values.append(r.data[at:r.at])
        for _ in range(n_tensors):
            name = r.text()
            dims = [r.take("Q") for _ in range(r.take("I"))]
            table.append((name, dims, *r.take("IQ")))
        start = -(-r.at // 32) * 32
        ends = sorted([row[3] for row in table] + [len(r.data) - start])
        self.tensors = [(name, dims, kind, r.data[start + at:start + ends[ends.index(at) + 1]])
                        for name, dims, kind, at in table]

    def part(self, no, count, tensors, all_tensors=None):
        own = [number("split.no", UINT16, no), number("split.count", UINT16, count),
               number("split.tensors.count", INT32, all_tensors or len(self.tensors))]
        values = (self.values if no == 0 else []) + own
        table, data = b"", b""
        for name, dims, kind, content in tensors:
            data += bytes(-len(data) % 32)
            table += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(data))
            data += content
        head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values)) + b"".join(values) + table
        return head + bytes(-len(head) % 32) + data


def cut(path, count):
    """The bytes of each part: about as many tensors in each."""
    whole = Whole(path)
    ends = [len(whole.tensors) * i // count for i in range(count + 1)]
    return [whole.part(i, count, whole.tensors[ends[i]:ends[i + 1]]) for i in range(count)]
