"""The held-out KL over the tokens trained on, as JSON and, where matplotlib is installed, PNG."""
import json
import math
import os


def write(points, base):
    with open(base + ".json.tmp", "w", encoding="utf-8") as out:
        json.dump(points, out, indent=1)
        out.write("\n")
    os.replace(base + ".json.tmp", base + ".json")
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(7, 4))
    millions = [p["tokens"] / 1e6 for p in points]
    axes.plot(millions, [p["held_out"] for p in points], "o-", label="text held back")
    axes.plot(millions, [math.nan if p["train"] is None else p["train"] for p in points], ".--", label="text trained on")
    axes.set_xlabel("million tokens")
    axes.set_ylabel("KL(source || file), nats a token")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(base + ".png", dpi=120, bbox_inches="tight")
    pyplot.close(figure)
