"""Whether a state fits a stream."""

from typing import Any

from ..errors import StateError

STATE_VERSION = 1
KINDS = {"data": "a mixture, not of one stream", "by": "one stream, not of a mixture"}  # what lacks these
CONTENT = ("records", "shards")  # of an identity, what may change between two epochs


def check_state(state: object, identity: dict[str, Any], records: int) -> None:
    """Refuse a state that leads elsewhere.

    Args:
        state: of some stream.
        identity: of the stream that shall go on from it.
        records: of its epoch.

    Raises:
        StateError: it is of another version, data set, order or seed; the message says what differs.
    """
    if not isinstance(state, dict):
        raise StateError(f"stream state: {state!r} is none; it is what state_dict() gave")
    if state.get("version") != STATE_VERSION:
        raise StateError(f"stream state of version {state.get('version')!r}; this Tessera has {STATE_VERSION}")
    numbers = state.get("epoch"), state.get("position")
    whole = all(type(number) is int and number >= 0 for number in numbers)
    if not whole or state["position"] > records:
        raise StateError(
            f"stream state: epoch {numbers[0]!r}, position {numbers[1]!r} of {records} records: there is no such place"
        )
    between = not state["position"] and ("by" not in identity or not state["epoch"])
    exempt = CONTENT if between else ()  # a data set may grow between its epochs; a mixture's are amid its streams'
    for name, value in identity.items():
        if name not in exempt and not _same(state.get(name), value, exempt):
            if name not in state and name in KINDS:
                raise StateError(f"stream state: it is that of {KINDS[name]}")
            was = f"stream state: {name} was {state.get(name)!r}, this stream's is {value!r}"
            raise StateError(f"{was}; give it the data, order and seed that it was taken with, or begin anew")


def _same(old: Any, new: Any, exempt: tuple[str, ...]) -> bool:
    """Whether two identities are the same, but for what is exempt."""
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(_same(a, b, exempt) for a, b in zip(old, new, strict=True))
    if isinstance(old, dict) and isinstance(new, dict):
        names = {*old, *new}.difference(exempt)
        return all(_same(old.get(name), new.get(name), exempt) for name in names)
    return bool(old == new)
