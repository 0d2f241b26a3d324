#!/usr/bin/env python3
"""Servers that do a client harm, one mode per port of 127.0.0.1, on the standard library alone.

`hostile_server.py [MODE ...]` prints a line `MODE PORT` for each and serves until its standard input ends. Each connection is a thread,
and sends SENT_MAX bytes at most.
"""

import json
import socket
import struct
import sys
import threading
import time
import zlib

SENT_MAX = 10 << 30
BLOCK = 1 << 18
MODEL = "model-a"
POD = "x-inference-pod"
CHUNK = json.dumps({"id": "c", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]})
END = "".join(f"data: {data}\n\n" for data in (
    CHUNK, json.dumps({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}), "[DONE]"))
WHOLE = json.dumps({"id": "c", "choices": [{"index": 0, "text": "a", "message": {"content": "a"}, "finish_reason": "length"}],
                    "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
METRICS = "vllm:num_requests_waiting 0\nvllm:num_requests_running 0\nvllm:kv_cache_usage_perc 0\nvllm:request_success_total 1\n"


class Gone(Exception):
    """The client has left, or has got enough."""


class Peer:
    """A connection: what it may send is bounded."""

    def __init__(self, stream):
        self.stream, self.left = stream, SENT_MAX

    def send(self, data):
        if isinstance(data, str):
            data = data.encode()
        self.left -= len(data)
        if self.left < 0:
            raise Gone
        try:
            self.stream.sendall(data)
        except OSError:
            raise Gone from None

    def forever(self, data):
        if isinstance(data, str):
            data = data.encode()
        block = data * max(1, BLOCK // len(data))
        while True:
            self.send(block)

    def slowly(self, data, every_s=1.0):
        for byte in data.encode() if isinstance(data, str) else data:
            self.send(bytes([byte]))
            time.sleep(every_s)


def head(kind, more="", status="200 OK"):
    # An answer that names its endpoint is one that cases judge.
    pod = "" if POD in more else f"{POD}: e-0\r\n"
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{pod}{more}\r\n"


def sized(body, kind="application/json", more="", status="200 OK"):
    body = body.encode() if isinstance(body, str) else body
    return head(kind, f"content-length: {len(body)}\r\n{more}", status).encode() + body


SSE, JSON, TEXT = "text/event-stream", "application/json", "text/plain"


def good(peer, request):
    """What a model server sends, for what a mode leaves as it is."""
    if "/v1/models" in request.path:
        peer.send(sized(json.dumps({"object": "list", "data": [{"id": MODEL}]})))
    elif request.path.endswith("/metrics"):
        peer.send(sized(METRICS, TEXT))
    elif request.streams:
        peer.send(sized(END, SSE))
    else:
        peer.send(sized(WHOLE))


def bomb(line, mib=10 << 10):
    """A compressed text: a line that repeats for this many MiB. It is made once, and as it is sent."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = line * ((1 << 20) // len(line))
    yield packer.compress(block)
    for _ in range(mib):
        if data := packer.compress(block):
            yield data


class Bomb:
    """10 GiB that take 10 MiB."""

    made = {}
    lock = threading.Lock()

    @classmethod
    def of(cls, line):
        with cls.lock:
            if line not in cls.made:
                cls.made[line] = b"".join(bomb(line, 2 << 10))
            return cls.made[line]


def answers(mode):
    """Applies a mode to answers of models only, and leaves /v1/models and /metrics as they are."""
    def wrapped(peer, request):
        return mode(peer, request) if request.is_answer else good(peer, request)
    return wrapped


def endless_head(peer, request):
    peer.send("HTTP/1.1 200 OK\r\n")
    peer.forever("x-more: " + "a" * 1000 + "\r\n")


def long_head(peer, request):
    peer.send("HTTP/1.1 200 OK\r\nx-long: ")
    peer.forever("a" * 1000)


@answers
def endless_body(peer, request):
    peer.send(head(JSON))
    peer.send('{"choices": [{"text": "')
    peer.forever("a" * 1000)


@answers
def endless_line(peer, request):
    peer.send(head(SSE))
    peer.send("data: ")
    peer.forever("a" * 1000)


@answers
def endless_events(peer, request):
    peer.send(head(SSE))
    peer.forever(f"data: {CHUNK}\n\n")


@answers
def empty_events(peer, request):
    peer.send(head(SSE))
    peer.forever("data:\n\n")


@answers
def endless_chunk_size(peer, request):
    peer.send(head(SSE, "transfer-encoding: chunked\r\n"))
    peer.forever("0")


@answers
def many_choices(peer, request):
    body = '{"choices":[' + "{}," * (2 << 20) + '{"text":"a","finish_reason":"stop"}]}'
    peer.send(sized(body))


@answers
def wide_error(peer, request):
    peer.send(sized('{"error":[' + "0," * (3 << 20) + '0],"choices":[{"text":"a","finish_reason":"stop"}]}'))


@answers
def large_answers(peer, request):
    """Good answers, each just below the limit of one."""
    text = "a" * (15 << 19)
    peer.send(sized(json.dumps({"choices": [{"index": 0, "text": text, "message": {"content": text}, "finish_reason": "length"}]})))


@answers
def large_heads(peer, request):
    more = "".join(f"x-{number}: {'a' * 8000}\r\n" for number in range(40))
    peer.send(sized(END, SSE, more) if request.streams else sized(WHOLE, more=more))


@answers
def gzip_bomb(peer, request):
    peer.send(head(SSE if request.streams else JSON, "content-encoding: gzip\r\n"))
    peer.send(Bomb.of(f"data: {CHUNK}\n\n".encode() if request.streams else b" "))


@answers
def deep_json(peer, request):
    deep = "[" * 100_000 + "]" * 100_000
    if request.streams:
        peer.send(sized(f'data: {{"choices": {deep}}}\n\ndata: {{"a": {deep}, "choices": []}}\n\n' + END, SSE))
    else:
        peer.send(sized(f'{{"choices": {deep}}}'))


def many_metrics(peer, request):
    if not request.path.endswith("/metrics"):
        return good(peer, request)
    peer.send(head(TEXT))
    peer.send(METRICS)
    for number in range(10_000):
        peer.send("".join(f'vllm:num_requests_waiting{{pod="{number}-{own}"}} 1\n' for own in range(1_000)))
    raise Gone


def endless_metrics_line(peer, request):
    if not request.path.endswith("/metrics"):
        return good(peer, request)
    peer.send(head(TEXT))
    peer.send('vllm:num_requests_waiting{pod="')
    peer.forever("a")


def endless_models(peer, request):
    if "/v1/models" not in request.path:
        return good(peer, request)
    peer.send(head(JSON))
    peer.send('{"data": [')
    peer.forever('{"id": "m"}, ')


def wide_models(peer, request):
    if "/v1/models" not in request.path:
        return good(peer, request)
    peer.send(sized('{"data": [' + "0," * (3 << 20) + "0]}"))


def trickle(peer, request):
    peer.slowly(sized(END, SSE))


@answers
def trickle_body(peer, request):
    peer.send(head(SSE))
    peer.slowly(END)


@answers
def silent(peer, request):
    peer.send(head(SSE))
    time.sleep(600)


@answers
def thousands_of_1xx(peer, request):
    peer.send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 20_000)
    good(peer, request)


@answers
def endless_1xx(peer, request):
    peer.forever("HTTP/1.1 100 Continue\r\n\r\n")


@answers
def redirects(peer, request):
    peer.send(sized("", more=f"location: {request.path}\r\n", status="307 Temporary Redirect"))


@answers
def own_names(peer, request):
    """Each answer is of another endpoint, with a name of 60 KB that would clear a terminal."""
    own_names.count += 1
    name = f"\x1b[2J{own_names.count}" + "n" * 60_000
    more = f"{POD}: {name}\r\n"
    peer.send(sized(END, SSE, more) if request.streams else sized(WHOLE, more=more))


own_names.count = 0


@answers
def escapes(peer, request):
    """Errors that would control a terminal, a page or a build."""
    text = "\x1b[2J\x1b]0;title\x07<script>alert(1)</script>\n::error::x\r\u202e |*_`"
    peer.send(sized(json.dumps({"error": {"message": text}}) + text, status="500 " + "no \x1b[2J"))


@answers
def garbage(peer, request):
    peer.forever(bytes(range(256)))


def many_bytes_behind(peer, request):
    good(peer, request)
    if request.is_answer:
        peer.forever("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


# HTTP/2 (RFC 9113): frames by hand.

DATA, HEADERS, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
STATUS_200 = b"\x88"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field that is added to the table (RFC 7541, section 6.2.1), with lengths below 127 or as long as wanted."""
    def text(data):
        if len(data) < 127:
            return bytes([len(data)]) + data
        rest, out = len(data) - 127, [127]
        while rest >= 128:
            out.append(rest % 128 + 128)
            rest //= 128
        return bytes([*out, rest]) + data
    return b"\x40" + text(name) + text(value)


OPEN = frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0)
EVENTS = literal(b"content-type", SSE.encode()) + literal(POD.encode(), b"e-0")


def http2(mode):
    """Serves HTTP/2 with prior knowledge; `mode` gets each stream with its number among the requests. A plain request is answered well."""
    def serve(peer, first):
        data = first[24:]
        peer.send(OPEN)
        count = 0
        while True:
            while len(data) < 9 or len(data) < 9 + int.from_bytes(data[:3], "big"):
                try:
                    more = peer.stream.recv(65536)
                except OSError:
                    raise Gone from None
                if not more:
                    raise Gone
                data += more
            length, kind = int.from_bytes(data[:3], "big"), data[3]
            stream = int.from_bytes(data[5:9], "big") & 0x7FFFFFFF
            data = data[9 + length:]
            if kind == HEADERS:
                count += 1
                mode(peer, stream, count)
            elif kind == DATA and length:
                grant = struct.pack(">I", length)
                peer.send(frame(WINDOW_UPDATE, 0, 0, grant) + frame(WINDOW_UPDATE, 0, stream, grant))
    serve.is_http2 = True
    return serve


@http2
def h2_rapid_reset(peer, stream, count):
    peer.send(frame(HEADERS, END_HEADERS, stream, STATUS_200) + frame(RST_STREAM, 0, stream, struct.pack(">I", 7)))


@http2
def h2_reset_flood(peer, stream, count):
    peer.forever(frame(RST_STREAM, 0, stream, struct.pack(">I", 8)))


@http2
def h2_settings_flood(peer, stream, count):
    peer.forever(frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 100)))


