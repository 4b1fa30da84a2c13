"""The documents are valid by public validators, and so are their examples."""

import json
import unittest

import jsonschema
from openapi_spec_validator import OpenAPIV31SpecValidator

from documents import ASYNCAPI, OPENAPI, REPOSITORY, Document

# From npm, see package.json: the only validators of AsyncAPI are JavaScript programs.
ASYNCAPI_SCHEMA = REPOSITORY / "tests/contract/node_modules/@asyncapi/specs/schemas/3.0.0.json"


class Documents(unittest.TestCase):
    def test_openapi_is_openapi_3_1(self):
        self.assertEqual(OPENAPI.content["openapi"], "3.1.0")
        errors = OpenAPIV31SpecValidator(OPENAPI.content, base_uri=(REPOSITORY / "docs/openapi.yaml").as_uri())
        self.assertEqual([f"{list(it.absolute_path)}: {it.message}" for it in errors.iter_errors()], [])

    def test_asyncapi_is_asyncapi_3_0(self):
        self.assertEqual(ASYNCAPI.content["asyncapi"], "3.0.0")
        schema = json.loads(ASYNCAPI_SCHEMA.read_text(encoding="utf-8"))
        errors = jsonschema.Draft7Validator(schema).iter_errors(ASYNCAPI.content)
        self.assertEqual([f"{list(it.absolute_path)}: {it.message[:500]}" for it in errors], [])

    def test_every_schema_is_one(self):
        for document in (OPENAPI, ASYNCAPI):
            for name, schema in document.content["components"]["schemas"].items():
                with self.subTest(document.name, schema=name):
                    document.draft.check_schema(schema)

    def test_every_reference_leads_somewhere_and_everything_is_used(self):
        for document in (OPENAPI, ASYNCAPI):
            references = set(references_in(document.content))
            for reference in references:
                with self.subTest(document.name, reference=reference):
                    self.assertIsNotNone(document.at(reference.removeprefix("#")))
            for kind, named in document.content["components"].items():
                for name in named:
                    place = f"#/components/{kind}/{name}"
                    used = kind == "securitySchemes" or place in references or place in OWN
                    self.assertTrue(used, f"{place} is used nowhere")

    def test_every_example_is_valid(self):
        checked = 0
        for operation, content in OPENAPI.operations().items():
            bodies = [content["requestBody"]] if "requestBody" in content else []
            for holder in [*bodies, *OPENAPI.responses(operation).values()]:
                for media in holder.get("content", {}).values():
                    for name, example in media.get("examples", {}).items():
                        with self.subTest(operation, example=name):
                            value = OPENAPI.follow(example)["value"]
                            self.assertEqual(OPENAPI.errors(media["schema"], value, strict=True), [])
                            checked += 1
        for name, message in ASYNCAPI.messages.items():
            for example in message.get("examples", []):
                with self.subTest(message=name, example=example["name"]):
                    self.assertEqual(ASYNCAPI.errors(message["payload"], example["payload"], strict=True), [])
                    checked += 1
        self.assertGreater(checked, 15)

    def test_the_examples_show_every_field_of_a_request(self):
        for operation in ("POST /v1/devices", "POST /v1/messages", "POST /v1/announcements"):
            media = OPENAPI.operations()[operation]["requestBody"]["content"]["application/json"]
            shown = set()
            for example in media["examples"].values():
                shown |= OPENAPI.fields(media["schema"], example["value"])
            self.assertEqual(OPENAPI.named_fields(media["schema"]) - shown, set())

    def test_everything_has_a_description(self):
        for document in (OPENAPI, ASYNCAPI):
            for name, schema in document.content["components"]["schemas"].items():
                for field, inner in schema.get("properties", {}).items():
                    target = document.follow(inner)
                    with self.subTest(document.name, field=f"{name}.{field}"):
                        # A field of one value needs no description, and a named type describes itself or its fields.
                        self.assertTrue({"description", "const", "properties"} & (set(target) | set(inner)), field)
        for operation, content in OPENAPI.operations().items():
            self.assertIn("summary", content, operation)
            self.assertIn("operationId", content, operation)
            for status, response in OPENAPI.responses(operation).items():
                self.assertTrue(response["description"].strip(), f"{operation} {status}")
                for answer in OPENAPI.answers():
                    words = answer.removeprefix(f"{operation} ").split(" ")
                    if answer.startswith(f"{operation} {status} ") and words[1] != "gateway":
                        self.assertIn(f"`{words[1]}`", response["description"], answer)

    def test_every_code_is_said_by_some_answer(self):
        documented = {name.rsplit(" ", 1)[1] for name in OPENAPI.answers()}
        self.assertEqual(set(OPENAPI.at("/components/schemas/ProblemCode")["enum"]) - documented, set())
        for code in ASYNCAPI.codes():
            self.assertIn(f"- `{code}`: ", ASYNCAPI.at("/components/schemas/ErrorCode")["description"])

    def test_every_message_belongs_to_an_operation(self):
        used = set()
        for operation in ASYNCAPI.content["operations"].values():
            for message in operation["messages"] + operation.get("reply", {}).get("messages", []):
                used.add(message["$ref"].rsplit("/", 1)[1])
        self.assertEqual(used, set(ASYNCAPI.messages))
        self.assertEqual(set(ASYNCAPI.content["channels"]["socket"]["messages"]), set(ASYNCAPI.messages))
        kinds = [ASYNCAPI.actions(), ASYNCAPI.opened(), ASYNCAPI.in_clear(), {"sealed"}]
        self.assertEqual(sum(len(kind) for kind in kinds), len(ASYNCAPI.messages))

    def test_one_thing_is_described_alike_in_both(self):
        """The fields of a message or an announcement have the same limits in both documents."""
        for pair in (("SendRequest", "Message"), ("AnnounceRequest", "Announcement")):
            places = [f"/components/schemas/{name}/properties" for name in pair]
            sent, received = OPENAPI.at(places[0]), ASYNCAPI.at(places[1])
            both = set(sent) & set(received)
            self.assertGreaterEqual(both, {"alert", "extra", "badge", "source", "sender"})
            for field in both:
                with self.subTest(pair, field=field):
                    self.assertEqual(limits(OPENAPI, sent[field]), limits(ASYNCAPI, received[field]))


# Described for authors of clients; the tests of the socket compare them with real tokens and frames.
OWN = {f"#/components/schemas/{name}" for name in ("ConnectTokenHeader", "ConnectTokenClaims", "SealedHeader")}


def references_in(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from references_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from references_in(value)


def limits(document: Document, schema: dict):
    schema = document.follow(schema)
    kept = ("type", "enum", "minLength", "maxLength", "minimum", "maximum")
    limited = {key: schema[key] for key in kept if key in schema}
    return limited | {"properties": {name: limits(document, it) for name, it in schema.get("properties", {}).items()}}


if __name__ == "__main__":
    unittest.main()
