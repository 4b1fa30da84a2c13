"""Everything that asyncapi.yaml has, sent and received on real sockets at the local twin.

Each row produces one thing that can be received. A documented one without a row fails, and so does any frame that is
not documented.
"""

import secrets
import time
import unittest

from api import Api, Device, Refused, Socket
from documents import ASYNCAPI
from twin import DEADLINE, Twin, eventually

# Answers to frames that API Gateway does not pass on: it closes the connection, which is seen here.
# tests/twin/contract.rs produces both, behind a gateway that passes them on.
BEHIND_THE_GATEWAY = {"error binary_frame", "error body_too_large"}

# The shortest life that a connection may be given, in seconds.
LIFE = 10


class World:
    """A twin, and an API that has seen nothing yet."""

    def __init__(self, twin: Twin):
        self.twin, self.api = twin, Api(twin)

    def online(self, **registration) -> Socket:
        """A device of a new user, connected."""
        return Socket(self.api.register(secrets.token_hex(8), **registration))

    def with_a_message(self) -> tuple[Socket, dict]:
        """A device that has received a message, and the message."""
        alias = secrets.token_hex(8)
        socket = Socket(self.api.register(alias))
        self.api.send(alias)
        return socket, socket.expect("message")


def place(message: dict) -> dict:
    return {"epoch": message["epoch"], "seq": message["seq"]}


def documented() -> set[str]:
    """Everything that a device can receive: frames, errors by their code, upgrades, ends."""
    frames = (ASYNCAPI.opened() | ASYNCAPI.in_clear() | {"sealed"}) - {"error"}
    errors = {f"error {code}" for code in ASYNCAPI.codes()}
    upgrades = {f"upgrade {status}" for status in ASYNCAPI.upgrade}
    return (frames | errors | upgrades | {f"close {code}" for code in ASYNCAPI.close}) - BEHIND_THE_GATEWAY


# -- Rows: what is received, and what produces it ----------------------------------------------------------------------

ROWS: dict[str, object] = {}


def brings(name: str):
    def note(row):
        assert name not in ROWS, name
        ROWS[name] = row
        return row

    return note


@brings("upgrade 101")
def welcome(world: World):
    with world.online():
        pass
    # The token in the URL, without a subprotocol.
    device = world.api.register("alice")
    with Socket(device, beside=False, query=f"&token={device.token()}"):
        pass


@brings("upgrade 400")
def with_a_parameter_that_there_is_not(world: World):
    device = world.api.register("alice")
    for query in ("&x=1", "&deviceid=a", "&="):
        refused(device, 400, query=query)


@brings("upgrade 401")
def without_a_good_token(world: World):
    device = world.api.register("alice")
    used, now = device.token(), int(time.time())
    with Socket(device, token=used):
        pass
    for token in (None, used, "nonsense", device.token(iat=now - 120, exp=now - 60), device.token(aud="tidings")[:-2]):
        refused(device, 401, token=token)


@brings("upgrade 403")
def with_the_token_of_another_device(world: World):
    refused(world.api.register("alice"), 403, token=world.api.register("bob").token())


@brings("upgrade 500")
def while_connect_fails(world: World):
    device = world.api.register("alice")
    with world.twin.fault(fault="fail-invoke", function="ConnectFunction"):
        refused(device, 500)


def refused(device: Device, status: int, **more):
    try:
        Socket(device, **more)
    except Refused as refused:
        assert refused.status == status, f"{refused}, not {status}: {more}"
    else:
        raise AssertionError(f"welcome: {more}")


@brings("message")
def a_message_with_everything(world: World):
    alias = secrets.token_hex(8)
    with Socket(world.api.register(alias)) as socket:
        content = {
            "pushMsgType": "CMD",
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
        }
        world.api.send(alias, **content)
        message = socket.expect("message")
        assert {name: message[name] for name in content} == content
        assert message["fromUserName"] == "Shop" and message["toUserName"] == alias and message["seq"] == 1
        world.api.send(alias, persist=False)
        assert "seq" not in socket.expect("message"), "it is not kept"


@brings("sealed")
def a_sealed_frame(world: World):
    with world.online() as socket:
        socket.send(action="ping")
        socket.expect("pong")


