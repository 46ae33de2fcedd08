"""Traces out of files of OTLP JSON lines: read, summed up, drawn.

`reader` goes through the files once for each question and holds no text; `spans` is what a line says. `calls` keeps one
small record for each call that headway served, `model_times` what Triton says of it; `summary` counts them. `tree` puts
the spans of one trace on one time axis. `waterfall` (with `decision`) and `overview` draw, `document` says the same as
JSON. `proxy.commands.trace` is the command.
"""
