#!/bin/sh
# examples/smart_home.py and examples/machine_monitor.py as their users run them: Mosquitto and its clients
# from the system, the MQTT package of Python in build/venv (or EDGELLM_VENV, which is not changed), the real
# model.
set -eu
cd "$(dirname "$0")/.."
. tools/conformance/venv.sh
paho_mqtt_version=2.2.0
venv_python
if [ -z "${EDGELLM_VENV:-}" ]; then
    venv_has paho.mqtt.client || venv_pip "paho-mqtt==$paho_mqtt_version"
fi
broker=$(command -v mosquitto || echo /usr/sbin/mosquitto)
exec "$PYTHON" tests/real_examples.py build/release/edgellm models/SmolLM2-135M-Instruct.tm2.bin "$broker"
