# JSON, with no more of the json module than its C half.

_SCALARS = frozenset((str, int, float, bool, type(None)))

# Stands before a number that must not become a string: a Decimal. It cannot be
# guessed, so no string of the function begins with it. See _configure.
_RAW = None


class _ScannerContext:
    strict = True
    object_hook = object_pairs_hook = array_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}.__getitem__
    memo = {}


def _make_loads():
    try:
        scan = _json.make_scanner(_ScannerContext)
    except (AttributeError, TypeError):  # another Python's idea of a scanner
        scan = None

    def loads(raw):
        if scan is not None:
            try:
                text = str(raw, "utf-8").strip(" \t\n\r")
                value, end = scan(text, 0)
                if end == len(text):
                    return value
            except Exception:
                pass  # for the exact error, below
        import json

        return json.loads(raw)

    return loads


_loads = _make_loads()


def _default(o):
    """JSON for what the encoder does not know; as simplejson has it."""
    if isinstance(o, bytes):
        return o.decode("utf-8")
    decimal = sys.modules.get("decimal")
    if decimal is not None and isinstance(o, decimal.Decimal):
        return float("nan") if o.is_nan() else _RAW + str(o)
    as_dict = getattr(o, "_asdict", None)
    if as_dict is not None:
        return as_dict()
    raise TypeError("Object of type %s is not JSON serializable" % o.__class__.__name__)


def _make_encode():
    # From Python 3.12 on, AWS's runtime leaves characters beyond ASCII as they are.
    name = _ENV.get("AWS_EXECUTION_ENV", "").rpartition("python3.")[2]
    ascii_only = not (name.isdigit() and int(name) >= 12)
    markers = {}
    try:
        quote = _json.encode_basestring_ascii if ascii_only else _json.encode_basestring
        encode = _json.make_encoder(markers, _default, quote, None, ": ", ", ", False, False, True)
        encode(None, 0)
    except (AttributeError, TypeError):  # another Python's idea of an encoder
        import json

        return json.JSONEncoder(ensure_ascii=ascii_only, default=_default).encode

    def dumps(o):
        try:
            return "".join(encode(o, 0))
        finally:
            markers.clear()

    return dumps


_encode = None  # see _configure


def _dumps(o):
    if type(o) not in _SCALARS and _has_named_tuple(o):
        o = _without_named_tuples(o, set())
    text = _encode(o)
    if _RAW in text:
        first, *rest = text.split('"' + _RAW)
        text = first + "".join(part.replace('"', "", 1) for part in rest)
    return text


def _has_named_tuple(o):
    """Looks for tuples that become objects. The encoder would make them arrays."""
    todo, seen = [o], set()
    while todo:
        o = todo.pop()
        if isinstance(o, dict):
            values = o.values()
        elif isinstance(o, (list, tuple)):
            if hasattr(o, "_asdict"):
                return True
            values = o
        else:
            continue
        if id(o) in seen:
            continue
        seen.add(id(o))
        if not _SCALARS.issuperset(map(type, values)):
            todo.extend([v for v in values if type(v) not in _SCALARS])
    return False


def _without_named_tuples(o, active):
    if not isinstance(o, (dict, list, tuple)):
        return o
    if id(o) in active:
        raise ValueError("Circular reference detected")
    active.add(id(o))
    try:
        if hasattr(o, "_asdict"):
            o = o._asdict()
        if isinstance(o, dict):
            return {k: _without_named_tuples(v, active) for k, v in o.items()}
        return [_without_named_tuples(v, active) for v in o]
    finally:
        active.discard(id(o))
