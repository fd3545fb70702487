"""Distillation of TM2 files: a small file is trained towards the model that it was made from.

    PYTHONPATH=tools python3 -m distil prepare | write | train --help

Needs PyTorch (requirements.txt). docs/DISTILLATION.md says how it works and what it reached.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir))
