"""Names and rows of stores."""

import pyarrow as pa

from neuropile import layout

KEYS = ["test/session-0", "test/session-1", "test/session-2"]


def row_of(session_id: str, **changes) -> pa.Table:
    return pa.Table.from_pylist([{"dataset": "d", "session_id": session_id, "status": "complete", **changes}], schema=layout.SESSION_SCHEMA)


def unit_rows(session_id: str, *unit_ids: str) -> pa.Table:
    return pa.Table.from_pylist([{"dataset": "d", "session_id": session_id, "unit_id": u} for u in unit_ids], schema=layout.UNIT_SCHEMA)
