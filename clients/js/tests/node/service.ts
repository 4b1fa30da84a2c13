// A WebSocket server that a test controls.

import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { TestContext } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { Device } from "../../src/device.js";
import type { DeviceOptions } from "../../src/options.js";
import type { TidingsError } from "../../src/errors.js";
import type { Message } from "../../src/wire.js";
import { type Keys, keysOf, sealFrame } from "../sealing.js";
import { FakeClock, until } from "./clock.js";

export const DEVICE = "device-1";
export const EPOCH = 7;

interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Socket;
  readonly head: Buffer;
}

type Action = Record<string, unknown>;

/** The claims of a token, whose signature is checked. */
export function verified(token: string, keys: Keys): Record<string, unknown> {
  const [header = "", claims = "", signature] = token.split(".");
  const mac = createHmac("sha256", Buffer.from(keys.token.k, "base64url")).update(`${header}.${claims}`);
  assert.equal(signature, mac.digest("base64url"));
  return JSON.parse(Buffer.from(claims, "base64url").toString());
}

/** One socket of a device. */
export class Peer {
  readonly #socket: WebSocket;
  readonly #keys: Keys;
  readonly #actions: Action[] = [];
  readonly claims: Record<string, unknown>;
  readonly inQuery: boolean;
  closed = false;

