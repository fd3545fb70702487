"""A question to `edgellm serve` over its WebSocket, token by token; a lost connection is taken up
again where it broke.

    pip install websockets
    python3 stream.py ws://127.0.0.1:11435 "Why is the sky blue?" [DEADLINE_MS]

A key, if the server wants one: EDGELLM_API_KEY.
"""
import asyncio
import json
import os
import sys

import websockets

TRIES = 5


def connect(url):
    key = os.environ.get("EDGELLM_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else None
    return websockets.connect(url + "/v1/stream", subprotocols=["edgellm.v1"],
                              additional_headers=headers, compression=None)


async def ask(url, question, deadline_ms=None):
    """The answer's text; prints it as it comes."""
    request = {"type": "request", "id": "q", "messages": [{"role": "user", "content": question}]}
    if deadline_ms:
        request["deadline_ms"] = deadline_ms
    secret, at, text = None, 0, ""
    for _ in range(TRIES):
        try:
            async with connect(url) as socket:
                again = {"type": "resume", "resume": secret, "from": at}
                await socket.send(json.dumps(again if secret else request))
                async for message in socket:
                    message = json.loads(message)
                    text += message.get("text", "")
                    print(message.get("text", ""), end="", flush=True)
                    if message["type"] == "accepted":
                        secret = message["resume"]
                    elif message["type"] == "token":
                        at = message["index"] + 1
                    elif message["type"] == "done":
                        print()
                        return text
                    elif message["type"] == "error":
                        raise SystemExit(message["error"]["message"])
        except (websockets.ConnectionClosed, ConnectionError):
            await asyncio.sleep(0.5)
    raise SystemExit("the connection is lost")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    asyncio.run(ask(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
