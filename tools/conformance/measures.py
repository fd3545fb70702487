"""How far one set of logits is from another."""
import numpy as np

EXACT_KL = 1e-6
INT8_KL = 0.02
CLEAR = 0.05  # a lead of the first logit that rounding must not overturn, in standard deviations


def log_softmax(logits):
    x = logits.astype(np.float64)
    x -= x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def kl(reference, ours):
    """KL(reference || ours) per token."""
    p, q = log_softmax(reference), log_softmax(ours)
    return (np.exp(p) * (p - q)).sum(-1)


def clear_leads(reference):
    """Tokens at which the reference's first logit leads its second by more than CLEAR."""
    top = np.partition(reference.astype(np.float64), -2, axis=-1)[:, -2:]
    return top[:, 1] - top[:, 0] > CLEAR * reference.astype(np.float64).std(-1)


def compare(reference, ours, limit, rounded):
    """(passed, one line). Exact logits: every token's KL is below the limit and the largest logit
    is the same. Rounded ones: the mean KL is, and the largest agrees where it leads clearly; a
    single token may be far off where a rounding flipped (30 layers amplify it)."""
    if reference.shape != ours.shape or not np.isfinite(ours).all():
        return False, f"shape {ours.shape}, expected {reference.shape}, or not finite"
    divergence = kl(reference, ours)
    counted = clear_leads(reference) if rounded else np.ones(len(ours), bool)
    same = (reference.argmax(-1) == ours.argmax(-1))[counted]
    judged = divergence.mean() if rounded else divergence.max()
    passed = judged < limit and same.all()
    return bool(passed), (f"KL max {divergence.max():.1e} mean {divergence.mean():.1e} "
                          f"({'mean' if rounded else 'max'} < {limit:g}), "
                          f"argmax {same.sum()}/{counted.sum()}")
