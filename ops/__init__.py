"""What runs around headway: deployment, dashboards, the link emulator and the benchmarks. Not part of the wheel."""
