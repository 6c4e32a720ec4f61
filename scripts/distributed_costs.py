"""The share of ideal speed that data-parallel training keeps, by the cost model of docs/distributed.md.

    python3 scripts/distributed_costs.py STEP_SECONDS GRADIENT_MB [LATENCY_US BANDWIDTH_GB_S OVERLAP]

STEP_SECONDS is a step of one process, GRADIENT_MB the gradients; latency and bandwidth are those of one message, and OVERLAP the share
of the step during which the network moves data by itself. Without these, three kinds of networks are listed.
"""

import sys

BUCKET_MB = 4
NETWORKS = [
    ("Ethernet, 10 Gbit/s", 30.0, 1.1, 0.5),
    ("Ethernet, 100 Gbit/s", 15.0, 11.0, 0.5),
    ("InfiniBand, 400 Gbit/s", 2.0, 45.0, 0.5),
]
RANKS = [2, 8, 32, 128, 512, 1024]


def sum_seconds(ranks, megabytes, latency_us, bandwidth_gb_s, gathered):
    """The seconds of one sum: a ring, in which each rank sends 2(R - 1) messages of 1/R; or R - 1 whole buffers if all are gathered."""
    messages = (ranks - 1) * (1 if gathered else 2)
    moved = megabytes * (ranks - 1) * (1 if gathered else 2 / ranks)
    return 1e-6 * latency_us * messages + 1e-3 * moved / bandwidth_gb_s


def efficiency(ranks, step, megabytes, latency_us, bandwidth_gb_s, overlap, gathered=False):
    buckets = max(1, round(megabytes / BUCKET_MB))
    sums = buckets * sum_seconds(ranks, megabytes / buckets, latency_us, bandwidth_gb_s, gathered)
    return step / (step + max(0, sums - overlap * step))


def main():
    step, megabytes, *network = map(float, sys.argv[1:])
    networks = [("as given", *network)] if network else NETWORKS
    print("| network | sums | " + " | ".join(f"{ranks} ranks" for ranks in RANKS) + " |")
    print("|---|---|" + "---|" * len(RANKS))
    for name, *costs in networks:
        for gathered in (False, True):
            shares = [efficiency(ranks, step, megabytes, *costs, gathered) for ranks in RANKS]
            cells = " | ".join(f"{100 * share:.0f} %" for share in shares)
            print(f"| {name} | {'--shards' if gathered else 'all-reduce'} | {cells} |")


if __name__ == "__main__":
    main()
