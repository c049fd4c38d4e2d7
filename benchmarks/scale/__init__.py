"""What several processes on real servers can do: `python -m benchmarks.scale` (`make bench-scale`).

PostgreSQL and a broker on the loopback, in databases and queues of the run's own, which are taken away at the end. What
is measured, the servers and the sender share the machine's cores, so ratios within a run say more than rates.
docs/scale.md says what each figure means.
"""
