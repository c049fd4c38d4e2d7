"""What the hub can do on this machine: `python -m benchmarks [ingest] [pipeline] [idle] [crash]`.

The load comes from this process, over the loopback, and shares the machine's cores with what it measures. Figures
that have a target are ratios of rounds taken in turn where that is possible, for machines differ and are never idle.
docs/benchmarks.md says what each figure means.
"""
