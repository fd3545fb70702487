"""EdgeLLM: small language models on small CPUs, the same bits and nearly the same time on every run."""
from ._values import Error, Forecast, MemoryPlan, ModelInfo, Sampler, Status, version
from .engine import Engine, Grammar, plan
from .session import Session

__all__ = ["Engine", "Error", "Forecast", "Grammar", "MemoryPlan", "ModelInfo", "Sampler", "Session", "Status", "plan",
           "version"]
