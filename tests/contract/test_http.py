"""Every answer of openapi.yaml, produced at the local twin and compared with the document.

Each row produces one of them. A documented answer without a row fails, and so does any answer that is not documented.
"""

import contextlib
import datetime
import functools
import re
import secrets
import time
import unittest

from api import APP, Answer, Api, Socket
from documents import ASYNCAPI, ELSEWHERE, OPENAPI, REPOSITORY
from twin import Twin, eventually

# 43 characters behind the app's id; the key of no app.
SECRET = "A" * 43

# The id of no message and no announcement.
UNKNOWN = "3087bacc-b601-808f-950b-edbf79e06a73"

FUNCTIONS = {"devices": "RegisterFunction", "messages": "SendFunction", "announcements": "SendFunction",
             "items": "SendFunction", "inbox": "InboxFunction", "preferences": "RegisterFunction",
             "unsubscribe": "RegisterFunction"}


def starved() -> str:
    """The template with functions that get no process and have little time, so that API Gateway gives up on them."""
    text = (REPOSITORY / "template.yaml").read_text(encoding="utf-8")
    for resource, line in (("Function", "ReservedConcurrentExecutions: 0"), ("Integration", "TimeoutInMillis: 50")):
        head = rf"(?m)^(  (?:Register|Send|Inbox){resource}:\n(?:    .*\n)*?    Properties:\n)"
        text, changed = re.subn(head, rf"\g<1>      {line}\n", text)
        assert changed == len(set(FUNCTIONS.values())), f"{resource}: {changed}"
    return text


class World:
    """A twin with an app and a device, an app that cannot be read, and a twin whose functions never come to work."""

    def __init__(self):
        self.twin = Twin()
        try:
            self.starved = Twin(template=starved())
        except BaseException:
            self.twin.stop()
            raise
        self.api = Api(self.twin)
        self.breaks_app("broken")

    def stop(self):
        self.twin.stop()
        self.starved.stop()

    def breaks_app(self, name: str):
        """Writes an app into the table whose keys are no list, as no version has ever written one."""
        table, client = self.twin.outputs["DirectoryTableName"], self.twin.dynamodb()
        item = client.get_item(TableName=table, Key={"pk": {"S": f"app#{APP}"}, "sk": {"S": "app"}})["Item"]
        item |= {"pk": {"S": f"app#{name}"}, "id": {"S": name}, "key_hashes": {"S": "none"}}
        client.put_item(TableName=table, Item=item)

    def moving_device(self, alias: str) -> str:
        """The id of a device that seems to change hands between any two reads: a write that expects what was read never
        finds it, as if another request had come in between each time."""
        device = self.api.register(alias, nativeToken=f"token of {alias}")
        # `%41` has no meaning in a user's key: it is read unchanged, and would be written as `%2541`.
        self.change_device(device.id, f"{APP}||%41")
        return device.id

    @contextlib.contextmanager
    def preferences(self, alias: str, value: dict):
        """While it lasts, a user's preferences are written as no version has ever written them."""
        client, key = self.twin.dynamodb(), {"pk": {"S": f"{APP}||{alias}"}, "sk": {"S": "z"}}
        table = self.twin.table("UsersTable")
        before = client.get_item(TableName=table, Key=key)["Item"]
        client.put_item(TableName=table, Item=before | {"preferences": value})
        try:
            yield
        finally:
            client.put_item(TableName=table, Item=before)

    def change_device(self, device: str, user: str):
        """Writes another user into the item of a device."""
        self.twin.dynamodb().update_item(
            TableName=self.twin.table("LookupsTable"),
            Key={"pk": {"S": f"d#{device}"}},
            UpdateExpression="SET user_key = :user",
            ExpressionAttributeValues={":user": {"S": user}},
        )


# -- Rows: the name of an answer, and the request that produces it -----------------------------------------------------

ROWS: dict[str, object] = {}


def brings(name: str):
    def note(row):
        assert name not in ROWS, name
        ROWS[name] = row
        return row

    return note


def good_body(operation: str, alias: str = "alice"):
    bodies = {
        "POST /v1/devices": {"appId": APP, "alias": alias, "platform": "WEB", "nativeToken": f"token of {alias}"},
        "POST /v1/messages": {"audiences": [alias], "alert": "Hello"},
        # Of a tenant in which no test has a device online.
        "POST /v1/announcements": {"tenantCode": "quiet", "alert": "Hello"},
        "PUT /v1/items/{item}": {"open": False},
        "PUT /v1/users/{alias}/preferences": {"channels": {"sms": False}},
        "PUT /v1/preferences": {"channels": {"sms": False}},
    }
    return bodies.get(operation)


def who_asks(world: World, operation: str) -> dict:
    """A device's token if the operation is for devices; else the demo app's key."""
    return {"bearer": world.api.register("reader").token()} if OPENAPI.is_of_a_device(operation) else {}


