"""Usage: python -m sweeps NAME SIZE [--seed SEED]        Prints what was looked at; exits 1 if anything was wrong."""

import argparse
import sys
import time

from sweeps import load, names


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sweeps", description="One sweep over random cases.")
    parser.add_argument("name", choices=names())
    parser.add_argument("size", type=int)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    began = time.monotonic()
    result = load(chosen.name).run(chosen.size, chosen.seed)
    print(result.text)
    print(f"{len(result.mismatches)} mismatches, {time.monotonic() - began:.0f} s")
    print(*result.mismatches[:20], sep="\n")
    return 0 if result.cases and not result.mismatches else 1


if __name__ == "__main__":
    sys.exit(main())
