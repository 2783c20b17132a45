# A runtime client that, as AWS's own, knows the Runtime API by the variable alone.
import http.client, importlib, json, os, sys

api = os.environ["AWS_LAMBDA_RUNTIME_API"]
sys.path[:0] = [os.environ["LAMBDA_TASK_ROOT"], "/opt/python"]
module, function = os.environ["_HANDLER"].rsplit(".", 1)
connection = http.client.HTTPConnection(api)


def ask(method, path, body=None):
    connection.request(method, "/2018-06-01/runtime" + path, body)
    response = connection.getresponse()
    return response, response.read()


try:
    handler = getattr(importlib.import_module(module), function)
except Exception as e:
    ask("POST", "/init/error", json.dumps({"errorType": "Runtime.ImportModuleError", "errorMessage": str(e)}))
    sys.exit(1)
while True:
    response, event = ask("GET", "/invocation/next")
    path = "/invocation/" + response.headers["Lambda-Runtime-Aws-Request-Id"]
    try:
        answer = json.dumps(handler(json.loads(event or b"null"), response.headers))
    except Exception as e:
        ask("POST", path + "/error", json.dumps({"errorType": type(e).__name__, "errorMessage": str(e)}))
        continue
    ask("POST", path + "/response", answer)
