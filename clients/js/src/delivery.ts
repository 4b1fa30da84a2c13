import { type Message, placeOf, type Received } from "./frames.js";
import type { Position } from "./position.js";

/** What is for the app. */
export type Item = Received | { readonly place: Position; readonly gap: Gap | undefined };

/** Something after `from` and up to `to` may be missing: the mailbox no longer reached back to where this device was. */
export interface Gap {
  readonly from: Position | undefined;
  readonly to: Position;
}

/** What a delivery needs of its device. */
export interface Recipient {
  /** Whether somebody listens: until then, messages wait. */
  listens(this: void): boolean;
  /** Whether the app is to be shown this message. Does not fail. */
  claim(this: void, place: Position, sealed: string): Promise<boolean>;
  /** Hands it to the app, and waits until the app is done with it. Does not fail. */
  show(this: void, message: Message): Promise<unknown>;
  /** Keeps where the app is now. Does not fail. */
  save(this: void, place: Position): Promise<unknown>;
  /** The app has been shown this message, and the cursor is kept. */
  shown(this: void, message: Message): void;
  gap(this: void, gap: Gap): void;
}

/** Hands messages to the app. */
export interface Delivery {
  /** A message has its turn; or everything up to a place was delivered or passed over. */
  add(this: void, item: Item): void;
  /** Goes on, if it does not. */
  resume(this: void): void;
  /** Hands nothing on any more. Resolves when the app is done with the last message. */
  end(this: void): Promise<void>;
}

/**
 * Hands messages to the app, one after the other. First a message is claimed, then shown, then the cursor is kept, then
 * it is acknowledged: so none is lost, and a page that ends between two of these steps leaves nothing worse behind than a
 * message that the next page is shown again.
 */
export function deliver({ listens, claim, show, save, shown, gap }: Recipient): Delivery {
  const items: Item[] = [];
  let ended = false;
  let running: Promise<void> | undefined;

  async function run(): Promise<void> {
    // What calls this is in the middle of something.
    await undefined;
    for (let item = items[0]; item && !ended; item = items[0]) {
      if ("place" in item) {
        if (item.gap) {
          gap(item.gap);
        }
        await save(item.place);
      } else {
        if (!listens()) {
          break;
        }
        const { message, sealed } = item;
        const place = placeOf(message);
        // Nobody but this socket brings a message that is not kept.
        const shows = !place || (await claim(place, sealed));
        if (ended) {
          break;
        }
        if (shows) {
          await show(message);
        }
        if (place) {
          await save(place);
        }
        shown(message);
      }
      items.shift();
    }
    running = undefined;
  }

  const resume = (): void => {
    running ??= run();
  };
  return {
    add(item) {
      items.push(item);
      resume();
    },
    resume,
    async end() {
      ended = true;
      await running;
    },
  };
}