def ask(world: World, operation: str, body=None, *, api: Api | None = None, **more) -> Answer:
    """Requests an operation on a thing that does not exist."""
    method, template = operation.split(" ", 1)
    if "bearer" not in more:
        more |= who_asks(world, operation)
    path = template.replace("{deviceId}", "nobody").replace("{messageId}", UNKNOWN).replace("{announcementId}", UNKNOWN)
    path = path.replace("{item}", "order:4711").replace("{alias}", "alice").replace("{link}", "nothing")
    return (api or world.api).call(method, path, body if body is not None else good_body(operation), **more)


def without_a_key(world: World, operation: str) -> Answer:
    return ask(world, operation, bearer=None)


def with_a_wrong_key(world: World, operation: str) -> Answer:
    return ask(world, operation, bearer=f"td_{APP}.{SECRET}")


def of_an_app_that_cannot_be_read(world: World, operation: str) -> Answer:
    return ask(world, operation, bearer=f"td_broken.{SECRET}")


def while_the_store_is_down(world: World, operation: str) -> Answer:
    with world.twin.fault(fault="server-error", service="dynamodb", contains=["app#outage"]):
        return ask(world, operation, bearer=f"td_outage.{SECRET}")


def while_the_function_fails(world: World, operation: str) -> Answer:
    function = next(name for part, name in FUNCTIONS.items() if f"/{part}" in operation)
    # Registering is the same function's.
    who = who_asks(world, operation)
    with world.twin.fault(fault="fail-invoke", function=function):
        return ask(world, operation, **who)


def while_the_function_has_no_process(world: World, operation: str) -> Answer:
    return ask(world, operation, api=Api(world.starved))


def with_headers_over_the_limit(world: World, operation: str) -> Answer:
    return ask(world, operation, headers={"X-Filler": "x" * 10_240})


def with_a_wrong_token(world: World, operation: str) -> Answer:
    ask(world, operation, bearer="nonsense")
    ask(world, operation, bearer=world.twin.key)
    device, now = world.api.register("reader"), int(time.time())
    return ask(world, operation, bearer=device.token(iat=now - 120, exp=now - 60))


def of_a_device_that_cannot_be_read(world: World, operation: str) -> Answer:
    device = world.api.register("unreadable")
    world.change_device(device.id, "none")
    return ask(world, operation, bearer=device.token())


def while_devices_cannot_be_looked_up(world: World, operation: str) -> Answer:
    device = world.api.register("reader")
    with world.twin.fault(fault="server-error", service="dynamodb", contains=[f"d#{device.id}"]):
        return ask(world, operation, bearer=device.token())


def with_a_field_too_many(world: World, operation: str) -> Answer:
    return ask(world, operation, good_body(operation) | {"colour": "red"})


def with_no_json(world: World, operation: str) -> Answer:
    return ask(world, operation, '{"alias":')


def too_deep(world: World, operation: str) -> Answer:
    return ask(world, operation, '{"extra":' + "[" * 64 + "]" * 64 + "}")


def over_256_kilobytes(world: World, operation: str) -> Answer:
    return ask(world, operation, '{"alert":"' + "x" * 262_144 + '"}')


def over_6_megabytes(world: World, operation: str) -> Answer:
    return ask(world, operation, '{"alert":"' + "x" * (7 * 1024 * 1024) + '"}')


def of_another_app(world: World, operation: str) -> Answer:
    return ask(world, operation, good_body(operation) | {"appId": "other"})


EVERYWHERE = {
    "500 gateway": while_the_function_fails,
    "503 gateway": while_the_function_has_no_process,
    "default gateway": with_headers_over_the_limit,
}
OF_A_BACKEND = {
    "401 no_app_key": without_a_key,
    "401 wrong_app_key": with_a_wrong_key,
    "500 internal": of_an_app_that_cannot_be_read,
    "503 unavailable": while_the_store_is_down,
}
OF_A_DEVICE = {
    "401 no_token": without_a_key,
    "401 wrong_token": with_a_wrong_token,
    "500 internal": of_a_device_that_cannot_be_read,
    "503 unavailable": while_devices_cannot_be_looked_up,
}
WITH_A_BODY = {
    "400 invalid_fields": with_a_field_too_many,
    "400 not_json": with_no_json,
    "400 body_too_deep": too_deep,
    "413 body_too_large": over_256_kilobytes,
    "413 gateway": over_6_megabytes,
}
WITH_AN_APP = {"403 unknown_app": of_another_app}
OF_ONE = {"404 not_found": ask}

for operation, described in OPENAPI.operations().items():
    kinds = dict(EVERYWHERE)
    if not OPENAPI.is_public(operation):
        kinds |= OF_A_DEVICE if OPENAPI.is_of_a_device(operation) else OF_A_BACKEND
    kinds |= WITH_A_BODY if "requestBody" in described else {}
    kinds |= OF_ONE if "Id}" in operation or "{link}" in operation else {}
    kinds |= WITH_AN_APP if operation in ("POST /v1/devices", "POST /v1/messages", "POST /v1/announcements") else {}
    for kind, row in kinds.items():
        ROWS[f"{operation} {kind}"] = functools.partial(row, operation=operation)


@brings("POST /v1/devices 201")
def a_new_device(world: World) -> Answer:
    body = good_body("POST /v1/devices") | {"nativeToken": secrets.token_hex(8)}
    return world.api.call("POST", "/v1/devices", body)


