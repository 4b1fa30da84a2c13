"""The two documents, and whether an answer or a frame conforms to them.

Answers are compared with a stricter copy: a field that the document does not name is refused, so that none is missing.
"""

import copy
import json
import pathlib
import re

import jsonschema
import referencing
import referencing.jsonschema
import yaml

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

PROBLEM, JSON = "application/problem+json", "application/json"

# The key of an object that the document has beside what OpenAPI itself knows: answers at any other path or method.
ELSEWHERE = "elsewhere"

# Headers that the service sets. The document names each answer that has one.
OWN_HEADERS = {"allow", "cache-control", "idempotency-replay", "location", "retry-after", "www-authenticate"}


class Loader(yaml.SafeLoader):
    """YAML in which a duplicate key is an error: the first one would be lost silently."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate keys: {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


def load(name: str) -> dict:
    return yaml.load((REPOSITORY / "docs" / name).read_text(encoding="utf-8"), Loader)


def closed(node):
    """A copy in which an object has no fields but those that are named."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    copied = {key: closed(value) for key, value in node.items()}
    if node.get("type") == "object" and "properties" in node:
        copied.setdefault("additionalProperties", False)
    return copied


class Document:
    """A document whose schemas can be used by their place in it."""

    def __init__(self, name: str, draft):
        self.name, self.draft = name, draft
        self.content = load(name)
        specification = referencing.jsonschema.specification_with(draft.META_SCHEMA["$schema"])
        contents = {f"{name}": self.content, f"{name}:closed": closed(self.content)}
        resources = {f"urn:{key}": specification.create_resource(value) for key, value in contents.items()}
        self.registry = referencing.Registry().with_resources(resources.items())

    def at(self, place: str):
        """The node at a path, references followed."""
        node = self.content
        for part in place.strip("/").split("/"):
            node = self.follow(node)[part.replace("~1", "/").replace("~0", "~")]
        return self.follow(node)

    def follow(self, node):
        """The target of a reference. A description may be beside it; draft 7 has it in an `allOf` then."""
        while isinstance(node, dict) and set(node) <= {"$ref", "allOf", "description", "default"}:
            whole = node.get("allOf", [])
            reference = node.get("$ref") or (whole[0].get("$ref") if len(whole) == 1 else None)
            if reference is None:
                break
            node = self.at(reference.removeprefix("#"))
        return node

    def errors(self, schema: dict, value, strict: bool = False) -> list[str]:
        """What is wrong with a value by a schema of this document."""
        base = f"urn:{self.name}" + (":closed" if strict else "")
        schema = closed(schema) if strict else copy.deepcopy(schema)
        # References in it begin at the document.
        schema = json.loads(re.sub(r'"\$ref": "#', f'"$ref": "{base}#', json.dumps(schema)))
        validator = self.draft(schema, registry=self.registry, format_checker=self.draft.FORMAT_CHECKER)
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    def fields(self, schema: dict, value, name: str = "") -> set[str]:
        """The fields that a value has, by the named schema that each belongs to: `Trail.sendAt`."""
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[-1]
            return self.fields(self.at(schema["$ref"].removeprefix("#")), value, name)
        found = set()
        chosen = [part for part in schema.get("oneOf", []) if not self.errors(part, value)]
        for part in [*schema.get("allOf", []), *chosen]:
            found |= self.fields(part, value, name)
        if isinstance(value, dict):
            for field, inner in schema.get("properties", {}).items():
                if field in value and isinstance(inner, dict):
                    found |= {f"{name}.{field}"} | self.fields(inner, value[field], name)
        if isinstance(value, list):
            for item in value:
                found |= self.fields(schema.get("items", {}), item, name)
        return found

    def named_fields(self, schema: dict, name: str = "", seen: frozenset = frozenset()) -> set[str]:
        """Every field that a schema names, in the same way."""
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[-1]
            return set() if name in seen else self.named_fields(self.follow(schema), name, seen | {name})
        found = set()
        parts = [*schema.get("allOf", []), *schema.get("oneOf", []), *filter(None, [schema.get("items")])]
        for part in parts:
            found |= self.named_fields(part, name, seen)
        for field, inner in schema.get("properties", {}).items():
            found |= {f"{name}.{field}"} | (self.named_fields(inner, name, seen) if isinstance(inner, dict) else set())
        return found


