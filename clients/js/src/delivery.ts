import type { Gap } from "./connection.js";
import { type Message, placeOf, type Received } from "./frames.js";
import type { Position } from "./position.js";

/** What a delivery needs of its device. */
export interface Recipient {
  /** Whether somebody listens: until then, messages wait. */
  listens(): boolean;
  /** Whether the app is to be shown this message. Does not fail. */
  claim(place: Position, sealed: string): Promise<boolean>;
  /** Hands it to the app, and waits until the app is done with it. Does not fail. */
  show(message: Message): Promise<unknown>;
  /** Keeps where the app is now. Does not fail. */
  save(place: Position): Promise<unknown>;
  /** The app has been shown this message, and the cursor is kept. */
  shown(message: Message): void;
  gap(gap: Gap): void;
}

type Item =
  | { readonly received: Received }
  | { readonly place: Position; readonly gap: Gap | undefined };

/**
 * Hands messages to the app, one after the other. First a message is claimed, then shown, then the cursor is kept, then
 * it is acknowledged: so none is lost, and a page that ends between two of these steps leaves nothing worse behind than a
 * message that the next page is shown again.
 */
export class Delivery {
  readonly #recipient: Recipient;
  #items: Item[] = [];
  #ended = false;
  #running: Promise<void> | undefined;

  constructor(recipient: Recipient) {
    this.#recipient = recipient;
  }

  /** A message has its turn. */
  add(received: Received): void {
    this.#items.push({ received });
    this.resume();
  }

  /** Everything up to here was added or passed over. */
  reached(place: Position, gap: Gap | undefined): void {
    this.#items.push({ place, gap });
    this.resume();
  }

  /** Goes on, if it does not. */
  resume(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Hands nothing on any more. Resolves when the app is done with the last message. */
  async end(): Promise<void> {
    this.#ended = true;
    this.#items = [];
    await this.#running;
  }

  async #run(): Promise<void> {
    // What calls this is in the middle of something.
    await undefined;
    for (let item = this.#items[0]; item && !this.#ended; item = this.#items[0]) {
      if (!("received" in item)) {
        this.#items.shift();
        if (item.gap) {
          this.#recipient.gap(item.gap);
        }
        await this.#recipient.save(item.place);
        continue;
      }
      if (!this.#recipient.listens()) {
        return;
      }
      const { message, sealed } = item.received;
      const place = placeOf(message);
      // Nobody but this socket brings a message that is not kept.
      const shows = !place || (await this.#recipient.claim(place, sealed));
      if (this.#ended) {
        return;
      }
      this.#items.shift();
      if (shows) {
        await this.#recipient.show(message);
      }
      if (place) {
        await this.#recipient.save(place);
      }
      this.#recipient.shown(message);
    }
  }
}
