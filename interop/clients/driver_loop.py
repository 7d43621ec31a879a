"""The loop of the Python drivers: one JSON request a line in, one JSON answer a line out."""

import json
import os
import sys
import traceback


class BrokerError(Exception):
    """An error code that the client library reported."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class NoMeans(Exception):
    """The client library cannot make this call."""


def no_means(reason):
    raise NoMeans(reason)


def serve(calls):
    """Answers requests until standard input ends. `calls` has a method for each call."""
    # What libraries print must not end up between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        request = json.loads(line)
        name = request.pop("call")
        call = getattr(calls, name, None) or (lambda **_: no_means(f"the driver has no {name}"))
        try:
            answer = {"result": call(**request)}
        except BrokerError as error:
            answer = {"error": error.code, "message": str(error)}
        except NoMeans as error:
            answer = {"unsupported": str(error)}
        except Exception:
            answer = {"failed": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def encoded(text):
    return None if text is None else text.encode()


def decoded(data):
    return None if data is None else bytes(data).decode()


def record_json(offset, timestamp, key, value, headers):
    return {
        "offset": offset,
        "timestamp": timestamp,
        "key": decoded(key),
        "value": decoded(value),
        "headers": [[name, decoded(value)] for name, value in headers or []],
    }