@http2
def h2_ping_flood(peer, stream, count):
    peer.forever(frame(PING, 0, 0, b"12345678"))


@http2
def h2_window_flood(peer, stream, count):
    peer.forever(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 1)))


@http2
def h2_empty_data(peer, stream, count):
    peer.send(frame(HEADERS, END_HEADERS, stream, STATUS_200 + EVENTS))
    peer.forever(frame(DATA, 0, stream))


@http2
def h2_continuation(peer, stream, count):
    peer.send(frame(HEADERS, 0, stream, STATUS_200))
    peer.forever(frame(CONTINUATION, 0, stream, literal(b"x-more", b"a" * 100)))


@http2
def h2_empty_continuation(peer, stream, count):
    peer.send(frame(HEADERS, 0, stream, STATUS_200))
    peer.forever(frame(CONTINUATION, 0, stream))


@http2
def h2_hpack_bomb(peer, stream, count):
    """One long field, then references to it, a byte each."""
    block = STATUS_200 + literal(b"x-bomb", b"a" * 3900) + b"\xbe" * 16_000
    peer.send(frame(HEADERS, 0, stream, block[:16_000]))
    peer.send(frame(CONTINUATION, END_HEADERS, stream, block[16_000:]))


@http2
def h2_1xx(peer, stream, count):
    peer.forever(frame(HEADERS, END_HEADERS, stream, literal(b":status", b"103") + literal(b"link", b"a" * 1000)))


