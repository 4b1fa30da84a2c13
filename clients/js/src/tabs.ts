/**
 * Waits until this tab is the one that connects: it holds a Web Lock for as long as it lives, and the next one in line
 * takes over when it goes, however it goes. The answer gives the lock back. There is none if the browser refuses locks, as
 * it does in a sandboxed frame, or has none: then each tab connects.
 */
export function lead(name: string, signal: AbortSignal): Promise<(() => void) | undefined> {
  const held = new Promise<() => void>((resolve, reject) => {
    navigator.locks.request(name, { signal }, () => new Promise<void>(resolve)).catch(reject);
  });
  return held.catch(() => undefined);
}
