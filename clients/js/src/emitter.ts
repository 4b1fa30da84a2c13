/** What is called for an event. */
export type Handler<Event> = (event: Event) => unknown;

/** Who listens to what. */
export class Emitter<Events> {
  readonly #handlers = new Map<keyof Events, Set<Handler<never>>>();

  /** Listens; the answer stops it. */
  on<Name extends keyof Events>(name: Name, handler: Handler<Events[Name]>): () => void {
    // A function of its own, so that the same one may listen twice.
    const own: Handler<Events[Name]> = (event) => handler(event);
    const handlers = this.handlers(name);
    handlers.add(own);
    return () => handlers.delete(own);
  }

  /** Who listens to this event. */
  handlers<Name extends keyof Events>(name: Name): Set<Handler<Events[Name]>> {
    let handlers = this.#handlers.get(name);
    if (!handlers) {
      handlers = new Set();
      this.#handlers.set(name, handlers);
    }
    return handlers as Set<Handler<Events[Name]>>;
  }
}
