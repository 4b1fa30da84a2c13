import type { ServiceClock } from "./clock.js";
import { dial, type Target } from "./dial.js";
import type { Environment, Socket, SocketClass } from "./environment.js";
import type { Listener } from "./listener.js";
import { ANSWER_WITHIN } from "./times.js";
import { connectToken } from "./tokens.js";

/** The subprotocol of Tidings. */
const PROTOCOL = "tidings.v1";
/**
 * After this many failed openings in a row, and then after twice as many each time, the device may have been refused.
 */
const REFUSED_AFTER = 3;

/** The options of a connection. */
export interface ConnectionOptions {
  readonly url: string;
  readonly WebSocket: SocketClass;
  readonly automatic: boolean;
  readonly tokenIn?: "subprotocol" | "query";
}

/** Opens sockets, one at a time. `done` receives the socket, or nothing if the attempt failed. */
export interface Opener {
  /** Opens the first socket after a loss. */
  openFirst(done: (socket?: Socket) => void): void;
  /** Opens a successor in the same way as the current socket was opened, unless an attempt is under way. */
  openSuccessor(done: (socket?: Socket) => void): void;
  /** Gives the attempt up. */
  giveUp(): void;
}

/** A new opener. */
export function opener(
  environment: Environment,
  clock: ServiceClock,
  { url, WebSocket, tokenIn }: ConnectionOptions,
  { identity, refused }: Listener,
): Opener {
  /** The number of failed openings in a row, and the number at which the device is next considered refused. */
  let unopened = 0;
  let refusedAt = REFUSED_AFTER;
  /** The device was considered refused, and its registration failed: it is tried again with every further failure. */
  let owed = false;
  let inQuery = tokenIn === "query";
  let dialing: (() => void) | undefined;

  function open(way: boolean, done: (socket?: Socket) => void): void {
    dialing = dial(environment, WebSocket, target(way), ANSWER_WITHIN, (socket) => {
      dialing = undefined;
      done(socket);
    });
  }

  async function target(way: boolean): Promise<Target> {
    const token = await connectToken(identity(), clock.now());
    const named = `${url}?deviceId=${encodeURIComponent(identity().id)}`;
    return way ? [`${named}&token=${token}`] : [named, [PROTOCOL, token]];
  }

  return {
    openFirst(done) {
      // A browser does not report why an opening failed: a gateway that drops the subprotocol looks like one that is
      // down. Every second attempt has the token in the URL, until one of them opens.
      const way = inQuery || (tokenIn !== "query" && unopened % 2 === 1);
      open(way, (socket) => {
        if (socket) {
          unopened = 0;
          refusedAt = REFUSED_AFTER;
          inQuery = way;
          done(socket);
          return;
        }
        unopened += 1;
        done();
        if (unopened === refusedAt) {
          refusedAt *= 2;
          // A way that worked once may stop working.
          inQuery = tokenIn === "query";
          owed = true;
        }
        if (owed) {
          owed = false;
          refused().catch(() => {
            owed = true;
          });
        }
      });
    },
    openSuccessor(done) {
      if (!dialing) {
        open(inQuery, done);
      }
    },
    giveUp() {
      dialing?.();
      dialing = undefined;
    },
  };
}
