#!/usr/bin/env python3
"""/metrics of `edgellm serve` as the parser of Prometheus's own Python package reads it.

    python3 tests/clients/test_prometheus.py EDGELLM MAKE_TINY OUT_DIR

Needs the packages openai and prometheus_client: `make test-clients`.
"""
import sys
import unittest
import urllib.request

import served
import test_openai as client
from prometheus_client.parser import text_string_to_metric_families


class Metrics(client.Client):
    @classmethod
    def families(cls):
        request = urllib.request.Request(cls.url[:-3] + "/metrics",
                                         headers={"Authorization": f"Bearer {served.KEY}"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            text = reply.read().decode()
        return {family.name: family for family in text_string_to_metric_families(text)}

    def test_metrics(self):
        answer = self.client.completions.create(model="tiny", prompt="the fox", max_tokens=5)
        families = self.families()
        self.assertGreater(len(families), 20)
        for name, family in families.items():
            self.assertTrue(name.startswith("edgellm_") and family.documentation, name)
            self.assertIn(family.type, ("counter", "gauge", "histogram"), name)
            self.assertTrue(family.samples, name)
            names = {sample.name for sample in family.samples}
            if family.type == "histogram":
                self.assertEqual(names, {name + end for end in ("_bucket", "_sum", "_count")})
            else:
                self.assertEqual(names, {name + "_total" if family.type == "counter" else name})
        tokens, = families["edgellm_answer_tokens"].samples
        self.assertGreaterEqual(tokens.value, answer.usage.completion_tokens)
        requests = {(s.labels["route"], s.labels["status"]): s.value
                    for s in families["edgellm_requests"].samples}
        self.assertGreaterEqual(requests["/v1/completions", "200"], 1)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "Metrics.test_metrics"], verbosity=2)