  constructor(socket: WebSocket, keys: Keys, claims: Record<string, unknown>, inQuery: boolean) {
    this.#socket = socket;
    this.#keys = keys;
    this.claims = claims;
    this.inQuery = inQuery;
    socket.on("message", (data) => this.#actions.push(JSON.parse(String(data))));
    socket.on("close", () => {
      this.closed = true;
    });
  }

  /** The next action of the device. */
  nextAction(): Promise<Action> {
    return until(() => this.#actions.shift(), "an action of the device");
  }

  /** Waits until the device has acknowledged everything up to a position; returns the number of its actions. */
  async nextAcksUpTo(seq: number): Promise<number> {
    for (let words = 1; ; words += 1) {
      const { action, id, seq: upTo } = await this.nextAction();
      assert.equal(action, "ack");
      if (id === undefined && upTo === seq) {
        return words;
      }
    }
  }

  /** The number of actions that the test has not taken yet. */
  get pending(): number {
    return this.#actions.length;
  }

  /** Seals a frame and sends it. */
  send(frame: Action): void {
    this.sendInClear(sealFrame(this.#keys, { deviceId: DEVICE, ...frame }, randomBytes(16)));
  }

  sendInClear(text: string | Buffer): void {
    this.#socket.send(text);
  }

  message(seq: number, more: Action = {}): void {
    this.send({ ...messageFrame(seq), ...more });
  }

  synced(seq: number, posted: number[] = [], more: Action = {}): void {
    this.send({ type: "synced", epoch: EPOCH, seq, recovered: true, more: false, posted, ...more });
  }

  pong(seq: number, more: Action = {}): void {
    const serverTime = Math.floor(Date.now() / 1_000);
    this.send({ type: "pong", epoch: EPOCH, seq, serverTime, nextPing: 240, ...more });
  }

  /** Answers the first `sync`: there is nothing more than that. */
  async upToDate(seq: number): Promise<void> {
    assert.equal((await this.nextAction()).action, "sync");
    this.synced(seq);
  }

  /** Cuts the connection without a close. */
  drop(): void {
    this.#socket.terminate();
  }

  async waitsForClose(): Promise<void> {
    await until(() => this.closed, "a goodbye");
  }
}

/** Message n has the id `n`. */
export function messageFrame(seq: number): Action {
  return {
    type: "message",
    id: String(seq),
    epoch: EPOCH,
    seq,
    toUserName: "alice",
    createTime: 1,
    alert: `no. ${seq}`,
  };
}

/** A service, its device, and the device's events. */
export class Service {
  readonly clock = new FakeClock();
  readonly keys = keysOf(DEVICE, 5);
  readonly #server: Server;
  readonly #upgrades: Upgrade[] = [];
  readonly #sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has("tidings.v1") ? "tidings.v1" : false),
  });
  readonly #mute = new WebSocketServer({ noServer: true, handleProtocols: () => false });
  readonly shown: string[] = [];
  readonly errors: TidingsError[] = [];
  readonly states: string[] = [];
  readonly waits: number[] = [];
  /** Connections that were begun, whether they opened or not. */
  begun = 0;
  #marks = 0;
  /** Answers for every connection from now on, by itself. */
  always: ((upgrade: Upgrade) => void) | undefined;

  private constructor(server: Server) {
    this.#server = server;
    server.on("upgrade", (request, socket, head) => {
      this.begun += 1;
      // A test may end in the middle of a handshake.
      socket.on("error", () => {});
      const upgrade = { request, socket: socket as Socket, head };
      if (this.always) {
        this.always(upgrade);
      } else {
        this.#upgrades.push(upgrade);
      }
    });
  }

  static async start(t: TestContext): Promise<Service> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const service = new Service(server);
    const connections = new Set<Socket>();
    server.on("connection", (socket) => connections.add(socket));
    t.after(() => {
      for (const socket of connections) {
        socket.destroy();
      }
      server.close();
    });
    return service;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}/test`;
  }

  /** A device that has not started. Its events are kept. */
  device(t: TestContext, options: Partial<DeviceOptions> = {}): Device {
    const registration = { id: DEVICE, keys: this.keys };
    const device = new Device({ url: this.url, registration, WebSocket, ...options }, this.clock);
    device.on("error", (error) => this.errors.push(error));
    device.on("state", ({ state, reason, retryIn }) => {
      this.states.push(reason ? `${state}: ${reason}` : state);
      if (retryIn !== undefined) {
        this.waits.push(retryIn);
      }
    });
    t.after(() => device.close());
    return device;
  }

  /** A device that has started, and shows its messages. */
  start(t: TestContext, options: Partial<DeviceOptions> = {}): Device {
    const device = this.device(t, options);
    device.on("message", (message: Message) => this.shown.push(message.id));
    device.start();
    return device;
  }

  async #next(): Promise<Upgrade> {
    return until(() => this.#upgrades.shift(), "a connection");
  }

  async #token(request: IncomingMessage): Promise<[string, boolean]> {
    const query = new URL(request.url ?? "", "http://x").searchParams;
    assert.equal(query.get("deviceId"), DEVICE);
    const token = query.get("token");
    return token ? [token, true] : [request.headers["sec-websocket-protocol"]?.split(/, */)[1] ?? "", false];
  }

  /** Opens the next connection. `mute`: does not choose a subprotocol. */
  async accept({ mute = false } = {}): Promise<Peer> {
    const { request, socket, head } = await this.#next();
    const [token, inQuery] = await this.#token(request);
    const claims = verified(token, this.keys);
    return new Promise((resolve) => {
      const server = mute ? this.#mute : this.#sockets;
      server.handleUpgrade(request, socket, head, (opened) => resolve(new Peer(opened, this.keys, claims, inQuery)));
    });
  }

  /** Opens a connection of {@link always}. */
  open({ request, socket, head }: Upgrade, opened: (socket: WebSocket) => void): void {
    this.#sockets.handleUpgrade(request, socket, head, opened);
  }

  /** Refuses the next connection. */
  async refuse(status = "401 Unauthorized"): Promise<Record<string, unknown>> {
    const { request, socket } = await this.#next();
    const [token] = await this.#token(request);
    socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
    return verified(token, this.keys);
  }

  /** How often the device has tried, by its own events. */
  get attempts(): number {
    return this.states.filter((state) => state === "connecting").length;
  }

  /** Whether a connection waits to be answered. */
  get isCalled(): boolean {
    return this.#upgrades.length > 0;
  }

  /** Lets time pass until a connection comes, and returns how much. */
  async timeUntilCalled(device: Device): Promise<number> {
    const begin = this.clock.now();
    while (!this.isCalled) {
      if (device.state === "waiting") {
        await this.clock.advance(100);
      } else {
        await until(() => this.isCalled || device.state === "waiting", "an attempt");
      }
    }
    return this.clock.now() - begin;
  }

  /** Waits until the device has read everything that this peer has sent. */
  async read(peer: Peer): Promise<void> {
    this.#marks += 1;
    const code = `mark ${this.#marks}`;
    peer.send({ type: "error", code, detail: "" });
    await until(() => this.errors.at(-1)?.code === code, "the end of what was sent");
    this.errors.pop();
  }

  /** Waits until these messages were shown, in this order, and no others. */
  async showed(...ids: number[]): Promise<void> {
    await until(() => this.shown.length >= ids.length, `messages ${ids}, after ${this.shown},`);
    assert.deepEqual(this.shown, ids.map(String));
  }
}
