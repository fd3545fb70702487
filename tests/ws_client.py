"""A WebSocket client of a few lines, which can also be rude: frames are made and read by hand.
Standard library only."""
import base64
import contextlib
import hashlib
import json
import os
import socket
import struct

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(data, opcode=TEXT, final=True, mask=True, reserved=0):
    """A frame, masked as a client has to."""
    head = bytes([final << 7 | reserved << 4 | opcode])
    bit, n = mask << 7, len(data)
    if n < 126:
        head += bytes([bit | n])
    elif n < 1 << 16:
        head += struct.pack(">BH", bit | 126, n)
    else:
        head += struct.pack(">BQ", bit | 127, n)
    if not mask:
        return head + data
    key = os.urandom(4)
    padded = data + bytes(-n % 4)
    number = int.from_bytes(padded, "big") ^ int.from_bytes(key * (len(padded) // 4), "big")
    return head + key + number.to_bytes(len(padded), "big")[:n]


class Refused(Exception):
    """The server's reply to the upgrade was another than 101: its status, headers, body."""

    def __init__(self, status, headers, body):
        super().__init__(status, body)
        self.status, self.headers, self.body = status, headers, body


class Closed(Exception):
    """The connection has ended; code: of the server's close frame, None if there was none."""

    def __init__(self, code=None, reason=""):
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class WebSocket:
    def __init__(self, sock, path="/v1/stream", **headers):
        self.sock, self.file = sock, sock.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade",
                 "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13",
                 **{name.replace("_", "-"): value for name, value in headers.items()}}
        head = f"GET {path} HTTP/1.1\r\n" + "".join(f"{n}: {v}\r\n" for n, v in lines.items())
        sock.sendall(head.encode() + b"\r\n")
        self.pings = self.parts = 0
        self.protocol = self.shake_hands(key, path)

    def shake_hands(self, key, path):
        version, status = (self.file.readline() or b"HTTP/1.1 0").split()[:2]
        status = int(status)
        assert version == b"HTTP/1.1" or path != "/v1/stream", version
        headers = {}
        for line in iter(self.file.readline, b"\r\n"):
            if not line:
                break
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        if status != 101:
            body = self.file.read(int(headers.get("content-length", 0)))
            self.close()
            raise Refused(status, headers, body)
        right = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        assert headers["sec-websocket-accept"] == right, headers
        return headers.get("sec-websocket-protocol")

    def close(self):
        self.file.close()
        self.sock.close()

    # ---- frames -------------------------------------------------------------------------------

    def send_frame(self, data, **options):
        self.sock.sendall(frame(data, **options))

    def read(self, n):
        data = self.file.read(n)
        if len(data) < n:
            raise Closed
        return data

    def receive_frame(self):
        """Opcode and payload; of a message in parts its own. No frame of the server's is masked or compressed."""
        opcode, data, is_last = self.receive_part()
        while not is_last:
            self.parts += 1
            more, part, is_last = self.receive_part()
            assert more == 0, more
            data += part
        return opcode, data

    def receive_part(self):
        try:
            first, second = self.read(2)
            assert not first & 0x70 and not second & 0x80, (first, second)
            n = second
            if second == 126:
                n, = struct.unpack(">H", self.read(2))
            elif second == 127:
                n, = struct.unpack(">Q", self.read(8))
            return first & 15, self.read(n), bool(first & 0x80)
        except ConnectionError as error:
            raise Closed from error

    # ---- messages -----------------------------------------------------------------------------

    def send(self, **message):
        self.send_frame(json.dumps(message).encode())

    def send_all(self, messages):
        """In one piece, as far as the network lets it."""
        self.sock.sendall(b"".join(frame(json.dumps(message).encode()) for message in messages))

    def receive_of(self, name):
        """The next message that is not a token, of one request."""
        while True:
            message = self.receive()
            if message.get("id") == name and message["type"] != "token":
                return message

    def receive(self):
        """The next message; pings are answered meanwhile."""
        while True:
            opcode, data = self.receive_frame()
            if opcode == TEXT:
                return json.loads(data)
            if opcode == PING:
                self.pings += 1
                self.send_frame(data, opcode=PONG)
            if opcode == CLOSE:
                with contextlib.suppress(OSError):
                    self.send_frame(data, opcode=CLOSE)
                code = struct.unpack(">H", data[:2])[0] if len(data) > 1 else None
                raise Closed(code, data[2:].decode())

    def ask(self, **message):
        """A request, up to its end: {"accepted", "tokens", "last"}, the last done or error."""
        self.send(type="request", **message)
        return self.follow(message["id"])

    def follow(self, name):
        accepted, tokens = None, []
        while True:
            message = self.receive()
            assert message.get("id") == name, message
            if message["type"] == "accepted":
                accepted = message
            elif message["type"] == "token":
                tokens.append(message)
            else:
                return {"accepted": accepted, "tokens": tokens, "last": message}


def connect(port, path="/v1/stream", timeout=60, **headers):
    sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    try:
        return WebSocket(sock, path, **{"Host": f"127.0.0.1:{port}", **headers})
    except BaseException:
        sock.close()
        raise


def text_of(answer):
    """The text of what ask() gave back."""
    return "".join(t["text"] for t in answer["tokens"]) + answer["last"].get("text", "")
