from collections.abc import Sequence
from typing import TypeAlias

Stamps: TypeAlias = bytes  # int64: microseconds from 1970 on
Words: TypeAlias = tuple[bytes, bytes]  # strings: int32 offsets, letters (ASCII)
Numbers: TypeAlias = tuple[bytes, bytes]  # nullable float64: validity bits, values
Arrays: TypeAlias = tuple[bytes, bytes, Words, Numbers]  # nullable lists of pairs: validity, int32 offsets, the pairs

def read(
    texts: Sequence[bytes | memoryview], scalars: Sequence[bytes], arrays: Sequence[bytes]
) -> tuple[list[int | None], Stamps, list[Numbers | Arrays | None]]: ...
