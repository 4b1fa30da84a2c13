/**
 * Waits until this tab is the one that connects: it holds a Web Lock for as long as it lives, and the next one in line
 * takes over when it ends for any reason. The returned function releases the lock. There is none if the browser refuses
 * locks, as in a sandboxed frame, or has none: then each tab connects.
 */
export function lead(name: string, signal: AbortSignal): Promise<(() => void) | undefined> {
  const held = new Promise<() => void>((resolve, reject) => {
    navigator.locks.request(name, { signal }, () => new Promise<void>(resolve)).catch(reject);
  });
  return held.catch(() => undefined);
}
