/** What a device needs of a WebSocket: the class of browsers, of Node 22, or of the package `ws`. */
export interface Socket {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  readonly readyState: number;
  send(text: string): void;
  close(): void;
}

/** Makes a {@link Socket}. */
export type SocketClass = new (url: string, protocols?: string[]) => Socket;

/** Everything around a device that is not the device. A test brings its own clock and its own chance. */
export interface Environment {
  /** A clock that never goes back, in milliseconds. */
  now(): number;
  /** Unix time in milliseconds. */
  wallClock(): number;
  /** Calls back after so many milliseconds. */
  setTimeout(callback: () => void, delay: number): unknown;
  clearTimeout(timer: unknown): void;
  /** From 0 to 1, without 1. */
  random(): number;
}

/** The real one. */
export const REAL: Environment = {
  now: () => performance.now(),
  wallClock: () => Date.now(),
  setTimeout: (callback, delay) => setTimeout(callback, delay),
  clearTimeout: (timer) => clearTimeout(timer as number),
  random: () => Math.random(),
};