@brings("POST /v1/devices 200")
def a_known_device(world: World) -> Answer:
    body = good_body("POST /v1/devices", "known") | {
        "tenantCode": "north",
        "mobile": "+8613800138000",
        "email": "known@example.com",
        "tag": "staff",
        "locale": "zh-CN",
        "timeZone": "Asia/Shanghai",
        "clientVersion": "2.4.1",
    }
    first = world.api.call("POST", "/v1/devices", body)
    second = world.api.call("POST", "/v1/devices", body)
    assert second.value == first.value, "the same keys"
    return second


# How a device is reached by push; the keys are those of RFC 8291, Appendix A.
PUSHES = {
    "apns": {"channel": "apns", "token": "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"},
    "fcm": {"channel": "fcm", "token": "device:APA91bHun4MxP5egoKMwt2KZFBaFUH"},
    "webpush": {
        "channel": "webpush",
        "endpoint": "https://push.example.com/p/1",
        "keys": {
            "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "auth": "BTBZMqHH6r4Tts7J_aSIgg",
        },
    },
    "mipush": {"channel": "mipush"},
}


@brings("POST /v1/devices 409 conflict")
def registered_by_others_meanwhile(world: World) -> Answer:
    world.moving_device("mover")
    return world.api.call("POST", "/v1/devices", good_body("POST /v1/devices", "mover"))


@brings("GET /v1/devices/{deviceId} 200")
def a_device(world: World) -> Answer:
    token = secrets.token_hex(8)

    def registered(**fields) -> Answer:
        device = world.api.register("shown", tenantCode="north", clientVersion="2.4.1", nativeToken=token, **fields)
        return world.api.call("GET", f"/v1/devices/{device.id}")

    assert "push" not in registered().value
    for channel, address in PUSHES.items():
        answer = registered(push=address)
        assert answer.value["push"] == channel, answer.value
    assert "push" not in registered().value, "a registration without it takes it away"
    return answer


@brings("DELETE /v1/devices/{deviceId} 204")
def a_device_that_leaves(world: World) -> Answer:
    return world.api.call("DELETE", f"/v1/devices/{world.api.register('leaves').id}")


@brings("DELETE /v1/devices/{deviceId} 409 conflict")
def a_device_that_moves_meanwhile(world: World) -> Answer:
    return world.api.call("DELETE", f"/v1/devices/{world.moving_device('runner')}")


@brings("POST /v1/messages 202")
def a_message_with_everything(world: World) -> Answer:
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    body = {
        "appId": APP,
        "tenantCode": "north",
        "platform": "WEB",
        "audienceType": "ALIAS",
        "audiences": ["known"],
        "pushMsgType": "MSG",
        "msgType": "event",
        "alert": "Hello",
        "extra": {"a": [1, None]},
        "event": "order.paid",
        "sound": "ping",
        "badge": 3,
        "sender": "Shop",
        "sendDevice": "till",
        "source": {"platform": "pc", "product": "shop"},
        "category": "orders",
        "tag": "vip",
        "needConfirm": True,
        "smsMessage": "Hi",
        "duration": 60,
        "ttl": 3600,
        "priority": "high",
        "collapseKey": "k",
        "sendAt": later.isoformat(),
        "persist": True,
        "fallback": [{"channel": "sms", "after": 0}, {"channel": "email"}],
    }
    answer = world.api.call("POST", "/v1/messages", body)
    assert answer.value["duration"] == 300 and answer.value["downgrades"][0]["field"] == "duration"
    return answer


@brings("POST /v1/messages 422 idempotency_key_reused")
def another_body_under_the_same_key(world: World) -> Answer:
    key = {"Idempotency-Key": "used twice"}
    world.api.send("alice", headers=key)
    return world.api.call("POST", "/v1/messages", {"audiences": ["bob"], "alert": "Hello"}, headers=key)


@brings("GET /v1/messages/{messageId} 200")
def a_trail(world: World) -> Answer:
    return world.api.call("GET", f"/v1/messages/{world.api.send('alice', 'bob')}")


@brings("DELETE /v1/messages/{messageId} 200")
def cancelled(world: World) -> Answer:
    return world.api.call("DELETE", f"/v1/messages/{world.api.send('alice')}")


@brings("DELETE /v1/messages/{messageId} 409 already_cancelled")
def cancelled_twice(world: World) -> Answer:
    message = world.api.send("alice")
    world.api.call("DELETE", f"/v1/messages/{message}")
    return world.api.call("DELETE", f"/v1/messages/{message}")


@brings("DELETE /v1/messages/{messageId} 409 message_settled")
def cancelled_too_late(world: World) -> Answer:
    message = world.api.send("alice", ttl=1)
    eventually("it expires", lambda: world.api.trail(message)["recipients"][0]["state"] == "expired")
    return world.api.call("DELETE", f"/v1/messages/{message}")


# The content that an announcement may have.
CONTENT = {
    "pushMsgType": "CMD",
    "msgType": "event",
    "alert": "Hello",
    "extra": {"a": [1, None]},
    "event": "shop.closes",
    "sound": "ping",
    "badge": 3,
    "sender": "Shop",
    "sendDevice": "till",
    "source": {"platform": "pc", "product": "shop"},
    "category": "news",
    "tag": "vip",
}


