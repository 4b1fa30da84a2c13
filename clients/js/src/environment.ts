/** As a method, so that handlers of narrower events will do: those of `ws` are not those of browsers. */
type SocketHandler<Event> = { handle(event: Event): void }["handle"] | null;

/** Values of a socket's `readyState`. */
export const OPEN = 1;
export const CLOSED = 3;

/** What a device needs of a WebSocket: the class of browsers, of Node 22, or of the package `ws`. */
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

/** Time and chance. A test brings its own. */
export interface Environment {
  /** A clock that never goes back, in milliseconds. */
  now(this: void): number;
  /** Unix time in milliseconds. */
  wallClock(this: void): number;
  /** Calls back after so many milliseconds, unless the answer is called before. */
  after(this: void, delay: number, callback: () => void): () => void;
  /** From 0 to 1, without 1. */
  random(this: void): number;
}

/** The real one. */
export const REAL: Environment = {
  now: () => performance.now(),
  wallClock: Date.now,
  after: (delay, callback) => {
    const timer = setTimeout(callback, delay);
    return () => clearTimeout(timer);
  },
  random: Math.random,
};

/** What `work` comes to, if it does within so many milliseconds. Rejects otherwise. */
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
