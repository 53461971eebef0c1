"""Dataclasses that are compared and hashed as values, once for each object."""

import dataclasses
import functools
from typing import Any


class Value:
    """A frozen dataclass, declared with ``eq=False``, whose hash is computed once."""

    @functools.cached_property
    def _key(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in dataclasses.fields(self))  # type: ignore

    @functools.cached_property
    def _hash(self) -> int:
        return hash((type(self), self._key))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other) or hash(self) != hash(other):
            return False
        return self._key == other._key  # type: ignore[attr-defined]

    def __getstate__(self) -> dict[str, Any]:
        # Hashes differ from process to process: a cached one must not be pickled.
        return {k: v for k, v in self.__dict__.items() if k not in ("_hash", "_key")}
