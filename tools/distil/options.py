"""What a training can be told, and what it does if it is not."""
import dataclasses


@dataclasses.dataclass
class Options:
    minutes: float = 0          # of training; the schedule goes by them
    steps: int = 0              # instead of minutes
    pause: float = 0            # minutes after which a run stops by itself, to be resumed
    batch: int = 32             # sequences a step
    rate: float = 0.0001        # of latents, in codes a step
    rate_table: float = 0.001   # the same of embedding and head, whose rows meet few tokens each
    rate_scale: float = 0.0005  # of scales, relative
    rate_norm: float = 0.0005   # of norms, relative to their mean size
    held_out: int = 64          # sequences that measure
    every: float = 60           # seconds between measurements
    layerwise: int = 0          # steps layer by layer, before
    anchor: float = 0.5         # of a task's loss: the share that keeps the source's language
    seed: int = 0
