# A client of AWS in Python, as clients_test.go drives it: a request from each line
# of the input, an answer to a line of the output.
import base64, json, os, sys

import botocore
import botocore.config
import botocore.exceptions
try:
    import boto3
    session = boto3.session.Session()
except ImportError:
    import botocore.session
    session = botocore.session.get_session()

make = getattr(session, "client", None) or session.create_client


def client_of(service):
    return make(service, endpoint_url=os.environ["ENDPOINT"], region_name="us-east-1",
                config=botocore.config.Config(retries={"max_attempts": 0}))


client = client_of("lambda")
methods = {api: method for method, api in client.meta.method_to_api_mapping.items()}
BLOBS = ("ZipFile", "Payload", "InvokeArgs")


def request(value):
    if isinstance(value, dict):
        return {k: base64.b64decode(v) if k in BLOBS else request(v) for k, v in value.items()}
    return value


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k != "ResponseMetadata"}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if hasattr(value, "read"):
        return base64.b64encode(value.read()).decode()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


def stream(out):
    got = {"ExecutedVersion": out.get("ExecutedVersion")}
    payload = b""
    for event in out["EventStream"]:
        payload += event.get("PayloadChunk", {}).get("Payload", b"")
        if "InvokeComplete" in event:
            got["Complete"] = True
            got["ErrorCode"] = event["InvokeComplete"].get("ErrorCode", "")
    got["Payload"] = base64.b64encode(payload).decode()
    return got


def snake(waiter):
    return botocore.xform_name(waiter)


def serve(line):
    want = json.loads(line)
    given = request(want["in"])
    if "service" in want:
        getattr(client_of(want["service"]), want["method"])(**given)
        return {}
    if "wait" in want:
        if snake(want["wait"]) not in client.waiter_names:
            return {"Unknown": "the waiter " + want["wait"]}
        client.get_waiter(snake(want["wait"])).wait(WaiterConfig={"Delay": 1, "MaxAttempts": 60}, **given)
        return {}
    if "pages" in want:
        method = methods.get(want["pages"])
        if method is None or not client.can_paginate(method):
            return {"Unknown": "the paginator of " + want["pages"]}
        lengths, all = [], []
        for page in client.get_paginator(method).paginate(PaginationConfig={"PageSize": want["size"]}, **given):
            lengths.append(len(page[want["list"]]))
            all += plain(page[want["list"]])
        return {"Lengths": lengths, "All": all}
    method = methods.get(want["op"])
    if method is None:
        return {"Unknown": "the operation " + want["op"]}
    out = getattr(client, method)(**given)
    if "EventStream" in out:
        return {"Out": stream(out)}
    return {"Out": plain(out)}


for line in sys.stdin:
    try:
        answer = serve(line)
    except botocore.exceptions.ClientError as e:
        answer = {"Code": e.response["Error"]["Code"], "Text": e.response["Error"].get("Message", ""),
                  "Status": e.response["ResponseMetadata"]["HTTPStatusCode"]}
    except botocore.exceptions.WaiterError as e:
        answer = {"Code": "waiter", "Text": str(e)}
    except botocore.exceptions.ParamValidationError as e:
        if "Unknown parameter" not in str(e):
            raise
        answer = {"Unknown": str(e).replace("\n", " ")}
    print(json.dumps(answer), flush=True)
