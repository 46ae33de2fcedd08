"""`headway demo`: a real Triton with three language models, the daemon, the proxy and a mixed load, on one machine.

The way, file by file: `triton_wheel` finds Triton in the installed nvidia-pytriton wheel and lays out what it needs;
`triton_server` runs it as a child process; the models are in `examples/models`. `configuration` writes the file with
which `processes` runs the daemon and the proxy. `client` asks, stock tritonclient; `load` decides when, and counts;
`screen` shows the count. `trace_inbox` takes Triton's own spans into the file of traces, `trace_view` shows one trace
out of it. `next_steps` has the commands to try then. `demo` tells the story from start to end.
"""
