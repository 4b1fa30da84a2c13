import type { Received } from "./frames.js";
import { type Cursor, type Position, placeOf } from "./position.js";
import type { Announcement, Message } from "./wire.js";

/** What is for the app. */
export type Item =
  Received | { readonly announcement: Announcement } | { readonly slot: Position; readonly gap: Gap | undefined };

/** Something after `from` and up to `to` may be missing: the mailbox no longer reached back to where this device was. */
export interface Gap {
  readonly from: Position | undefined;
  readonly to: Position;
}

/** What a delivery needs of its device. */
export interface Recipient {
  /** Whether somebody listens: until then, what is to be shown waits. */
  listens(this: void): boolean;
  /** Whether the app is to be shown this message. Does not fail. */
  claim(this: void, place: Position, sealed: string): Promise<boolean>;
  /** Hands it to the app, and waits until the app is done with it. Does not fail. */
  show(this: void, event: Message | Announcement): Promise<unknown>;
  /** Keeps where the app is now. Does not fail. */
  save(this: void, moved: Cursor): Promise<unknown>;
  /** The app has been shown this message, and the cursor is kept. */
  wasShown(this: void, message: Message): void;
  gap(this: void, gap: Gap): void;
}

/** Hands messages or announcements to the app. */
export interface Delivery {
  /** A message or an announcement has its turn; or everything up to a place was delivered or passed over. */
  enqueue(this: void, item: Item): void;
  /** Goes on, if it does not. */
  resume(this: void): void;
  /** Hands nothing on any more. Resolves when the app is done with the last message. */
  finish(this: void): Promise<void>;
}

/**
 * Hands messages or announcements to the app, one after the other. First a message is claimed, then shown, then the
 * cursor is kept, then it is acknowledged: so none is lost, and a page that ends between two of these steps leaves nothing
 * worse behind than a message that the next page is shown again. An announcement is shown, and the cursor is kept.
 */
export function deliver({ listens, claim, show, save, wasShown, gap }: Recipient): Delivery {
  const items: Item[] = [];
  let ended = false;
  let running: Promise<void> | undefined;

  async function run(): Promise<void> {
    // What calls this is in the middle of something.
    await undefined;
    for (let item = items[0]; item && !ended; item = items[0]) {
      if ("gap" in item) {
        if (item.gap) {
          gap(item.gap);
        }
        await save(item.slot);
      } else if (!listens()) {
        break;
      } else if ("announcement" in item) {
        await show(item.announcement);
        await save({ announced: item.announcement.number });
      } else {
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
        wasShown(message);
      }
      items.shift();
    }
    running = undefined;
  }

  const resume = (): void => {
    running ??= run();
  };
  return {
    enqueue(item) {
      items.push(item);
      resume();
    },
    resume,
    async finish() {
      ended = true;
      await running;
    },
  };
}
