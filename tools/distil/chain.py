"""The best chained codes (docs/FORMAT.md, section 9) for latents, by the algorithm of Viterbi.

The level of a code depends on the code of the row before, and before the first row of a tile comes
its last: of the best paths from each of four states those are compared that end where they began.
"""
import numpy
import torch
import tm2

STATES = 4  # what the next row sees of a code: its two low bits
# Units of a level that are as much as one code of evenly spaced levels with as many bits.
PACE = {"c2": 0.996 / 0.261, "c3": 0.586 / 0.1945}


def levels_of(codec):
    """(before, code): the level of a code of 2 or 3 bits after one that leads to a state."""
    code = numpy.arange(1 << codec.bits)[None, :].repeat(STATES, 0)
    before = numpy.arange(STATES)[:, None].repeat(1 << codec.bits, 1)
    column = numpy.concatenate([before.reshape(1, -1)] * 15 + [code.reshape(1, -1)])
    return torch.from_numpy(tm2.chained_levels(column, codec)[15].reshape(STATES, -1)).float()


def by_tile(values):
    """(rows, cols) -> (16, tiles, cols), with rows of 0 beyond the last."""
    missing = -values.shape[0] % 16
    padded = torch.nn.functional.pad(values, (0, 0, 0, missing))
    return padded.reshape(-1, 16, values.shape[1]).transpose(0, 1)


def back(tiles, rows):
    return tiles.transpose(0, 1).reshape(-1, tiles.shape[2])[:rows]


@torch.no_grad()
def search(at, importance, codec):
    """Codes (rows, cols) whose levels are nearest to `at`, by the sum of importance * distance^2.
    Rows that are missing in the last tile have code 0."""
    rows = at.shape[0]
    levels = levels_of(codec).to(at.device)
    codes = back(_search(by_tile(at), by_tile(importance), levels, None), rows)
    if rows % 16 == 0:
        return codes
    whole = rows - rows % 16
    rest = _search(by_tile(at[whole:]), by_tile(importance[whole:]), levels, rows - whole)
    return torch.cat([codes[:whole], back(rest, rows - whole)])


def _search(at, importance, levels, rows):
    """at, importance (16, tiles, cols). rows: of tiles that lack the others, and so begin after a
    code 0; None: whole ones."""
    ways = levels.shape[1] // STATES
    by_way = levels.reshape(STATES, ways, STATES)  # before, way, state that a code leads to
    shape = at.shape[1:]
    cost = torch.full((*shape, STATES, STATES), 1e30, device=at.device)  # start, state
    starts = range(STATES) if rows is None else [0]
    for state in starts:
        cost[..., state, state] = 0
    choices = []
    for row in range(16 if rows is None else rows):
        distance = importance[row][..., None, None, None] * (
            at[row][..., None, None, None] - by_way).square()
        nearest, way = distance.min(dim=-2)  # (..., before, state)
        total = cost[..., None] + nearest[..., None, :, :]  # start, before, state
        cost, before = total.min(dim=-2)
        picked = torch.gather(way[..., None, :, :].expand_as(total), -2, before[..., None, :])
        choices.append((before + STATES * picked.squeeze(-2)).to(torch.uint8))
    if rows is None:
        start = torch.diagonal(cost, dim1=-2, dim2=-1).argmin(-1)
        state = start
    else:
        start = torch.zeros(shape, dtype=torch.long, device=at.device)
        state = cost[..., 0, :].argmin(-1)
    codes = torch.zeros_like(at, dtype=torch.long)
    for row in reversed(range(len(choices))):
        choice = choices[row].flatten(-2).gather(-1, (start * STATES + state)[..., None])
        choice = choice.squeeze(-1).long()
        codes[row] = choice // STATES * STATES + state
        state = choice % STATES
    return codes


def levels(codes, codec):
    """(rows, cols): the levels of codes; rows that a tile lacks have code 0."""
    tiles = by_tile(codes)
    before = tiles.roll(1, 0)
    return back(levels_of(codec).to(codes.device)[before % STATES, tiles], codes.shape[0])
