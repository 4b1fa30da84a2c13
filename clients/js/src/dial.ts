import { CLOSED, type Environment, type Socket, type SocketClass } from "./environment.js";

/** The URL and the subprotocols of a socket. */
export type Target = [url: string, subprotocols?: string[]];

/**
 * Opens one socket. `done` is called once: with the socket when it is open, or without one if it is not open within
 * this many milliseconds. The returned function gives the attempt up; `done` is then not called any more.
 */
export function dial(
  { after }: Environment,
  WebSocket: SocketClass,
  target: Promise<Target>,
  within: number,
  done: (socket?: Socket) => void,
): () => void {
  let socket: Socket | undefined;
  let pending = true;
  const settle = (opened: Socket | undefined, call: typeof done): void => {
    if (pending) {
      pending = false;
      cancel();
      if (!opened) {
        leave(socket);
      }
      call(opened);
    }
  };
  const fail = (): void => settle(undefined, done);
  const cancel = after(within, fail);
  target
    .then((to) => {
      if (pending) {
        const opening = new WebSocket(...to);
        socket = opening;
        opening.onopen = () => settle(opening, done);
        opening.onclose = opening.onerror = fail;
      }
    })
    .catch(fail);
  return () => settle(undefined, () => {});
}

/** Closes a socket and ignores its further frames. */
export function leave(socket: Socket | undefined): void {
  if (socket) {
    // Not `null`: closing a socket before it is open is an error, which needs a handler in Node.
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = () => {};
    socket.close();
  }
}

/** Resolves when a socket that was left has closed. */
export function closing(socket: Socket | undefined): Promise<unknown> {
  return new Promise((resolve) => {
    if (socket && socket.readyState !== CLOSED) {
      socket.onclose = resolve;
    } else {
      resolve(undefined);
    }
  });
}