@brings("POST /v1/announcements 202")
def an_announcement_with_everything(world: World) -> Answer:
    body = {"appId": APP, "tenantCode": "quiet", "platform": "WEB", **CONTENT, "ttl": 60}
    answer = world.api.call("POST", "/v1/announcements", body)
    assert answer.value["ttl"] == 60
    return answer


@brings("POST /v1/announcements 422 idempotency_key_reused")
def another_announcement_under_the_same_key(world: World) -> Answer:
    key = {"Idempotency-Key": "announced twice"}
    # A message under that key is separate.
    world.api.send("alice", headers=key)
    world.api.announce(tenantCode="quiet", headers=key)
    return world.api.call("POST", "/v1/announcements", {"tenantCode": "quiet", "alert": "Bye"}, headers=key)


@brings("GET /v1/announcements 200")
def a_page_of_announcements(world: World) -> Answer:
    tenant = secrets.token_hex(8)
    path = f"/v1/announcements?tenantCode={tenant}"
    assert world.api.call("GET", path).value == {"announcements": []}
    announced = [world.api.announce(tenantCode=tenant) for _ in range(3)]
    numbers = [it["number"] for it in announced]
    assert numbers == sorted(set(numbers)), "they grow"
    page = world.api.call("GET", f"{path}&limit=2")
    rest = world.api.call("GET", f"{path}&limit=50&before={page.value['next']}")
    listed = page.value["announcements"] + rest.value["announcements"]
    assert [it["requestId"] for it in listed] == [it["requestId"] for it in announced][::-1]
    assert page.value["next"] == numbers[1] and "next" not in rest.value
    return page


@brings("GET /v1/announcements 400 invalid_fields")
def announcements_with_a_wrong_query(world: World) -> Answer:
    limit = OPENAPI.at("/components/parameters/announcementLimit")["schema"]
    for value in (limit["minimum"], limit["maximum"]):
        assert world.api.call("GET", f"/v1/announcements?limit={value}").status == 200
    for query in (f"limit={limit['minimum'] - 1}", f"limit={limit['maximum'] + 1}", "limit=1.5", "before=0",
                  "before=-1", "before=7-1", "tenantCode=", f"tenantCode={'x' * 65}", "before=7&before=7"):
        assert world.api.call("GET", f"/v1/announcements?{query}").status == 400, query
    return world.api.call("GET", "/v1/announcements?tenant=north")


@brings("GET /v1/announcements/{announcementId} 200")
def an_announcement(world: World) -> Answer:
    announced = an_announcement_with_everything(world).value
    path = f"/v1/announcements/{announced['requestId']}"
    answer = world.api.call("GET", path)
    assert {name: answer.value[name] for name in CONTENT} == CONTENT and answer.value["platform"] == "WEB"
    assert answer.value["number"] == announced["number"] and "withdrawnAt" not in answer.value
    return answer


@brings("DELETE /v1/announcements/{announcementId} 200")
def withdrawn(world: World) -> Answer:
    announced = world.api.announce(tenantCode="quiet")
    path = f"/v1/announcements/{announced['requestId']}"
    first, second = (world.api.call("DELETE", path) for _ in range(2))
    assert first.value == second.value, "twice is as once"
    assert world.api.call("GET", path).value["withdrawnAt"] == first.value["withdrawnAt"]
    return first


@brings("GET /v1/inbox 200")
def a_page_of_the_inbox(world: World) -> Answer:
    alias = secrets.token_hex(8)
    device = world.api.register(alias)
    sent = [world.api.send(alias) for _ in range(3)]
    eventually("they are in the mailbox", lambda: all("seq" in world.api.trail(it)["recipients"][0] for it in sent))
    token = device.token()
    page = world.api.call("GET", "/v1/inbox?limit=2", bearer=token)
    rest = world.api.call("GET", f"/v1/inbox?limit=100&before={page.value['next']}", bearer=token)
    messages = page.value["messages"] + rest.value["messages"]
    assert [message["id"] for message in messages] == sent[::-1] and "next" not in rest.value
    for message in messages:
        # It contains a frame of the socket.
        assert ASYNCAPI.which({"sealed"}, message["frame"])
        opened = device.open(message["frame"])
        assert ASYNCAPI.which(ASYNCAPI.opened(), opened) == "message"
        assert all(opened[name] == message[name] for name in ("id", "epoch", "seq")) and not message["read"]
    return page


@brings("GET /v1/inbox 400 invalid_fields")
def a_wrong_query(world: World) -> Answer:
    token, limit = world.api.register("reader").token(), OPENAPI.at("/components/parameters/limit")["schema"]
    for value in (limit["minimum"], limit["maximum"]):
        assert world.api.call("GET", f"/v1/inbox?limit={value}", bearer=token).status == 200
    for value in (limit["minimum"] - 1, limit["maximum"] + 1, "1.5", "many"):
        assert world.api.call("GET", f"/v1/inbox?limit={value}", bearer=token).status == 400
    return world.api.call("GET", "/v1/inbox?befor=7-1", bearer=token)


