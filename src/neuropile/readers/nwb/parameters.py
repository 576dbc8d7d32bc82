"""Columns of stimulus tables as the numbers, truth values and words they stand for, a whole column at a time."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

#: Texts that stand for nothing, where a column had to be text because some rows had no value.
NOTHING = ("", "null", "nan", "n/a", "none")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_PAIR = rf"^[\[(]\s*(?P<a>{_NUMBER})\s*,\s*(?P<b>{_NUMBER})\s*[\])]$"
#: Whole numbers beyond this are not all told apart by a 64-bit float.
_LARGEST_WHOLE = 2.0**53

#: Our columns of numbers, and the names, in lower case, that stimulus tables give them. Allen's two datasets differ in
#: the order of the words. Dots' speed has no unit in any file, so ours names none.
NUMBERS = {
    "orientation_deg": ("orientation", "ori"),
    "direction_deg": ("dir", "direction"),
    "temporal_frequency_hz": ("temporal_frequency", "tf"),
    "spatial_frequency_cpd": ("spatial_frequency", "sf"),
    "phase": ("phase",),
    "contrast": ("contrast",),
    "speed": ("speed",),
    "x_position_deg": ("x_position", "position_x", "pos_x"),
    "y_position_deg": ("y_position", "position_y", "pos_y"),
    "colour": ("color", "colour"),
}
WORDS = {"image_name": ("image_name",), "image_set": ("image_set",)}
TRUTHS = {"is_omitted": ("omitted",), "is_change": ("is_change",), "is_sham_change": ("is_sham_change",), "is_active": ("active",)}
#: What the image of an omission is called.
OMITTED = "omitted"


def numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """(row,) float64: numbers and texts that are numbers; null for whatever is not one finite number (`null`, `[8.0,8.0]`, an empty text)."""
    kind = column.type
    if pa.types.is_string(kind):
        text = _plain(column)
        found = _only(text, pc.match_substring_regex(text, rf"^{_NUMBER}$"))
        found = pc.replace_substring_regex(found, r"^\+", "").cast(pa.float64())
    elif pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        found = column.cast(pa.float64(), safe=False)
    else:
        return pa.chunked_array([pa.nulls(len(column), pa.float64())])
    return _only(found, pc.is_finite(found))


def wholes(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """(row,) int64: the numbers that are whole, null for others."""
    found = numbers(column)
    whole = pc.and_(pc.equal(pc.floor(found), found), pc.less(pc.abs(found), _LARGEST_WHOLE))
    return _only(found, whole).cast(pa.int64())


def truths(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """(row,) bool however it is stored: as truth, as 1.0 and 0.0 (which is how a null fits in), or in words."""
    if pa.types.is_boolean(column.type):
        return column
    if pa.types.is_string(column.type):
        text = _plain(column)
        text = pc.if_else(pc.equal(text, "true"), "1", pc.if_else(pc.equal(text, "false"), "0", text))
        column = pa.chunked_array([text]) if isinstance(text, pa.Array) else text
    return pc.not_equal(numbers(column), 0.0)


def words(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """(row,) text, null for what stands for nothing; numbers are no words."""
    if not pa.types.is_string(column.type):
        return pa.chunked_array([pa.nulls(len(column), pa.string())])
    return _only(column, pc.invert(pc.is_in(_plain(column), pa.array(NOTHING))))


def equal_pairs(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """(row,) float64: numbers, and pairs of a number with itself, which is how the width and height of a square are stored."""
    if not pa.types.is_string(column.type):
        return numbers(column)
    both = pc.extract_regex(_plain(column), _PAIR)
    a, b = (numbers(pc.struct_field(both, name)) for name in ("a", "b"))
    return pc.coalesce(numbers(column), _only(a, pc.equal(a, b)))


def _plain(text: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.utf8_lower(pc.utf8_trim_whitespace(text))


def _only(values: pa.ChunkedArray, where: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values where a condition holds, null elsewhere."""
    return pc.if_else(pc.fill_null(where, False), values, pa.scalar(None, values.type))
