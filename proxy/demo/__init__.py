"""`headway demo`: a real Triton with three language models, the daemon, the proxy and a mixed load, on one machine.

The way, file by file: `triton_wheel` finds Triton in the installed nvidia-pytriton wheel and lays out what it needs;
`triton_server` runs it as a child process; the models are in `examples/models`; `demo` puts the pieces together.
"""
