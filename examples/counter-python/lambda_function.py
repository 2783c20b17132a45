"""Counts in a global and in a file: both belong to one tenant's environments.

    alcove deploy examples/counter-python --name counter --tenant-isolation
    alcove invoke counter --tenant blue
    alcove invoke counter --tenant green
    alcove logs counter --tenant blue
"""
import os
import tempfile

NOTES = os.path.join(tempfile.gettempdir(), "notes.txt")
count = 0


def lambda_handler(event, context):
    global count
    count += 1
    with open(NOTES, "a") as f:
        f.write("%s was here, call %d\n" % (context.tenant_id, count))
    with open(NOTES) as f:
        notes = f.read().splitlines()
    print("call %d for tenant %s" % (count, context.tenant_id))
    return {"tenant": context.tenant_id, "count": count, "notes": notes}