@http2
def h2_push(peer, stream, count):
    peer.forever(frame(PUSH, END_HEADERS, stream, struct.pack(">I", 2) + b"\x82\x86\x84"))


@http2
def h2_endless_line(peer, stream, count):
    peer.send(frame(HEADERS, END_HEADERS, stream, STATUS_200 + EVENTS))
    peer.send(frame(DATA, 0, stream, b"data: "))
    peer.forever(frame(DATA, 0, stream, b"a" * 16_000))


@http2
def h2_no_window(peer, stream, count):
    peer.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)))


@http2
def h2_goaway(peer, stream, count):
    peer.send(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0) + b"x" * 10_000))


@http2
def h2_garbage(peer, stream, count):
    peer.forever(bytes(range(256)))


def tls_stalls(stream):
    """Takes a connection and sends nothing: a handshake never ends."""
    time.sleep(600)


tls_stalls.is_raw = True


def tls_trickles(stream):
    """A record of TLS that comes byte by byte and never ends."""
    Peer(stream).slowly(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + b"a" * 16_000, 0.2)


tls_trickles.is_raw = True

MODES = {
    name.replace("_", "-"): value for name, value in [
        (name, globals()[name]) for name in (
            "good", "endless_head", "long_head", "endless_body", "endless_line", "endless_events", "empty_events",
            "endless_chunk_size", "many_choices", "wide_error", "large_answers", "large_heads", "gzip_bomb", "deep_json",
            "many_metrics", "endless_metrics_line", "endless_models", "wide_models", "trickle", "trickle_body", "silent",
            "thousands_of_1xx", "endless_1xx", "redirects", "own_names", "escapes", "garbage", "many_bytes_behind",
            "h2_rapid_reset", "h2_reset_flood", "h2_settings_flood", "h2_ping_flood", "h2_window_flood", "h2_empty_data",
            "h2_continuation", "h2_empty_continuation", "h2_hpack_bomb", "h2_1xx", "h2_push", "h2_endless_line",
            "h2_no_window", "h2_goaway", "h2_garbage", "tls_stalls", "tls_trickles",
        )
    ]
}


