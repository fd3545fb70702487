#!/bin/sh
# examples/ray_batch.py on this machine, with Ray from PyPI in an environment of its own (build/venv-ray):
# the answers to MODEL's share of 64 requests, by two shards, beside those of one `edgellm batch`, which
# must be the same; and what either took.
#   tools/example_ray.sh MODEL
set -eu
cd "$(dirname "$0")/.."
ray_version=2.60.0
model=$1 folder=build/ray
EDGELLM=$PWD/build/release/edgellm
export EDGELLM RAY_USAGE_STATS_ENABLED=0
[ -x build/venv-ray/bin/python ] || python3 -m venv build/venv-ray
build/venv-ray/bin/python -c 'import ray' 2>/dev/null ||
    build/venv-ray/bin/python -m pip --disable-pip-version-check install --quiet "ray==$ray_version"
rm -rf "$folder" && mkdir -p "$folder"
python3 - >"$folder/in.jsonl" <<'END'
import json
for i in range(64):
    print(json.dumps({"custom_id": f"request-{i}", "method": "POST", "url": "/v1/chat/completions",
                      "body": {"messages": [{"role": "user", "content": f"Tell me something about the number {i}."}],
                               "max_tokens": 32, "seed": i}}))
END
echo "one edgellm batch, 2 threads, 4 sessions:"
"$EDGELLM" batch "$model" "$folder/in.jsonl" -o "$folder/one.jsonl" -j 2 --json
echo "ray_batch.py, 2 shards of 1 thread, 4 sessions each:"
build/venv-ray/bin/python examples/ray_batch.py "$model" "$folder/in.jsonl" "$folder/ray.jsonl" --shards 2
python3 - "$folder/one.jsonl" "$folder/ray.jsonl" <<'END'
import json, sys
def answers(path):
    found = [json.loads(line) for line in open(path)]
    by_id = {a["custom_id"]: a["response"]["body"]["choices"] for a in found}
    assert len(found) == len(by_id) == 64, path
    return by_id
assert answers(sys.argv[1]) == answers(sys.argv[2])
print("64 answers, each once, the same by either")
END
