"""Work whose threads allocate without the interpreter lock: `native.py NAME AS SIZE` prints how many seconds it took.

AS is `script`, or `server`: then the process has answered a request of its own before, as one that serves predictions or reports has.
"""

from __future__ import annotations

import ctypes
import os
import random
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

THREADS = len(os.sched_getaffinity(0))
WORDS = [f"word{number * 7919 % 10_007}" for number in range(5_000)]


def serve() -> None:
    """Answer one request, and wait."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        client.recv(65536)
        select.select([], [], [], 0.01)


def texts(count: int) -> list[str]:
    """Return texts of 60 words, the same in every run."""
    rng = random.Random(1)
    return [" ".join(rng.choices(WORDS, k=60)) for _ in range(count)]


def in_threads(work: Callable[[int], object], count: int) -> None:
    """Do it so many times on all CPUs."""
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(work, range(count)):
            pass


def tokenizers(size: int) -> Callable[[], object]:
    """Hugging Face's, in Rust: rayon's threads."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    rows = texts(4_000 * size)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(vocab_size=2_000, show_progress=False)
    tokenizer.train_from_iterator(rows[:500], trainer)
    return lambda: tokenizer.encode_batch(rows)


def polars(size: int) -> Callable[[], object]:
    """Groups and joins of strings on its own threads."""
    import polars as pl

    rows = texts(5_000 * size)
    frame = pl.DataFrame({"text": rows, "group": [len(row) % 97 for row in rows]})

    def work() -> None:
        for _ in range(10):
            words = frame.lazy().with_columns(pl.col("text").str.split(" ").alias("w"))
            words = words.explode("w").group_by("w", "group").len().sort("len")
            words.collect()

    return work


def pyarrow(size: int) -> Callable[[], object]:
    """Tables made, sorted and grouped on Arrow's threads, with malloc for its pool."""
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    rows = texts(5_000 * size)
    table = pa.table({"text": rows, "group": [len(row) % 97 for row in rows]})

    def work() -> None:
        for _ in range(20):
            table.sort_by("text").group_by("group").aggregate([("text", "count")])

    return work


def numpy(size: int) -> Callable[[], object]:
    """OpenBLAS's threads, and arrays of many sizes on threads of ours."""
    import numpy as np

    left = np.ones((600, 600))

    def some(number: int) -> None:
        for step in range(40):
            block = np.ones(1_000 + (number * 613 + step * 97) % 30_000)
            (block * 2.0).sum()
        left @ left

    return lambda: in_threads(some, 60 * size)


def lxml(size: int) -> Callable[[], object]:
    """Parse documents in a pool of threads."""
    from lxml import etree

    item = b"<item id='%d'><name>word</name><text>some text here</text></item>"
    document = b"<r>" + b"".join(item % n for n in range(3_000)) + b"</r>"

    def parse(_: int) -> None:
        # A parser of its own in each thread: the shared one has a lock.
        etree.fromstring(document, etree.XMLParser())

    return lambda: in_threads(parse, 240 * size)


def zlib(size: int) -> Callable[[], object]:
    """Compress in a pool of threads: each time a state of 268 KB."""
    import zlib as library

    block = " ".join(texts(40)).encode()

    def compress(_: int) -> None:
        library.decompress(library.compress(block, 1))

    return lambda: in_threads(compress, 2_500 * size)


def onnxruntime(size: int) -> Callable[[], object]:
    """A small network, run from a pool of threads."""
    import numpy as np
    import onnx
    import onnxruntime as runtime
    from onnx import TensorProto, helper

    weights = np.ones((256, 256), dtype=np.float32)
    nodes, initial, last = [], [], "x0"
    for layer in range(6):
        initial.append(
            helper.make_tensor(
                f"w{layer}", TensorProto.FLOAT, weights.shape, weights.tobytes(), True
            )
        )
        nodes.append(helper.make_node("MatMul", [last, f"w{layer}"], [f"m{layer}"]))
        last = f"x{layer + 1}"
        nodes.append(helper.make_node("Tanh", [f"m{layer}"], [last]))

    def value(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 256])

    graph = helper.make_graph(nodes, "net", [value("x0")], [value(last)], initial)
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    options = runtime.SessionOptions()
    # Its own arena would keep what it has: with malloc each run allocates.
    options.enable_cpu_mem_arena = False
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    inputs = [np.ones((n, 256), dtype=np.float32) for n in (1, 7, 40, 130)]
    return lambda: in_threads(
        lambda n: session.run(None, {"x0": inputs[n % len(inputs)]}), 800 * size
    )


def extension(size: int) -> Callable[[], object]:
    """A C extension that allocates 1 to 16 KB again and again, in threads."""
    churn = ctypes.CDLL(os.environ["NATIVE_EXTENSION"]).churn
    churn.argtypes = [ctypes.c_long]
    churn.restype = ctypes.c_long

    def work() -> None:
        blocks = 2_000_000 * size
        threads = [
            threading.Thread(target=churn, args=(blocks,)) for _ in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return work


WORK = {
    work.__name__: work
    for work in (
        tokenizers,
        polars,
        pyarrow,
        numpy,
        lxml,
        zlib,
        onnxruntime,
        extension,
    )
}


def main() -> None:
    """Do what the arguments say."""
    name, role, size = sys.argv[1:]
    if role == "server":
        serve()
    work = WORK[name](int(size))
    began = time.perf_counter()
    work()
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main()
