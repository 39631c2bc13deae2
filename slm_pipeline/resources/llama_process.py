"""llama.cpp as a process of its own, run by `engine.py`: a JSON request a line in, a JSON reply a line out, of a stream as many as come and
null behind them; ends with its input.

Apart, because torch and llama.cpp in one process share the OpenMP library that is loaded first, and how its threads wait. What
suits torch's large products halves llama.cpp's speed, which waits after every one of its small ones.
"""

import json
import os
import signal
import sys


def main(gguf: str, context: str, adapter: str = "") -> None:
    """Answer completion requests on standard input until it ends. `context` is in tokens; `adapter` a GGUF file or nothing."""
    import xllamacpp

    # Ctrl-C ends the process that asks, and thereby this one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing that llama.cpp prints may come between the replies
    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.n_ctx = int(context)
    params.n_parallel = 1
    params.warmup = False
    params.verbosity = -1
    params.n_gpu_layers = 0
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
        # llama.cpp's threads spin by default; with anything else on the cores that costs a factor of nine
        cpu.poll = 0
    if adapter:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(adapter, 1.0)]
    server = xllamacpp.Server(params)

    def say(reply: object) -> None:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()

    for line in sys.stdin:
        request = json.loads(line)
        # of a stream, every piece is told as it comes, and what is returned is None
        say(server.handle_completions(request, say) if request.get("stream") else server.handle_completions(request))
    os._exit(0)  # a server that has hardly started waits for ever when it is taken down


if __name__ == "__main__":
    main(*sys.argv[1:])