class Request:
    """A request of HTTP/1.1: what a mode needs of it."""

    def __init__(self, text, body):
        self.path = text.split(" ", 2)[1] if text.count(" ") > 1 else "/"
        self.is_answer = text.startswith("POST ")
        self.streams = b'"stream":true' in body.replace(b" ", b"")


def requests(stream):
    """The requests of a connection, one after the other; the bytes of a preface of HTTP/2 instead, if there is one."""
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            more = stream.recv(65536)
            if not more:
                return
            data += more
        if data.startswith(b"PRI * HTTP/2.0"):
            while len(data) < 24:
                data += stream.recv(65536)
            yield data
            return
        text, data = data.split(b"\r\n\r\n", 1)
        lower = text.lower()
        length = 0
        if b"content-length:" in lower:
            length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        while len(data) < length:
            data += stream.recv(65536)
        yield Request(text.decode(errors="replace"), data[:length])
        data = data[length:]


def serve(stream, mode):
    peer = Peer(stream)
    try:
        if getattr(mode, "is_raw", False):
            return mode(stream)
        for request in requests(stream):
            is_http2 = getattr(mode, "is_http2", False)
            if isinstance(request, bytes):
                if is_http2:
                    mode(peer, request)
                return
            (good if is_http2 else mode)(peer, request)
            if not (is_http2 or mode is good):
                # A mode that leaves the end of its body open ends it by closing.
                if mode not in (own_names, escapes, redirects, large_heads, deep_json, many_choices):
                    return
    except (Gone, OSError, ValueError, IndexError):
        pass
    finally:
        stream.close()


def listen(mode):
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)

    def accept():
        while True:
            stream, _ = listener.accept()
            threading.Thread(target=serve, args=(stream, mode), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def main():
    names = sys.argv[1:] or list(MODES)
    for name in names:
        print(name, listen(MODES[name]), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
