"""Writes the first inputs of each fuzz target into corpus/: answers of servers of many kinds, and files of this repository."""

import gzip
import json
import pathlib
import struct
import sys
import zlib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(HERE.parent))
import hostile_server as server  # noqa: E402


def chunk(text="a", **more):
    return json.dumps({"id": "c-1", "model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]} | more)


FINISH = json.dumps({"id": "c-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
USAGE = json.dumps({"id": "c-1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})


def events(*data, end="\n", space=" "):
    return "".join(f"data:{space}{one}{end}{end}" for one in data)


# Bodies of event streams: what servers send, right and wrong.
STREAMS = [
    events(chunk(), chunk("b"), FINISH, USAGE, "[DONE]"),
    events(chunk(), FINISH, "[DONE]", space=""),
    events(chunk(), FINISH, "[DONE]", end="\r\n"),
    events(chunk(), FINISH, "[DONE]", end="\r"),
    ": ping\n\n" + events(chunk(), FINISH) + ":\n\ndata: [DONE]\n\n",
    "event: ping\ndata: {\"type\":\"ping\"}\n\nid: 7\nretry: 10\n" + events(chunk(), FINISH, "[DONE]"),
    "data: {\"id\": \"c\",\ndata:  \"choices\": [{\"delta\":\ndata: {\"content\": \"a\"}}]}\n\n" + events(FINISH, "[DONE]"),
    events("", chunk(), "", FINISH, "[DONE]"),
    events(": OPENROUTER PROCESSING", chunk()),
    events(chunk(), FINISH, "[DONE] ").replace("[DONE]", "[DONE]\t"),
    events(chunk(), FINISH) + "data: [DONE]",
    events(chunk(), FINISH) + "[DONE]\n\n",
    events(chunk(), FINISH, "[DONE]", "[DONE]", "[done]"),
    events(chunk(), json.dumps({"error": {"message": "boom", "code": 500}}), "[DONE]"),
    events(chunk()) + "event: error\ndata: {\"message\": \"boom\"}\n\n",
    events(chunk()) + "error: {\"code\": 500}\n\ndata: [DONE]\n\n",
    events(chunk(), FINISH.replace("stop", "abort"), FINISH.replace('"stop"', '""'), FINISH.replace("stop", "content_filter"), "[DONE]"),
    events(chunk(choices=None), USAGE.replace("[]", "null"), USAGE.replace("2", "null"), USAGE.replace("2", "0"), "[DONE]"),
    events(chunk().replace("content", "reasoning_content"), chunk().replace("content", "reasoning"), chunk(), FINISH, "[DONE]"),
    events(chunk().replace('"a"', '[{"type": "thinking", "text": "b"}, {"type": "text", "text": "c"}]'), FINISH, "[DONE]"),
    events(chunk().replace('{"content": "a"}', '{"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{"}}]}'), FINISH, "[DONE]"),
    events(chunk().replace('{"content": "a"}', "null"), chunk("\n"), chunk("\u00e4\ud83d\ude00"), chunk("\\\"\u0000"), FINISH, "[DONE]"),
    events(chunk(id=""), chunk(id=None), chunk(id="other"), chunk().replace('"index": 0', '"index": 1'), FINISH, "[DONE]"),
    events(chunk().replace('"a"', "-Infinity"), chunk().replace('"a"', '"\\ud800"'), "[DONE]"),
    "\ufeff" + events(chunk(), FINISH, "[DONE]"),
    events(json.dumps({"type": "response.created", "sequence_number": 0, "response": {"id": "r"}}),
           json.dumps({"type": "response.output_text.delta", "sequence_number": 1, "delta": "a"}),
           json.dumps({"type": "response.completed", "sequence_number": 2, "response": {"id": "r", "status": "completed", "usage": {"input_tokens": 1, "output_tokens": 1}}})),
    "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in (
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1, "output_tokens": 0}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}, {"type": "message_stop"})),
]
DOCUMENTS = [
    server.WHOLE, "", "  {}", "[]", "null", "<html>login</html>", '{"error": false, "choices": []}',
    json.dumps({"error": {"message": "boom", "type": "x", "code": "y"}}), json.dumps({"detail": "Not Found"}),
    json.dumps({"object": "error", "message": "boom", "code": 404}),
    json.dumps({"object": "list", "data": [{"index": 1, "embedding": [0.5, -1]}, {"index": 0, "embedding": "AACAPwAAgD8="}], "usage": {"prompt_tokens": 4}}),
    json.dumps({"results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": "NaN"}], "usage": {"total_tokens": 4}}),
    json.dumps({"id": "r", "status": "completed", "output": [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}], "usage": {"input_tokens": 1, "output_tokens": 1}}),
    json.dumps({"id": "m", "type": "message", "content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}),
    '{"choices": ' + "[" * 200 + "]" * 200 + "}",
]


def chunked(body, size=7):
    body = body.encode(errors="surrogatepass") if isinstance(body, str) else body
    pieces = [body[at:at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def http1():
    for body in STREAMS:
        yield server.head(server.SSE, "transfer-encoding: chunked\r\n").encode() + chunked(body)
    for body in DOCUMENTS:
        yield server.sized(body)
    yield b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + server.sized(server.END, server.SSE)
    yield b"HTTP/1.0 200\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\n" + server.END.encode()
    yield server.sized("slow down", more="retry-after: 3\r\nx-served-by: pod\r\n", status="429 Too Many Requests")
    yield server.sized("", more="location: /elsewhere\r\nconnection: close\r\n", status="307 Temporary Redirect")
    yield server.sized(gzip.compress(server.END.encode()), server.SSE, "content-encoding: gzip\r\n")
    yield b"HTTP/1.1 200 OK\ncontent-length: +2\n\n{}"
    yield b"HTTP/1.1 204 No Content\r\ntransfer-encoding: gzip, chunked\r\n\r\nffffffffffffffff\r\n"


def http2():
    frame = server.frame
    head = server.OPEN + frame(server.HEADERS, server.END_HEADERS, 1, server.STATUS_200 + server.EVENTS)
    for body in STREAMS:
        yield head + frame(server.DATA, server.END_STREAM, 1, body.encode(errors="surrogatepass")[:16000])
    yield server.OPEN + frame(server.HEADERS, server.END_HEADERS | server.END_STREAM, 1, b"\x8d")
    yield head + frame(server.RST_STREAM, 0, 1, struct.pack(">I", 7))
    yield server.OPEN + frame(server.GOAWAY, 0, 0, struct.pack(">II", 0, 0))
    yield server.OPEN + frame(server.HEADERS, 0, 1, server.STATUS_200) + frame(server.CONTINUATION, 4, 1, server.EVENTS)
    yield server.OPEN + frame(server.SETTINGS, 0, 0, struct.pack(">HIHI", 3, 1, 4, 0)) + frame(server.PING, 0, 0, b"12345678")
    yield b"HTTP/1.1 505 HTTP Version Not Supported\r\n\r\n"


def files(pattern, root=ROOT):
    return [path.read_bytes() for path in sorted(root.glob(pattern))]


def workloads():
    return files("harness/model/src/workload/*.toml")


def tables(*texts):
    return [text.encode() for text in texts]


MODEL = '[[models]]\nname = "m"\n[[models.pools]]\nname = "p"\nweight = 1\n'
SEEDS = {
    "http1": lambda: http1(),
    "http2": lambda: http2(),
    "sse": lambda: STREAMS,
    "stream": lambda: STREAMS,
    "document": lambda: DOCUMENTS,
    "inflate": lambda: [gzip.compress(b"data: a\n\n" * 9), zlib.compress(b"{}" * 99), gzip.compress(b"a") * 2, zlib.compress(b"\0" * 100_000)],
    "metrics": lambda: tables(
        server.METRICS, 'vllm:num_requests_waiting{model="a\\"b",engine="0"} 1e3 17\n# HELP x y\nsglang:token_usage NaN\nx +Inf\n',
        'DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="G",Hostname="h",GPU_I_ID="1"} 93\nllm_d_epp_scheduler_attempts_total{status="success"} 3\n'
        'inference_extension_scheduler_attempts_total{status="success"} 3\nnv_gpu_memory_used_bytes 1\nnv_gpu_memory_total_bytes 2\n'),
    "target": lambda: tables(
        'url = "http://127.0.0.1:8000"\n' + MODEL,
        'name = "g"\nurl = "https://u:p@h/v1?k=v"\nserved_by_header = "x-p"\nproxy = "http://p:1"\nheaders = { host = "a", x = { env = "PATH" } }\n'
        '[tls]\ninsecure = true\n[paths]\nchat = "/c"\n[parameters]\nomit = ["seed"]\nmore = { temperature = 0 }\n' + MODEL
        + 'epp_metrics = "http://h:1/metrics"\nflow_control = true\nheld_max = { batch = 3 }\n[[models.pools.endpoints]]\nname = "e"\nurl = "http://h:2"\n'
        '[objectives]\nbatch = -10\n[changes]\nurl = "http://h:3"\nkinds = ["picker"]\n'),
    "topology": lambda: tables('name = "t"\n' + MODEL + "endpoints = 2\n") + files("**/topolog*.toml", ROOT / "harness"),
    "workload": workloads,
    "trace": lambda: files("harness/model/src/workload/trace/samples/*"),
    "dataset": lambda: tables(
        "a prompt\nanother\n", '[{"prompt": "a", "completion": "b"}, {"messages": [{"role": "user", "content": "c"}, {"role": "assistant", "content": null}]}]',
        '{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "output_tokens": 3}\n{"text": "x", "max_tokens": -1}\n'),
    "gate": lambda: files("ci/gate.toml"),
    "expect": lambda: files("ci/expect/*.toml"),
    "record": lambda: [],
    "damaged-record": lambda: [bytes([kind]) + bytes(range(kind, kind + 30)) for kind in range(20)],
    "others-results": lambda: files("harness/report/src/compare/peers/**/*.json") + files("harness/report/src/compare/peers/**/*.yaml"),
}
# What a request asked for: two bytes before an answer, for each API.
ASKED = {"http1", "http2", "stream", "document"}


def main():
    for target, seeds in SEEDS.items():
        folder = HERE / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            seed = seed.encode(errors="surrogatepass") if isinstance(seed, str) else seed
            heads = [bytes([0x80 * (target == "document") + api, size]) for api in range(6) for size in (7,)] if target in ASKED else [b""]
            for head_number, head in enumerate(heads):
                (folder / f"seed-{number:02}-{head_number}").write_bytes(head + seed)
        if target == "record":
            for number, path in enumerate(sorted((ROOT / "reports").glob("*/*.json"))):
                # Long ones would leave no time for the others.
                record = json.loads(path.read_text())
                if "schema" in record:
                    if "cases" in record:
                        record["cases"] = record["cases"][:2]
                    text = json.dumps(record)
                    if len(text) < 60_000:
                        (folder / f"seed-{number:02}").write_text(text)


if __name__ == "__main__":
    main()
