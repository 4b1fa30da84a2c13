import type { ServiceClock } from "./clock.js";
import { dial, type Target } from "./dial.js";
import type { Environment, Socket, SocketClass } from "./environment.js";
import type { Listener } from "./listener.js";
import { ANSWER_WITHIN } from "./times.js";
import { connectToken } from "./tokens.js";

/** The subprotocol of Tidings. */
const PROTOCOL = "tidings.v1";
/** After so many openings in a row that failed, and twice as many each further time, the device may have been refused. */
const REFUSED_AFTER = 3;

/** How to connect. */
export interface ConnectionOptions {
  readonly url: string;
  readonly WebSocket: SocketClass;
  readonly automatic: boolean;
  readonly tokenIn?: "subprotocol" | "query";
}

/** Opens sockets, one at a time. `done` gets the socket, or nothing if the attempt failed. */
export interface Opener {
  /** Opens the first socket after a loss. */
  openFirst(done: (socket?: Socket) => void): void;
  /** Opens a socket beside the one that serves, in the way in which that was opened, unless an attempt is under way. */
  openSuccessor(done: (socket?: Socket) => void): void;
  /** Gives the attempt up. */
  giveUp(): void;
}

/** An opener that has opened nothing yet. */
export function opener(
  environment: Environment,
  clock: ServiceClock,
  { url, WebSocket, tokenIn }: ConnectionOptions,
  { identity, refused }: Listener,
): Opener {
  /** How many openings failed in a row, and after how many the device is taken for refused next. */
  let unopened = 0;
  let refusedAt = REFUSED_AFTER;
  /** The device was taken for refused, and could not be registered: that is tried again with every further failure. */
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
      // A browser does not tell why an opening failed: a gateway that drops the subprotocol looks like one that is away.
      // Every second attempt has the token in the URL, until one of them opens.
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
          // What opened once may not do so for ever.
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
