# A process that is started before its function is known.

# Modules of the standard library that functions, logging and error reports need,
# and in which nothing depends on the environment, the time or on chance.
_ORDINARY = ("base64", "collections.abc", "contextlib", "datetime", "io", "json", "re", "string", "threading", "traceback",
             "warnings", "weakref")


def _import_ordinary():
    """Imports them, and gives what is still to be called in children of this process.

    The module threading has every child forget its parent's threads and locks. Of a
    process that has one thread, as one has that others are forked from, there is nothing
    to forget, and that takes a seventh of all that such a child does before its first
    event.
    """
    kept, register = [], os.register_at_fork

    def keep(**hooks):
        hook = hooks.get("after_in_child")
        if len(hooks) == 1 and getattr(hook, "__module__", None) == "threading":
            kept.append(hook)
        else:
            register(**hooks)

    os.register_at_fork = keep
    try:
        for name in _ORDINARY:
            __import__(name)
    finally:
        os.register_at_fork = register
    return kept


# Where the node's program is that forks, in a process that is to be forked.
_TEMPLATE_FD = 4

# After so many the interpreter changes nothing more in the code that it runs, which is
# shared with forked processes for as long as they do not, either.
_REHEARSALS = 40


def _wait_for_function(path):
    """Gets ready, waits to be told the function, and becomes its process."""
    known = set(sys.modules)
    _configure()
    after_fork = _import_ordinary()
    compile("0", "", "exec")  # sets the compiler up, for the handler
    _fork_if_asked()
    for hook in after_fork:
        os.register_at_fork(after_in_child=hook)
    _rehearse()
    ready = set(sys.modules) - known
    api = _Api(path)
    # The node reads a connection quickly for as long as nothing is said on it but
    # invocations, so the question has one of its own.
    asking = _Api(path)
    _become(asking.function()["environment"])
    asking.close()
    if _shadows(ready):
        for name in ready:
            del sys.modules[name]
    return api


def _fork_if_asked():
    """Has sandboxes forked from here, if this process was started for that.

    It returns in each of them, as if it had been started there.
    """
    try:
        os.fstat(_TEMPLATE_FD)
    except OSError:
        return
    with open(_TEMPLATE_FD) as f:
        source = f.read()
    for _ in range(_REHEARSALS):
        _rehearse()
    exec(compile(source, "template", "exec"), {"__name__": "template", "rehearse": _rehearse_all})


def _rehearse_all():
    """What a process does from here to its first answer, as far as that can be without a function.

    It is for a process that nobody uses afterwards.
    """
    _rehearse()
    _become({**_ENV, **{"_%d" % i: "" for i in range(20)}, "LAMBDA_TASK_ROOT": "/"})
    _configure()
    _own_places()
    _find_handler("colorsys.rgb_to_hsv")  # of the standard library, and not imported above
    names = {}
    exec(compile("def handler(event, context):\n    return event\n", "handler", "exec"), names)
    api = _Api(None, _Stage())
    headers, body = api.next()
    _answer(api, names["handler"], headers, body, None)


def _become(env):
    """Has the process look as if it had been started with env."""
    zone = _ENV.get("TZ")
    # What the platform has not given and will not give: the sandbox's home, and
    # the interpreter's choice of a locale (PEP 538).
    kept = {name: _ENV[name] for name in ("HOME", "LC_CTYPE") if name in _ENV and name not in env}
    _ENV.clear()
    _ENV.update(env)
    _ENV.update(kept)
    if _ENV.get("TZ") != zone:
        time.tzset()
    os.chdir(_ENV["LAMBDA_TASK_ROOT"])


def _shadows(ready):
    """Whether the function has a module of its own by a name among those ready.

    Its directories come before the standard library's, so it is the function's
    module that an import has to find.
    """
    names = {name.partition(".")[0] for name in ready}
    for place in _own_places():
        try:
            entries = os.listdir(place)
        except OSError:
            continue
        if not names.isdisjoint([entry.partition(".")[0] for entry in entries]):
            return True
    return False
