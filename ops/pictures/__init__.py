"""The README's pictures, drawn from one run of the demo's Triton, daemon and proxy under more load than they serve.

    python -m ops.pictures                     # runs for a minute, then writes top.png, trace.png, dashboard.png
    python -m ops.pictures --data DIR          # the same, and keeps what it drew from
    python -m ops.pictures --data DIR --again  # draws it once more, without a run

`run` makes the run and notes what it sees; `scrapes` keeps what was scraped, `promql` asks it, `dashboard` draws the
panels of `ops/helm/headway/files/dashboard.json`; `terminal` draws what a command prints.
"""