@brings("GET /v1/inbox/unread 200")
def a_count(world: World) -> Answer:
    return world.api.call("GET", "/v1/inbox/unread", bearer=world.api.register("reader").token())


@brings("PUT /v1/items/{item} 200")
def an_item_that_is_closed_and_one_that_is_opened(world: World) -> Answer:
    path = "/v1/items/order%3A17?tenantCode=north"
    closed = world.api.call("PUT", path, {"open": False})
    assert world.api.call("GET", path).value == closed.value, closed.value
    assert world.api.call("PUT", path, {"open": True}).value == {"item": "order:17", "open": True}
    return closed


@brings("GET /v1/items/{item} 200")
def an_item(world: World) -> Answer:
    return world.api.call("GET", "/v1/items/nobody%20has%20spoken%20of%20it")


@brings("GET /v1/items/{item} 400 invalid_fields")
def an_item_with_a_wrong_query(world: World) -> Answer:
    assert world.api.call("GET", f"/v1/items/{'x' * 129}").status == 400
    return world.api.call("GET", "/v1/items/order:17?tenant=north")


PREFERENCES = {
    "muted": False,
    "channels": {name: name != "sms" for name in ("apns", "fcm", "webpush", "mipush", "sms", "email", "webhook")},
    "categories": {"news": {"muted": True}, "orders": {"channels": {"sms": True}}},
    "quietHours": {"from": "22:00", "to": "07:00", "except": ["alerts"]},
    "timeZone": "Asia/Shanghai",
    "language": "zh-CN",
}
# The answer to it: values that are the default are left out.
PREFERRED = {name: value for name, value in PREFERENCES.items() if name != "muted"}


@brings("PUT /v1/users/{alias}/preferences 200")
def preferences_of_a_user(world: World) -> Answer:
    answer = world.api.call("PUT", "/v1/users/choosy/preferences?tenantCode=north", PREFERENCES)
    assert answer.value == PREFERRED, answer.value
    return answer


@brings("GET /v1/users/{alias}/preferences 200")
def what_a_user_prefers(world: World) -> Answer:
    assert world.api.call("GET", "/v1/users/nobody/preferences").value == {}
    preferences_of_a_user(world)
    answer = world.api.call("GET", "/v1/users/choosy/preferences?tenantCode=north")
    assert answer.value == PREFERRED
    return answer


@brings("GET /v1/users/{alias}/preferences 400 invalid_fields")
def preferences_with_a_wrong_query(world: World) -> Answer:
    assert world.api.call("GET", f"/v1/users/{'x' * 129}/preferences").status == 400
    assert world.api.call("GET", f"/v1/users/alice/preferences?tenantCode={'x' * 65}").status == 400
    return world.api.call("GET", "/v1/users/alice/preferences?tenant=north")


@brings("PUT /v1/preferences 200")
def preferences_of_ones_own(world: World) -> Answer:
    return world.api.call("PUT", "/v1/preferences", {"muted": True}, bearer=world.api.register("chooser").token())


@brings("GET /v1/preferences 200")
def what_one_prefers(world: World) -> Answer:
    preferences_of_ones_own(world)
    answer = world.api.call("GET", "/v1/preferences", bearer=world.api.register("chooser").token())
    assert answer.value == {"muted": True}
    return answer


@functools.cache
def link_to_unsubscribe(world: World) -> str:
    """The path of a link in an email to a reader of news."""
    world.api.register("subscriber", email="subscriber@example.com")
    message = world.api.send("subscriber", category="news", fallback=[{"channel": "email"}])
    eventually("it is sent", lambda: world.api.trail(message)["recipients"][0]["state"] == "fallback-delivered")
    sent = next(it for it in world.twin.outbox() if it["to"] == ["subscriber@example.com"])
    return sent["headers"]["List-Unsubscribe"].strip("<>").removeprefix(world.twin.api_url)


@brings("GET /v1/unsubscribe/{link} 200")
def a_page_with_a_button(world: World) -> Answer:
    return world.api.call("GET", link_to_unsubscribe(world), bearer=None)


@brings("POST /v1/unsubscribe/{link} 200")
def unsubscribed(world: World) -> Answer:
    answer = world.api.call("POST", link_to_unsubscribe(world), "List-Unsubscribe=One-Click", bearer=None)
    preferences = world.api.call("GET", "/v1/users/subscriber/preferences").value
    assert preferences == {"categories": {"news": {"channels": {"email": False}}}}, preferences
    return answer


@brings("POST /v1/unsubscribe/{link} 409 conflict")
def unsubscribed_while_others_write(world: World) -> Answer:
    path = link_to_unsubscribe(world)
    # The read ignores the value that is there, so the write never finds what was read.
    with world.preferences("subscriber", {"NULL": True}):
        return world.api.call("POST", path, bearer=None)


@brings("POST /v1/unsubscribe/{link} 500 internal")
def unsubscribed_from_what_cannot_be_read(world: World) -> Answer:
    path = link_to_unsubscribe(world)
    with world.preferences("subscriber", {"S": "none"}):
        return world.api.call("POST", path, bearer=None)


