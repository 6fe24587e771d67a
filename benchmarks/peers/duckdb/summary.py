"""DuckDB's SUMMARIZE of a table that was read from a Parquet file."""

import sys

import duckdb
from meter import metered, report

if __name__ == "__main__":
    connection = duckdb.connect()
    with metered("read_"):
        connection.execute("CREATE TABLE orders AS SELECT * FROM read_parquet(?)", [sys.argv[1]])
    with metered():
        lines = connection.execute("SUMMARIZE orders").fetchall()
        names = [column[0] for column in connection.description]
    report(rows=lines[0][names.index("count")], columns=len(lines))
