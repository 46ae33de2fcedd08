"""How long the models behind a route take, measured on a live Triton: `headway profile`.

`route` measures the candidates one after another and writes their files. For each of them `server` talks to Triton and
says what the model is (`model`); `payload` makes the inputs that it takes; `unary` and `streams` say what to measure of
a model that answers once and of one that streams; `sweep` repeats that until `samples` says that the median is known;
`result` makes an entry of a profile file of the points. `report` shows them, `machine` names the hardware.

`policies.profile_file` has the file, `policies.profile` what policies and the simulator take from it.
"""