@brings("POST /v1/unsubscribe/{link} 503 unavailable")
def unsubscribed_while_the_store_is_down(world: World) -> Answer:
    path = link_to_unsubscribe(world)
    with world.twin.fault(fault="server-error", service="dynamodb", contains=["subscriber"]):
        return world.api.call("POST", path, bearer=None)


@brings(f"{ELSEWHERE} 404 no_route")
def nowhere(world: World) -> Answer:
    return world.api.call("GET", "/v1/nowhere")


@brings(f"{ELSEWHERE} 405 method_not_allowed")
def with_another_method(world: World) -> Answer:
    return world.api.call("PUT", "/v1/messages", {})


# -- What is refused, by the document and by the service ---------------------------------------------------------------

TEXTS = {"appId": 64, "tenantCode": 64, "alert": 24576, "event": 64, "sound": 128, "sender": 128, "sendDevice": 128,
         "category": 64, "tag": 64, "collapseKey": 64, "smsMessage": 1600}
MESSAGE, DEVICE, ANNOUNCEMENT = "POST /v1/messages", "POST /v1/devices", "POST /v1/announcements"
CHOICE = "PUT /v1/users/{alias}/preferences"
WRONG = [
    *((MESSAGE, name, value, name) for name, most in TEXTS.items() for value in ("", " \t", 7, "x" * (most + 1))),
    (MESSAGE, "condition", {}, "condition"),
    (MESSAGE, "condition", {"clientVersionBelow": "v2"}, "condition.clientVersionBelow"),
    (MESSAGE, "condition", {"clientVersionBelow": "2.10-beta"}, "condition.clientVersionBelow"),
    *(
        (MESSAGE, "condition", {"itemOpen": name}, "condition.itemOpen")
        for name in ("x" * 129, ".", "..", "a/b", "why?", "50%")
    ),
    (MESSAGE, "condition", {"itemClosed": "x"}, "condition.itemClosed"),
    (MESSAGE, "audiences", [], "audiences"),
    (MESSAGE, "audiences", "alice", "audiences"),
    (MESSAGE, "audiences", [""], "audiences[0]"),
    (MESSAGE, "audiences", ["x" * 129], "audiences[0]"),
    (MESSAGE, "audiences", [f"u{n}" for n in range(1001)], "audiences"),
    (MESSAGE, "audienceType", "TAG", "audienceType"),
    (MESSAGE, "platform", "TOASTER", "platform"),
    (MESSAGE, "pushMsgType", "msg", "pushMsgType"),
    (MESSAGE, "msgType", "smell", "msgType"),
    (MESSAGE, "priority", "low", "priority"),
    (MESSAGE, "badge", -1, "badge"),
    (MESSAGE, "badge", 1.5, "badge"),
    (MESSAGE, "badge", 100_000, "badge"),
    (MESSAGE, "ttl", -1, "ttl"),
    (MESSAGE, "ttl", 2_419_201, "ttl"),
    (MESSAGE, "duration", -1, "duration"),
    (MESSAGE, "duration", "300", "duration"),
    (MESSAGE, "persist", "yes", "persist"),
    (MESSAGE, "needConfirm", 1, "needConfirm"),
    (MESSAGE, "sendAt", "tomorrow", "sendAt"),
    (MESSAGE, "sendAt", 1_795_324_231, "sendAt"),
    (MESSAGE, "sendAt", "2099-01-01T00:00:00", "sendAt"),
    (MESSAGE, "source", "shop", "source"),
    (MESSAGE, "source", {"platform": ""}, "source.platform"),
    (MESSAGE, "source", {"shop": "x"}, "source.shop"),
    (MESSAGE, "fallback", [{"channel": "pigeon"}], "fallback[0].channel"),
    (MESSAGE, "fallback", [{}], "fallback[0].channel"),
    (MESSAGE, "fallback", [{"channel": "sms", "after": 259_201}], "fallback[0].after"),
    (MESSAGE, "fallback", [{"channel": "sms", "afterwards": 1}], "fallback[0].afterwards"),
    (MESSAGE, "fallback", [{"channel": "apns"}] * 9, "fallback"),
    (MESSAGE, "fallback", [{"channel": "sms"}] * 3, "fallback[2].channel"),
    (MESSAGE, "fallback", [{"channel": "email"}] * 3, "fallback[2].channel"),
    *((DEVICE, name, value, name) for name, most in (
        ("appId", 64), ("alias", 128), ("nativeToken", 4096), ("tenantCode", 64), ("tag", 64), ("locale", 64),
        ("timeZone", 64), ("clientVersion", 64),
    ) for value in ("", "\n", False, "x" * (most + 1))),
    *((ANNOUNCEMENT, name, value, name) for name, most in TEXTS.items() if name not in ("collapseKey", "smsMessage")
      for value in ("", " \t", 7, "x" * (most + 1))),
    (ANNOUNCEMENT, "platform", "TOASTER", "platform"),
    (ANNOUNCEMENT, "pushMsgType", "msg", "pushMsgType"),
    (ANNOUNCEMENT, "msgType", "smell", "msgType"),
    (ANNOUNCEMENT, "badge", 100_000, "badge"),
    (ANNOUNCEMENT, "badge", 1.5, "badge"),
    (ANNOUNCEMENT, "ttl", 59, "ttl"),
    (ANNOUNCEMENT, "ttl", 2_419_201, "ttl"),
    (ANNOUNCEMENT, "ttl", "60", "ttl"),
    (ANNOUNCEMENT, "source", {"shop": "x"}, "source.shop"),
    # Fields of a message that an announcement does not have.
    (ANNOUNCEMENT, "audiences", ["alice"], "audiences"),
    (ANNOUNCEMENT, "needConfirm", False, "needConfirm"),
    (ANNOUNCEMENT, "fallback", [{"channel": "sms"}], "fallback"),
    (ANNOUNCEMENT, "collapseKey", "k", "collapseKey"),
    (ANNOUNCEMENT, "sendAt", "2099-01-01T00:00:00Z", "sendAt"),
    (ANNOUNCEMENT, "persist", True, "persist"),
    (DEVICE, "platform", "ALL", "platform"),
    *((DEVICE, "alias", alias, "alias") for alias in ("ALL", "all", " All ")),
    *((DEVICE, "locale", locale, "locale") for locale in ("en_US", "!!", "C.UTF-8")),
    *((MESSAGE, "audiences", ["alice", alias], "audiences[1]") for alias in ("ALL", "aLL")),
    *((MESSAGE, "audienceType", kind, "audienceType") for kind in ("ALL", "TAG", "GROUP", "ORGANISATION", "ORG")),
    (DEVICE, "mobile", "13800138000", "mobile"),
    (DEVICE, "mobile", "+0123456789", "mobile"),
    (DEVICE, "mobile", "+123456", "mobile"),
    (DEVICE, "mobile", "+1234567890123456", "mobile"),
    (DEVICE, "email", "alice", "email"),
    (DEVICE, "email", "alice@example", "email"),
    (DEVICE, "email", "a@b@c.cn", "email"),
    (DEVICE, "email", "A <a@b.cn>", "email"),
    (DEVICE, "email", "a@c..cn", "email"),
    (DEVICE, "email", f"{'x' * 65}@example.cn", "email"),
    (DEVICE, "email", f"x@{'abc.' * 63}cn", "email"),
    (DEVICE, "email", "张@b.cn", "email"),
    (DEVICE, "email", "a@例子.cn", "email"),
    (DEVICE, "email", "a..b@c.cn", "email"),
    (DEVICE, "email", ".a@c.cn", "email"),
    (DEVICE, "email", "a.@c.cn", "email"),
    (DEVICE, "email", "a@-c.cn", "email"),
    *((DEVICE, "push", value, f"push{field}") for value, field in (
        ("apns", ""),
        ({}, ".channel"),
        ({"channel": "pigeon"}, ".channel"),
        ({"channel": "webhook"}, ".channel"),
        *((PUSHES["apns"] | {"token": token}, ".token") for token in ("", 7, "zz" * 32, "0" * 63, "00fc", "00" * 101)),
        *((PUSHES["fcm"] | {"token": token}, ".token") for token in ("", 7, "a b", "x" * 4097)),
        *(({"channel": name}, ".token") for name in ("apns", "fcm")),
        (PUSHES["mipush"] | {"token": "x"}, ".token"),
        ({"channel": "webpush", "keys": PUSHES["webpush"]["keys"]}, ".endpoint"),
        *((PUSHES["webpush"] | {"endpoint": url}, ".endpoint") for url in (
            "", 7, "nonsense", "ftp://push.example.com/1", "https://me@push.example.com/1",
            "https://push.example.com/" + "x" * 2048,
        )),
        (PUSHES["webpush"] | {"keys": []}, ".keys"),
        *((PUSHES["webpush"] | {"keys": PUSHES["webpush"]["keys"] | {name: key}}, f".keys.{name}")
          for name in ("p256dh", "auth") for key in ("", 7, "!", "AAAA", "B" * 88)),
        # A subscription has more fields than the service accepts.
        (PUSHES["webpush"] | {"expirationTime": 1}, ".expirationTime"),
        (PUSHES["webpush"] | {"keys": PUSHES["webpush"]["keys"] | {"more": "x"}}, ".keys.more"),
    )),
    *((CHOICE, name, value, name) for name in ("timeZone", "language") for value in ("", " ", 7, "x" * 65)),
    (CHOICE, "timeZone", "../etc", "timeZone"),
    *((CHOICE, "language", language, "language") for language in ("en_US", "!!", "x" * 64, "de-", "en-x")),
    (CHOICE, "muted", "yes", "muted"),
    (CHOICE, "channels", {"pigeon": True}, "channels.pigeon"),
    (CHOICE, "channels", {"sms": 1}, "channels.sms"),
    (CHOICE, "categories", {"": {}}, "categories"),
    (CHOICE, "categories", {"x" * 65: {}}, "categories"),
    (CHOICE, "categories", {f"c{n}": {} for n in range(51)}, "categories"),
    (CHOICE, "categories", {"news": {"sms": False}}, "categories.news.sms"),
    (CHOICE, "quietHours", {"from": "22:00"}, "quietHours.to"),
    (CHOICE, "quietHours", {"from": "24:00", "to": "07:00"}, "quietHours.from"),
    (CHOICE, "quietHours", {"from": "22:00", "to": "7:00"}, "quietHours.to"),
    (CHOICE, "quietHours", {"from": "22:00", "to": "07:00", "except": [""]}, "quietHours.except[0]"),
]
# Left out of a good body.
MISSING = [(MESSAGE, "audiences"), (MESSAGE, "alert"), (ANNOUNCEMENT, "alert"), (DEVICE, "appId"), (DEVICE, "alias"),
           (DEVICE, "platform"), (DEVICE, "nativeToken")]


