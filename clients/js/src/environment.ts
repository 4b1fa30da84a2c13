/** A method, so that handlers of narrower events fit: the events of `ws` differ from those of browsers. */
type SocketHandler<Event> = { handle(event: Event): void }["handle"] | null;

/** Values of a socket's `readyState`. */
export const OPEN = 1;
export const CLOSED = 3;

/** The part of a WebSocket that a device uses: of browsers, of Node 22, or of the package `ws`. */
export interface Socket {
  onopen: SocketHandler<unknown>;
  onmessage: SocketHandler<{ data: unknown }>;
  onclose: SocketHandler<unknown>;
  onerror: SocketHandler<unknown>;
  readonly readyState: number;
  send(text: string): void;
  close(): void;
}

/** Makes a {@link Socket}. */
export type SocketClass = new (url: string, protocols?: string[]) => Socket;

/** Clock, timers and randomness. Tests replace them. */
export interface Environment {
  /** A clock that never goes back, in milliseconds. */
  now(this: void): number;
  /** Unix time in milliseconds. */
  wallClock(this: void): number;
  /** Calls back after this many milliseconds, unless the returned function is called before. */
  after(this: void, delay: number, callback: () => void): () => void;
  /** From 0 to 1, without 1. */
  random(this: void): number;
}

/** The real environment. */
export const REAL: Environment = {
  now: () => performance.now(),
  wallClock: Date.now,
  after: (delay, callback) => {
    const timer = setTimeout(callback, delay);
    return () => clearTimeout(timer);
  },
  random: Math.random,
};

/** The result of `work`, if it settles within this many milliseconds. Rejects otherwise. */
export async function within<T>({ after }: Environment, time: number, work: Promise<T> | T): Promise<T> {
  let cancel: (() => void) | undefined;
  const late = new Promise<never>((_, reject) => {
    cancel = after(time, () => reject(new Error("no answer")));
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    cancel?.();
  }
}