@brings("pong")
def a_ping(world: World):
    socket, message = world.with_a_message()
    with socket:
        socket.send(action="ping")
        pong = socket.expect("pong")
        assert place(pong) == place(message) and abs(pong["serverTime"] - time.time()) < DEADLINE


@brings("synced")
def a_replay(world: World):
    socket, message = world.with_a_message()
    with socket:
        socket.send(action="state", state="foreground")
        socket.send(action="state", state="background")
        socket.send(action="sync", epoch=0, seq=0)
        assert socket.expect("message") == message
        assert socket.expect("synced")["posted"] == [1]
        socket.send(action="read", id=message["id"], **place(message))
        socket.send(action="ack", id=message["id"], **place(message))
        socket.send(action="read", **place(message))
        socket.send(action="ack", **place(message))
        # Actions of one socket are handled concurrently: a replay may overtake a receipt that was sent before it.
        state = lambda: world.api.trail(message["id"])["recipients"][0]["state"]
        eventually("it is confirmed", lambda: state() == "confirmed")
        # The first that comes: none of the receipts was answered.
        socket.send(action="sync")
        synced = socket.expect("synced")
        assert place(synced) == place(message) and synced["posted"] == [] and synced["recovered"]


@brings("announcement")
def an_announcement_with_everything(world: World):
    tenant = secrets.token_hex(8)
    with world.online(tenantCode=tenant) as socket:
        content = {
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
        first = world.api.announce(tenantCode=tenant, **content)
        # The push and the replay bring the same frames, each of which follows the one before it.
        pushed = socket.expect("announcement")
        assert {name: pushed[name] for name in content} == content and pushed["fromUserName"] == "Shop"
        assert (pushed["id"], pushed["number"], pushed["after"]) == (first["requestId"], first["number"], 0)
        second = world.api.announce(tenantCode=tenant)
        behind = socket.expect("announcement")
        assert (behind["number"], behind["after"]) == (second["number"], first["number"])
        socket.send(action="sync", announced=0)
        assert [socket.expect("announcement") for _ in range(2)] == [pushed, behind]
        number = second["number"]
        assert socket.expect("synced")["announced"] == {"after": number, "number": number}
        # A sync without `announced` brings none.
        socket.send(action="sync")
        assert "announced" not in socket.expect("synced")
        world.api.call("DELETE", f"/v1/announcements/{second['requestId']}")
        socket.send(action="sync", announced=first["number"])
        assert socket.expect("synced")["announced"] == {"after": first["number"], "number": number}


def more_announcements_than_one_replay_looks_at(world: World):
    tenant = secrets.token_hex(8)
    # Announcements for other platforms count for the page, too.
    numbers = [world.api.announce(tenantCode=tenant, platform="IOS")["number"] for _ in range(51)]
    with world.online(tenantCode=tenant) as socket:
        socket.send(action="sync", announced=0)
        assert socket.expect("synced")["announced"] == {"after": 0, "number": numbers[49], "more": True}
        socket.send(action="sync", announced=numbers[49])
        assert socket.expect("synced")["announced"] == {"after": numbers[49], "number": numbers[50]}


@brings("reconnect")
def in_the_last_part_of_its_life(world: World):
    with world.online() as socket:
        socket.send(action="ping")
        # The service sets the time of the next ping, so that the device asks in time.
        time.sleep(socket.expect("pong")["nextPing"])
        socket.send(action="ping")
        socket.expect("reconnect")


@brings("close 1001")
def at_the_end_of_its_life(world: World):
    with world.online() as socket:
        assert socket.end() == 1001


@brings("close 1003")
def after_a_binary_frame(world: World):
    with world.online() as socket:
        socket.socket.send(b"\x01\x02\x03")
        assert socket.end() == 1003


@brings("close 1009")
def after_a_frame_that_is_too_large(world: World):
    with world.online() as socket:
        socket.socket.send("x" * (32 * 1024 + 1))
        assert socket.end() == 1009


@brings("reconnectInClear")
def after_the_device_was_unregistered_and_its_socket_stayed_open(world: World):
    open_still = {"fault": "fail-before", "service": "connections", "operation": "DeleteConnection"}
    with world.online() as socket:
        with world.twin.fault(**open_still):
            world.api.call("DELETE", f"/v1/devices/{socket.device.id}")
        for action in ({"action": "ping"}, {"action": "sync"}, {"action": "state", "state": "foreground"}):
            socket.send(**action)
            socket.expect("reconnectInClear")


@brings("gatewayError")
def while_a_function_fails(world: World):
    with world.online() as socket, world.twin.fault(fault="fail-invoke", function="HeartbeatFunction"):
        socket.send(action="ping")
        socket.expect("gatewayError")


def error(world: World, code: str, *wrong: str):
    with world.online() as socket:
        for text in wrong:
            socket.send_wrong(text)
            came = socket.expect("error")
            assert came["code"] == code, f"{text[:100]}: {came}"


@brings("error unknown_action")
def unknown_action(world: World):
    error(world, "unknown_action", "{}", '{"action": "dance"}', '{"action": 7}', '{"action": ["ping"]}')


@brings("error not_json")
def not_json(world: World):
    error(world, "not_json", "hello", "[]", '{"action": "ping"', '"ping"')


@brings("error body_too_deep")
def too_deep(world: World):
    error(world, "body_too_deep", '{"action": "ping", "x": ' + "[" * 64 + "]" * 64 + "}")


@brings("error invalid_fields")
def invalid_fields(world: World):
    error(
        world,
        "invalid_fields",
        '{"action": "ping", "x": 1}',
        '{"action": "sync", "epoch": 1}',
        '{"action": "sync", "seq": 1}',
        '{"action": "sync", "epoch": 1, "seq": -1}',
        '{"action": "sync", "epoch": "1", "seq": 1}',
        '{"action": "sync", "cursor": 1}',
        '{"action": "sync", "announced": -1}',
        '{"action": "sync", "announced": "1"}',
        '{"action": "sync", "announced": 1.5}',
        '{"action": "sync", "epoch": 1, "announced": 1}',
        '{"action": "ack"}',
        '{"action": "ack", "id": "x"}',
        '{"action": "ack", "id": null, "epoch": 1, "seq": 1}',
        '{"action": "ack", "id": "", "epoch": 1, "seq": 1}',
        '{"action": "ack", "id": "' + "x" * 65 + '", "epoch": 1, "seq": 1}',
        '{"action": "ack", "epoch": 1, "seq": 1.5}',
        '{"action": "read", "epoch": 1}',
        '{"action": "read", "seq": 1}',
        '{"action": "state"}',
        '{"action": "state", "state": "asleep"}',
        '{"action": "state", "state": "foreground", "since": 1}',
    )


@brings("error unknown_message")
def unknown_message(world: World):
    receipt(world, "unknown_message", id="none")


@brings("error unknown_epoch")
def unknown_epoch(world: World):
    receipt(world, "unknown_epoch", epoch=1)


@brings("error future_seq")
def future_seq(world: World):
    receipt(world, "future_seq", seq=99)


def receipt(world: World, code: str, **change):
    socket, message = world.with_a_message()
    with socket:
        for action in ("ack", "read"):
            socket.send(action=action, **(place(message) | change))
            assert socket.expect("error")["code"] == code


class OverTheSocket(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.twin = Twin("--life", str(LIFE))
        cls.addClassCleanup(cls.twin.stop)

    def test_everything_of_the_document_has_a_row(self):
        self.assertEqual(documented() - set(ROWS), set(), "documented, and never seen")
        self.assertEqual(set(ROWS) - documented(), set(), "seen, and not documented")

    def test_every_action_and_every_field_is_seen(self):
        world = World(self.twin)
        for name in ("message", "announcement", "synced", "pong", "reconnect", "reconnectInClear", "gatewayError",
                     "error future_seq"):
            ROWS[name](world)
        more_announcements_than_one_replay_looks_at(world)
        self.assertEqual(ASYNCAPI.actions() - world.api.seen, set())
        named = set().union(*(ASYNCAPI.named_fields(ASYNCAPI.schema(name)) for name in ASYNCAPI.messages))
        self.assertEqual(named - world.api.fields, set())


def test_of(name: str, row):
    def test(self):
        world = World(self.twin)
        row(world)
        self.assertIn(name, world.api.seen)

    test.__doc__ = name
    return test


for name, row in ROWS.items():
    setattr(OverTheSocket, "test_" + name.replace(" ", "_").lower(), test_of(name, row))

if __name__ == "__main__":
    unittest.main()
