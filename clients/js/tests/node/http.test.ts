// The inbox over HTTP, against a server that answers by docs/protocol.md.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import type { Device } from "../../src/device.js";
import { sealFrame } from "../sealing.js";
import { until } from "./clock.js";
import { DEVICE, messageFrame, Service, verified } from "./service.js";

type Answer = (response: ServerResponse) => void;

/** A connected device, what its API was asked for, and what it answers. */
async function withApi(t: TestContext, answer: Answer): Promise<[Device, Service, string[]]> {
  const service = await Service.start(t);
  const asked: string[] = [];
  const tokens = new Set<unknown>();
  const server = createServer((request, response) => {
    const claims = verified(request.headers.authorization?.replace("Bearer ", "") ?? "", service.keys);
    assert.equal(claims.sub, DEVICE);
    assert.ok(!tokens.has(claims.jti), "a token serves once");
    tokens.add(claims.jti);
    asked.push(`${request.method} ${request.url}`);
    answer(response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const device = service.start(t, { apiUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
  await (await service.accept()).upToDate(0);
  await until(() => device.state === "online");
  return [device, service, asked];
}

function json(status: number, body: unknown): Answer {
  return (response) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

test("a page of the inbox is opened", async (t) => {
  let answer: Answer = () => {};
  const [device, service, asked] = await withApi(t, (response) => answer(response));
  const entry = (seq: number, frame: unknown): unknown => ({
    ...{ id: String(seq), epoch: 7, seq, read: seq === 1 },
    frame: sealFrame(service.keys, frame, randomBytes(16)),
  });
  const message = (seq: number): Record<string, unknown> => ({ ...messageFrame(seq), deviceId: DEVICE });
  const unreadable = { ...(entry(9, message(9)) as object), frame: "nonsense" };
  const foreign = entry(8, { ...messageFrame(8), deviceId: "another" });
  const pong = entry(7, { type: "pong", deviceId: DEVICE, epoch: 7, seq: 7, serverTime: 1, nextPing: 1 });
  answer = json(200, {
    messages: [unreadable, foreign, pong, entry(2, message(2)), entry(1, message(1))],
    next: "n+/=",
  });
  assert.deepEqual(await device.inbox({ limit: 5 }), {
    messages: [
      { ...message(2), read: false },
      { ...message(1), read: true },
    ],
    next: "n+/=",
  });
  assert.deepEqual(
    service.errors.map(({ code }) => code),
    ["unreadable_frame", "unexpected", "unexpected"],
  );
  answer = json(200, { messages: [] });
  assert.deepEqual(await device.inbox({ limit: 5, before: "n+/=" }), { messages: [] });
  assert.deepEqual(await device.inbox(), { messages: [] });
  assert.deepEqual(asked, ["GET /v1/inbox?limit=5", "GET /v1/inbox?limit=5&before=n%2B%2F%3D", "GET /v1/inbox"]);
  assert.deepEqual(service.shown, [], "what is in the inbox is not shown as new");
});

test("what is unread is counted", async (t) => {
  const [device, , asked] = await withApi(t, json(200, { count: 7, more: false }));
  assert.deepEqual(await device.unread(), { count: 7, more: false });
  assert.deepEqual(asked, ["GET /v1/inbox/unread"]);
});

test("problems are typed errors", async (t) => {
  let answer: Answer = () => {};
  const [device] = await withApi(t, (response) => answer(response));
  answer = json(401, {
    status: 401,
    code: "wrong_token",
    title: "Unauthorized",
    detail: "the token",
    requestId: "r-1",
  });
  await assert.rejects(device.unread(), {
    name: "TidingsError",
    code: "wrong_token",
    detail: "the token",
    requestId: "r-1",
  });
  // API Gateway's own.
  answer = json(429, { message: "Too Many Requests" });
  await assert.rejects(device.inbox(), { code: "unexpected", detail: "429", requestId: undefined });
  answer = (response) => response.writeHead(502).end("<html>");
  await assert.rejects(device.unread(), { code: "unreachable" });
  answer = (response) => response.destroy();
  await assert.rejects(device.unread(), { code: "unreachable" });
  answer = json(200, { nothing: true });
  await assert.rejects(device.inbox(), { code: "unexpected" });
  answer = json(200, null);
  await assert.rejects(device.inbox(), { code: "unexpected" });
});

test("without an API, or before the device is registered, there is nothing to ask", async (t) => {
  const service = await Service.start(t);
  await assert.rejects(service.device(t).unread(), { code: "bad_options" });
  await assert.rejects(service.device(t, { apiUrl: "http://127.0.0.1:1" }).unread(), { code: "unreachable" });
});
