"""A question to an MLflow server without MLflow, whose import takes seconds of a processor."""

import base64
import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request

SECONDS = 5.0


def is_fine(uri: str, experiment: str) -> bool:
    """Return whether the server at a http address answers, and the experiment was not deleted.

    False means that MLflow has to be asked, which says what is wrong, if anything is.
    """
    query = urllib.parse.urlencode({"experiment_name": experiment})
    address = f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/get-by-name?{query}"
    request = urllib.request.Request(address, headers=_credentials())
    try:
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return bool(json.load(answer)["experiment"]["lifecycle_stage"] == "active")
        except urllib.error.HTTPError as error:
            with error:
                return bool(json.load(error)["error_code"] == "RESOURCE_DOES_NOT_EXIST")
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return False


def _credentials() -> dict[str, str]:
    """Return the header with what MLflow's own client would send, of its environment."""
    user = os.environ.get("MLFLOW_TRACKING_USERNAME")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if user and password:
        pair = base64.b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    return {}
