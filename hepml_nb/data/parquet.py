"""Arrays of records as the bytes of a Parquet file, and back."""

from __future__ import annotations

import io
from typing import Any

__all__ = ["from_parquet_bytes", "parquet_bytes"]


def parquet_bytes(array: Any) -> bytes:
    """Return the Parquet file of an array, compressed well: bytes of floats grouped by significance, then zstd."""
    import awkward as ak
    import pyarrow.parquet as pq

    table = ak.to_arrow_table(array, extensionarray=False, list_to32=True)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=15, use_dictionary=False,
                   use_byte_stream_split=_float_columns(table.schema), write_statistics=False)  # fmt: skip
    return buffer.getvalue()


def _float_columns(schema: Any) -> list[str]:
    """Return the dotted Parquet paths of all float columns."""
    import pyarrow as pa

    def walk(prefix: str, kind: Any) -> list[str]:
        if pa.types.is_struct(kind):
            return [path for leaf in kind for path in walk(f"{prefix}.{leaf.name}", leaf.type)]
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return walk(f"{prefix}.list.element", kind.value_type)
        return [prefix] if pa.types.is_floating(kind) else []

    return [path for leaf in schema for path in walk(leaf.name, leaf.type)]


def from_parquet_bytes(content: bytes) -> Any:
    """Return the array of a Parquet file's bytes."""
    import awkward as ak
    import pyarrow.parquet as pq

    return ak.from_arrow(pq.read_table(io.BytesIO(content)))
