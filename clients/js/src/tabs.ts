/**
 * Waits until this tab is the one that connects: it holds a Web Lock for as long as it lives, and the next one in line
 * takes over when it goes, however it goes. The answer gives the lock back.
 */
export function lead(locks: LockManager, name: string, signal: AbortSignal): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const held = (): Promise<void> => new Promise((release) => resolve(release));
    locks.request(name, { signal }, held).catch(reject);
  });
}
