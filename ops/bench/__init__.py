"""The benchmarks: `python -m ops.bench NAME [--scenario FILE] [--out DIR] [--quick]`.

`__main__` picks the experiment and writes what it returns; `report` is the file format that all experiments share.

`overhead` measures what the detour costs. `scenario` is its YAML file; `peers` are the ways a call can take, each in
processes of its own (`processes`): the backend alone (`backend`), a bare pass-through (`hop`), Envoy to Envoy (`envoy`)
and headway (`headway`). `load` is the client, `overhead` visits the cells in turn, `figures` does the arithmetic,
`table` draws the result, `profiling` says where headway's own time went.

`network` is the package of that name: deadlines over a thin, lossy link; `bound` is what no schedule can exceed there.
"""
