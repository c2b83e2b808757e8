#!/usr/bin/env python3
"""Enters one measured row into out/bench.json: record.py NAME VALUE UNIT LIMIT NOTE (LIMIT may be -)."""

import json
import pathlib
import sys


def main() -> None:
    name, value, unit, limit, note = sys.argv[1:]
    book = pathlib.Path("out/bench.json")
    rows = {row["name"]: row for row in json.loads(book.read_text())} if book.exists() else {}
    most = None if limit == "-" else float(limit)
    rows[name] = {
        "name": name,
        "value": float(value),
        "unit": unit,
        "limit": most,
        "better": "lower",
        "ok": most is None or float(value) <= most,
        "note": note,
    }
    book.parent.mkdir(exist_ok=True)
    book.write_text(json.dumps([rows[key] for key in sorted(rows)], indent=2) + "\n")


if __name__ == "__main__":
    main()