class Http(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.world = World()
        cls.addClassCleanup(cls.world.stop)

    def test_every_answer_of_the_document_has_a_row(self):
        self.assertEqual(OPENAPI.answers() - set(ROWS), set(), "documented, and never seen")
        self.assertEqual(set(ROWS) - OPENAPI.answers(), set(), "seen, and not documented")

    def test_a_repeat_is_marked(self):
        key = {"Idempotency-Key": "a" * 255}
        for operation in (MESSAGE, ANNOUNCEMENT):
            with self.subTest(operation):
                first, second = (ask(self.world, operation, headers=key) for _ in range(2))
                self.assertEqual((first.status, first.value), (second.status, second.value))
                replays = [answer.headers.get("idempotency-replay") for answer in (first, second)]
                self.assertEqual(replays, [None, "true"])

    def test_a_bad_idempotency_key_is_refused_by_the_document_too(self):
        schema = OPENAPI.at("/components/parameters/idempotencyKey")["schema"]
        for key, accepted in (("k", True), ("k" * 255, True), ("k" * 256, False), ("kö", False), ("a b", True),
                              ("a,b", False), ("a\tb", False)):
            with self.subTest(key):
                header = {"Idempotency-Key": key.encode()}
                for operation in (MESSAGE, ANNOUNCEMENT):
                    self.assertEqual(ask(self.world, operation, headers=header).status == 202, accepted)
                self.assertEqual(OPENAPI.errors(schema, key) == [], accepted)

    def test_what_the_service_refuses_the_document_refuses_too(self):
        for operation, field, value, named in WRONG:
            with self.subTest(operation, field=field, value=str(value)[:40]):
                self.refused(operation, good_body(operation) | {field: value}, named)
        for operation, field in MISSING:
            with self.subTest(operation, missing=field):
                body = good_body(operation)
                del body[field]
                self.refused(operation, body, field)

    def refused(self, operation: str, body: dict, field: str):
        answer = ask(self.world, operation, body)
        self.assertEqual((answer.status, answer.value["code"]), (400, "invalid_fields"))
        self.assertIn(field, [error["field"] for error in answer.value["errors"]])
        self.assertNotEqual(OPENAPI.request_errors(operation, body), [], f"the document allows {body}")

    def test_every_field_of_every_answer_is_seen(self):
        for row in ("POST /v1/devices 201", "GET /v1/devices/{deviceId} 200", "POST /v1/messages 202",
                    "DELETE /v1/messages/{messageId} 200", "POST /v1/announcements 202", "GET /v1/announcements 200",
                    "GET /v1/announcements/{announcementId} 200", "DELETE /v1/announcements/{announcementId} 200",
                    "GET /v1/inbox 200", "GET /v1/inbox/unread 200", "PUT /v1/items/{item} 200",
                    "GET /v1/users/{alias}/preferences 200", "PUT /v1/preferences 200"):
            ROWS[row](self.world)
        api = self.world.api
        # This chain reaches no one: both steps are skipped.
        chain = api.send("nobody", fallback=[{"channel": "sms"}, {"channel": "email", "after": 0}])
        eventually("the chain ends", lambda: api.trail(chain)["recipients"][0]["state"] == "suppressed")
        # The app's server is called once; the call has the time to live of the message, which the server may ignore.
        chain = api.send("nobody", fallback=[{"channel": "fcm", "after": 0}, {"channel": "webhook", "after": 0}])
        eventually("it is pushed", lambda: api.trail(chain)["recipients"][0]["state"] == "fallback-delivered")
        happened = {it["event"]: it for it in api.trail(chain)["recipients"][0]["transitions"]}
        self.assertEqual(happened["step-skipped"]["code"], "no_device")
        self.assertEqual(happened["step-accepted"]["detail"], "ttl ignored")
        later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
        message = api.send("alice", sendAt=later.isoformat(), needConfirm=True, duration=1)
        api.call("DELETE", f"/v1/messages/{message}")
        api.trail(message)
        for _ in range(101):
            api.register("of too many devices")
        with Socket(api.register("connected")) as socket:
            message = api.send("connected")
            socket.expect("message")
            api.trail(message)
        self.assertEqual(OPENAPI.fields_of_answers() - api.fields, set())


def slug(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_").lower()


def test_of(name: str, row):
    def test(self):
        self.assertEqual(row(self.world).name, name)

    test.__doc__ = name
    return test


for name, row in ROWS.items():
    setattr(Http, f"test_{slug(name)}", test_of(name, row))

if __name__ == "__main__":
    unittest.main()
