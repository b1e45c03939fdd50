"""What an S3 server's error means: which ones pass, and which ones wait for a person.

Servers name their errors by code. Those listed here come back for every request until somebody
corrects keys, bucket or clock: trying again only hides them. All others may pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType

from lerobot_pipelines.errors import PipelineError, StoreRejected, Transient
from lerobot_pipelines.storage.base import ObjectNotFound
from lerobot_pipelines.storage.names import shown

_KEYS = "the keys that storage.access_key_env and storage.secret_key_env (or AWS_*) point to"
_REGION = "set storage.region and storage.endpoint to those of the bucket"

# Code -> remedy, as the rest of a sentence. One entry per code that no retry mends.
REMEDIES = MappingProxyType(
    {
        "AccessDenied": "let the keys list, read and write below storage.url (s3:ListBucket, "
        "s3:GetObject, s3:PutObject, s3:DeleteObject)",
        "AccountProblem": "ask the store's provider about the account",
        "AllAccessDisabled": "ask the store's provider about the account",
        "AuthorizationHeaderMalformed": _REGION,
        "ExpiredToken": "get new temporary keys (log in again) and restart with them",
        "IllegalLocationConstraintException": _REGION,
        "InvalidAccessKeyId": f"the store does not know the access key; correct {_KEYS}",
        "InvalidBucketName": "correct the bucket's name in storage.url",
        "InvalidObjectState": "the object is archived; restore it from cold storage first",
        "InvalidToken": "get new temporary keys (log in again) and restart with them",
        "InvalidTokenId": "get new temporary keys (log in again) and restart with them",
        "MethodNotAllowed": "the store does not offer what is needed; see the docs on stores",
        "NoCredentials": f"there are no keys; set {_KEYS}",
        "NoSuchBucket": "create the bucket, or correct storage.url and storage.endpoint",
        "NotImplemented": "the store does not offer what is needed; see the docs on stores",
        "NotSignedUp": "ask the store's provider about the account",
        "PermanentRedirect": _REGION,
        "RequestTimeTooSkewed": "this machine's clock is wrong; set it (timedatectl set-ntp true)",
        "SignatureDoesNotMatch": f"the secret key is not that of the access key; correct {_KEYS}",
        "UserDisabled": "ask the store's administrator to enable the user of the keys",
    }
)

# In the server's answer, and as obstore quotes it for one of several objects to delete.
_CODE = re.compile(r"(?:<Code>\s*|\(code: )([A-Za-z0-9._-]{1,100})(?:\s*</Code>|\))")
_MESSAGE = re.compile(r"<Message>([^<]{0,300})</Message>")
_STATUS = re.compile(r"non-2xx status code: (\d{3})")
# Of answers to HEAD, which have no body to hold a code.
_ASKED_WHY = {"400", "401", "403"}


def code_of(error: BaseException) -> str | None:
    """The server's code for the fault, of obstore's errors and of boto3's; None if unknown."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        code = str(response.get("Error", {}).get("Code", ""))
        return None if not code or code.isdigit() else code
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
        return "NoCredentials"
    found = _CODE.search(str(error))
    return found[1] if found else None


def translated(
    error: BaseException, url: str, key: str, ask: Callable[[], BaseException | None]
) -> PipelineError:
    """The client's error as the project's.

    ``StoreRejected`` where no attempt helps until a person acts, ``ObjectNotFound``, else
    ``Transient``. ``ask`` repeats the request in a way whose answer names the fault, for answers
    that name none; it returns the error that it met, if any.
    """
    code = code_of(error)
    if code is None and _status_of(error) in _ASKED_WHY:
        error = ask() or error
        code = code_of(error)
        if code is None and _status_of(error) in ("401", "403"):
            code = "AccessDenied"
    if code is not None and code in REMEDIES:
        said = _said(error)
        return StoreRejected(
            f"{url}: {code}{f': {said}' if said else ''} ({shown(key)}); {REMEDIES[code]}",
            code=code,
        )
    if isinstance(error, FileNotFoundError) or code in ("NoSuchKey", "404"):
        return ObjectNotFound(f"there is no {shown(key)} in {url}")
    # The first line says it; the rest is the client's own data structures.
    cause = str(error).partition("\n")[0]
    return Transient(f"{url}: {f'{code}: ' if code else ''}{cause} ({shown(key)})")


def _status_of(error: BaseException) -> str | None:
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")) or None
    found = _STATUS.search(str(error).partition("\n")[0])
    return found[1] if found else None


def _said(error: BaseException) -> str:
    """The server's own sentence, on one line."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        text = str(response.get("Error", {}).get("Message", ""))
    else:
        found = _MESSAGE.search(str(error))
        text = found[1] if found else ""
    return " ".join(ascii(text)[1:-1].split())[:300]