class OpenApi(Document):
    """What the HTTP API answers, each answer under a name: `POST /v1/devices 400 not_json`."""

    METHODS = ("get", "post", "delete", "put", "patch")

    def __init__(self):
        super().__init__("openapi.yaml", jsonschema.Draft202012Validator)

    def operations(self) -> dict[str, dict]:
        return {
            f"{method.upper()} {path}": operation
            for path, item in self.content["paths"].items()
            for method, operation in item.items()
            if method in self.METHODS
        }

    def operation(self, method: str, path: str) -> str:
        """The name of the operation that a request asks for."""
        for name in self.operations():
            known, template = name.split(" ", 1)
            if known == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path.split("?")[0]):
                return name
        return ELSEWHERE

    def responses(self, operation: str) -> dict[str, dict]:
        found = self.content["x-elsewhere"] if operation == ELSEWHERE else self.operations()[operation]["responses"]
        return {status: self.follow(response) for status, response in found.items()}

    def answers(self) -> set[str]:
        """The name of every answer that the document has."""
        names = set()
        for operation in [*self.operations(), ELSEWHERE]:
            for status, response in self.responses(operation).items():
                for media in response.get("content", {"": None}):
                    if media == PROBLEM:
                        codes = response["content"][media]["schema"]["allOf"][1]["properties"]["code"]["enum"]
                        names |= {f"{operation} {status} {code}" for code in codes}
                    else:
                        names.add(f"{operation} {status}" + (" gateway" if self.is_gateway(response, media) else ""))
        return names

    def is_gateway(self, response: dict, media: str) -> bool:
        return media == JSON and response["content"][media]["schema"] == {"$ref": "#/components/schemas/GatewayAnswer"}

    def check(self, operation: str, status: int, headers, body: bytes) -> str:
        """The name of an answer; an error if the document has no such answer."""
        responses = self.responses(operation)
        key = str(status) if str(status) in responses else "default"
        shown = f"{operation}: {status} {headers.get('content-type')} {body[:300]!r}"
        assert key in responses, f"not in the document: {shown}"
        response = responses[key]
        media = headers.get("content-type", "").split(";")[0]
        if "content" not in response:
            assert not body, f"a body that is not in the document: {shown}"
            name = f"{operation} {key}"
        else:
            assert media in response["content"], f"a type that is not in the document: {shown}"
            value = json.loads(body) if media.endswith("json") else body.decode()
            errors = self.errors(response["content"][media]["schema"], value, strict=True)
            assert not errors, f"not as in the document: {shown}: {errors}"
            gateway = self.is_gateway(response, media)
            name = f"{operation} {key}" + (f" {value['code']}" if media == PROBLEM else " gateway" if gateway else "")
        self.check_headers(response, media, headers, shown)
        return name

    def check_headers(self, response: dict, media: str, headers, shown: str):
        documented = {name.lower(): self.follow(header) for name, header in response.get("headers", {}).items()}
        unknown = OWN_HEADERS & {name.lower() for name in headers} - set(documented)
        assert not unknown, f"headers that are not in the document: {unknown}: {shown}"
        for name, header in documented.items():
            # A problem has every header of its status; an answer of the gateway has none, and a success what it must.
            assert name in headers or not (media == PROBLEM or header["required"]), f"no {name}: {shown}"
            if name in headers:
                errors = self.errors(header["schema"], headers[name], strict=True)
                assert not errors, f"{name}: {errors}: {shown}"

    def is_of_a_device(self, operation: str) -> bool:
        """Whether the operation is for devices, with a token, and not for backends."""
        return self.operations()[operation].get("security") == [{"deviceToken": []}]

    def is_public(self, operation: str) -> bool:
        """Whether it needs no authentication beside the URL."""
        return self.operations()[operation].get("security") == []

    def request_errors(self, operation: str, body) -> list[str]:
        return self.errors(self.operations()[operation]["requestBody"]["content"][JSON]["schema"], body)

    def fields_of(self, operation: str, status: int, value) -> set[str]:
        return self.fields(self.responses(operation)[str(status)]["content"][JSON]["schema"], value)

    def fields_of_answers(self) -> set[str]:
        """The fields of every success."""
        names = set()
        for operation in self.operations():
            for status, response in self.responses(operation).items():
                if status.startswith("2") and JSON in response.get("content", {}):
                    names |= self.named_fields(response["content"][JSON]["schema"])
        return names


class AsyncApi(Document):
    """The frames of the socket, each under the name of its message."""

    def __init__(self):
        super().__init__("asyncapi.yaml", jsonschema.Draft7Validator)
        self.messages = {name: self.follow(it) for name, it in self.content["components"]["messages"].items()}
        self.upgrade = self.content["channels"]["socket"]["x-upgrade"]
        self.close = self.content["channels"]["socket"]["x-close"]

    def schema(self, name: str) -> dict:
        return self.messages[name]["payload"]

    def actions(self) -> set[str]:
        """The messages that a device sends."""
        return {
            name for name, it in self.messages.items() if "action" in self.follow(it["payload"]).get("properties", {})
        }

    def opened(self) -> set[str]:
        return {name for name, it in self.messages.items() if it.get("x-sealed") is True}

    def in_clear(self) -> set[str]:
        return {name for name, it in self.messages.items() if it.get("x-sealed") is False}

    def which(self, among: set[str], value) -> str:
        """Which of these messages it is: one, and no other."""
        errors = {name: self.errors(self.schema(name), value, strict=True) for name in among}
        fits = [name for name, wrong in errors.items() if not wrong]
        assert len(fits) == 1, f"{value} is {fits} of the document: {errors}"
        return fits[0]

    def codes(self) -> list[str]:
        return self.at("/components/schemas/Error/properties/code")["enum"]


OPENAPI = OpenApi()
ASYNCAPI = AsyncApi()
