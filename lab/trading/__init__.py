"""Stand-ins of the trade distribution system's own programs, for the demo and for the tests.

None of this is the backend, the trade engine or ClickHouse: it is as much of each as monitoring can see. What is real
is what is shared: four Redis servers, a DuckDB file with its collector, HTTP, and the names and types of all metrics.
Each has switches to make it slow, leak, stall, fail or die: ``GET /control`` shows them, ``POST /control`` sets them.
"""
