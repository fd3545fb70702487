#!/usr/bin/env python3
"""packaging/kubernetes against the schemas of Kubernetes' own API, and what they say against what the
program knows: options, metrics, ports.

    python3 tests/scale/test_manifests.py EDGELLM

Needs the packages PyYAML and kubernetes-validate.
"""
import pathlib
import re
import subprocess
import sys
import unittest

import kubernetes_validate
import yaml

EDGELLM = sys.argv[1]
ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "packaging" / "kubernetes"
VERSION = "1.31.0"
MANIFESTS = ["edgellm.yaml", "daemonset.yaml", "autoscale.yaml"]


def documents(name):
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


def pods():
    for name in MANIFESTS:
        for document in documents(name):
            if "template" in document["spec"]:
                yield name, document, document["spec"]["template"]


class Manifests(unittest.TestCase):
    def test_all_are_looked_at(self):
        self.assertEqual({p.name for p in FOLDER.iterdir()}, {*MANIFESTS, "adapter-values.yaml"})

    def test_against_the_schemas(self):
        kinds = set()
        for name in MANIFESTS:
            for document in documents(name):
                with self.subTest(name, kind=document["kind"]):
                    kubernetes_validate.validate(document, VERSION, strict=True)
                    kinds.add(document["kind"])
        self.assertEqual(kinds, {"Deployment", "DaemonSet", "Service", "PersistentVolumeClaim",
                                 "PodDisruptionBudget", "HorizontalPodAutoscaler"})

    def test_a_mistake_is_seen(self):
        document = next(d for d in documents("edgellm.yaml") if d["kind"] == "Deployment")
        document["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
        with self.assertRaises(Exception):
            kubernetes_validate.validate(document, VERSION, strict=True)

    def test_labels_agree(self):
        for name, document, template in pods():
            labels = template["metadata"]["labels"]
            self.assertEqual(document["spec"]["selector"]["matchLabels"], labels, name)
        labels = {"app.kubernetes.io/name": "edgellm"}
        for document in documents("edgellm.yaml"):
            if document["kind"] == "Service":
                self.assertEqual(document["spec"]["selector"], labels)
        scaled = documents("autoscale.yaml")[0]["spec"]["scaleTargetRef"]
        self.assertEqual((scaled["kind"], scaled["name"]), ("Deployment", "edgellm"))

    def test_the_command_is_one(self):
        """The program knows the options, and takes the values."""
        for name, _, template in pods():
            container, = template["spec"]["containers"]
            command = [EDGELLM if c == "edgellm" else c for c in container["command"]] + container["args"]
            command[2] = "/nowhere/model.tm2.bin"  # the model is the first thing that is not there
            command[command.index("--api-key-file") + 1] = str(ROOT / "LICENSE")
            command[command.index("--host") + 1] = "127.0.0.1"
            done = subprocess.run([*command, "--port", "0", "--no-such-option"], timeout=60,
                                  capture_output=True, text=True)
            self.assertIn("--no-such-option", done.stderr)
            done = subprocess.run([*command, "--port", "0"], timeout=60, capture_output=True, text=True)
            self.assertEqual(done.returncode, 2 if "keys" in done.stderr else 3, (name, done.stderr))
            drain = int(command[command.index("--drain") + 1]) if "--drain" in command else 30
            grace = template["spec"]["terminationGracePeriodSeconds"]
            self.assertGreater(grace, drain + container["lifecycle"]["preStop"]["sleep"]["seconds"])

    def test_metrics_are_told(self):
        known = set(re.findall(r'"([a-z_]+)", "(?:gauge|counter)"',
                               (ROOT / "src/server/serve_metrics.c").read_text()))
        rules = documents("adapter-values.yaml")[0]["rules"]["custom"]
        named = {rule["name"]["as"] for rule in rules}
        for rule in rules:
            for metric in re.findall(r"edgellm_([a-z_]+)", rule["seriesQuery"] + rule["metricsQuery"]):
                self.assertIn(metric, known)
        wanted = {m["pods"]["metric"]["name"] for m in documents("autoscale.yaml")[0]["spec"]["metrics"]}
        self.assertEqual(wanted, named)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
