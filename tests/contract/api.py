"""A backend and a device, which compare every answer with the documents."""

import contextlib
import dataclasses
import json
import secrets
import time

import requests
from jwcrypto import jwe, jwk, jwt
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from documents import ASYNCAPI, ELSEWHERE, OPENAPI
from twin import DEADLINE, Twin

APP = "demo"


@dataclasses.dataclass
class Answer:
    """An answer, and its name in the document."""

    name: str
    status: int
    headers: dict
    value: object


class Api:
    """The HTTP API of a twin. It records the names of the answers that were seen, and their fields."""

    def __init__(self, twin: Twin):
        self.twin = twin
        self.seen: set[str] = set()
        self.fields: set[str] = set()

    def call(self, method: str, path: str, body=None, *, bearer: str | None = "", headers=None) -> Answer:
        """Sends a request, as the demo app unless another key is given. A body that is no text is sent as JSON."""
        headers = dict(headers or {})
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer or self.twin.key}"
        data = body if body is None or isinstance(body, str) else json.dumps(body)
        if data is not None:
            headers["Content-Type"] = "application/json"
        response = requests.request(
            method, f"{self.twin.api_url}{path}", data=data, headers=headers, timeout=DEADLINE, allow_redirects=False
        )
        operation = OPENAPI.operation(method, path)
        name = OPENAPI.check(operation, response.status_code, response.headers, response.content)
        self.seen.add(name)
        value = response.json() if "json" in response.headers.get("content-type", "") else None
        if response.ok and operation != ELSEWHERE:
            if isinstance(body, dict):
                errors = OPENAPI.request_errors(operation, body)
                assert not errors, f"accepted, though the document refuses it: {body}: {errors}"
            if value is not None:
                self.fields |= OPENAPI.fields_of(operation, response.status_code, value)
        return Answer(name, response.status_code, dict(response.headers), value)

    def register(self, alias: str, **fields) -> "Device":
        body = {"appId": APP, "alias": alias, "platform": "WEB", "nativeToken": secrets.token_hex(8), **fields}
        answer = self.call("POST", "/v1/devices", body)
        assert answer.status in (200, 201), answer
        return Device(self, answer.value)

    def send(self, *aliases: str, headers=None, **fields) -> str:
        body = {"audiences": list(aliases), "alert": "Hello", **fields}
        answer = self.call("POST", "/v1/messages", body, headers=headers)
        assert answer.status == 202, answer
        return answer.value["requestId"]

    def announce(self, headers=None, **fields) -> dict:
        answer = self.call("POST", "/v1/announcements", {"alert": "Hello", **fields}, headers=headers)
        assert answer.status == 202, answer
        return answer.value

    def trail(self, message: str) -> dict:
        answer = self.call("GET", f"/v1/messages/{message}")
        assert answer.status == 200, answer
        return answer.value


class Device:
    """A registered device."""

    def __init__(self, api: Api, registered: dict):
        self.api, self.id = api, registered["id"]
        self.content = jwk.JWK(**registered["keys"]["content"])
        self.signer = jwk.JWK(**registered["keys"]["token"])

    def token(self, **claims) -> str:
        now = int(time.time())
        header = {"alg": "HS256", "kid": self.signer.get("kid"), "typ": "JWT"}
        claims = {"sub": self.id, "aud": "tidings", "iat": now, "exp": now + 60, "jti": secrets.token_hex(16), **claims}
        for name, value in (("ConnectTokenHeader", header), ("ConnectTokenClaims", claims)):
            errors = ASYNCAPI.errors({"$ref": f"#/components/schemas/{name}"}, value, strict=True)
            assert not errors, errors
        token = jwt.JWT(header=header, claims=claims)
        token.make_signed_token(self.signer)
        return token.serialize()

    def open(self, frame: str) -> dict:
        """Opens a frame, and compares its header with the document."""
        opened = jwe.JWE(algs=["dir", "A256CBC-HS512"])
        opened.deserialize(frame, self.content)
        errors = ASYNCAPI.errors({"$ref": "#/components/schemas/SealedHeader"}, opened.jose_header, strict=True)
        assert not errors, errors
        assert opened.jose_header["kid"] == self.content.get("kid")
        return json.loads(opened.payload)


class Refused(Exception):
    """An upgrade that was refused."""

    def __init__(self, status: int):
        super().__init__(f"refused with {status}")
        self.status = status


class Socket:
    """A device's socket. It records what is sent and received with the API that registered the device."""

    def __init__(self, device: Device, *, token: str | None = "", query: str = "", beside: bool = True):
        self.device, self.stack = device, contextlib.ExitStack()
        token = device.token() if token == "" else token
        url = f"{device.api.twin.socket_url}?deviceId={device.id}{query}"
        subprotocols = ["tidings.v1", token] if beside and token else None
        try:
            self.socket = self.stack.enter_context(
                connect(url, subprotocols=subprotocols, compression=None, max_size=None, close_timeout=DEADLINE)
            )
        except InvalidStatus as refused:
            status = refused.response.status_code
            documented = ASYNCAPI.upgrade.get(str(status))
            assert documented, f"an upgrade that is answered with {status} is not in the document"
            errors = ASYNCAPI.errors(documented["payload"], json.loads(refused.response.body), strict=True)
            assert not errors, errors
            self.note(f"upgrade {status}")
            raise Refused(status) from refused
        self.note("upgrade 101")
        assert self.socket.subprotocol == ("tidings.v1" if subprotocols else None)

    def note(self, name: str, schema: dict | None = None, value=None):
        self.device.api.seen.add(name)
        if schema is not None:
            self.device.api.fields |= ASYNCAPI.fields(schema, value)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def send(self, **action):
        """Sends an action that the document has."""
        name = ASYNCAPI.which(ASYNCAPI.actions(), action)
        self.note(name, ASYNCAPI.schema(name), action)
        self.socket.send(json.dumps(action))

    def send_wrong(self, text: str):
        """Sends a text that the document does not have."""
        try:
            value = json.loads(text)
        except ValueError:
            value = None
        fits = [name for name in ASYNCAPI.actions() if not ASYNCAPI.errors(ASYNCAPI.schema(name), value)]
        assert not fits, f"{text[:100]} is the document's {fits}"
        self.socket.send(text)

    def frame(self) -> tuple[str, dict]:
        """The next frame: its name and its content."""
        text = self.socket.recv(timeout=DEADLINE)
        assert isinstance(text, str), "frames are text"
        if text.startswith("{"):
            value = json.loads(text)
            name = ASYNCAPI.which(ASYNCAPI.in_clear(), value)
        else:
            self.note(ASYNCAPI.which({"sealed"}, text))
            value = self.device.open(text)
            name = ASYNCAPI.which(ASYNCAPI.opened(), value)
            assert value["deviceId"] == self.device.id
        self.note(f"error {value['code']}" if name == "error" else name, ASYNCAPI.schema(name), value)
        return name, value

    def expect(self, name: str) -> dict:
        came, value = self.frame()
        assert came == name, f"{name} was expected: {value}"
        return value

    def end(self) -> int:
        """Reads until the socket is closed; its code."""
        try:
            while True:
                self.frame()
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, "closed without a code"
            code = closed.rcvd.code
        assert str(code) in ASYNCAPI.close, f"the close code {code} is not in the document"
        self.note(f"close {code}")
        return code
