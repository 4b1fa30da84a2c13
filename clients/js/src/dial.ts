import type { Environment, Socket, SocketClass } from "./environment.js";

/** Where a socket is opened, and how. */
export interface Target {
  readonly url: string;
  readonly protocols: string[];
}

/**
 * Opens one socket. `done` is called once: with the socket when it is open, and without where it is not open within so
 * many milliseconds. The answer gives the attempt up; `done` is not called any more then.
 */
export function dial(
  environment: Environment,
  WebSocket: SocketClass,
  target: Promise<Target>,
  within: number,
  done: (socket?: Socket) => void,
): () => void {
  let socket: Socket | undefined;
  let pending = true;
  const settle = (opened?: Socket): boolean => {
    if (!pending) {
      return false;
    }
    pending = false;
    environment.clearTimeout(timer);
    if (!opened && socket) {
      leave(socket);
    }
    return true;
  };
  const fail = (): void => {
    if (settle()) {
      done();
    }
  };
  const timer = environment.setTimeout(fail, within);
  target.then(({ url, protocols }) => {
    if (pending) {
      const opening = new WebSocket(url, protocols);
      socket = opening;
      opening.onopen = () => settle(opening) && done(opening);
      opening.onclose = fail;
      opening.onerror = fail;
    }
  }).catch(fail);
  return settle;
}

/** Closes a socket of which nothing is to be heard any more. */
export function leave(socket: Socket): void {
  socket.onopen = null;
  socket.onmessage = null;
  socket.onclose = null;
  // Not `null`: closing a socket before it is open is an error, which in Node has to be heard by somebody.
  socket.onerror = () => {};
  socket.close();
}
