import type { Received } from "./frames.js";
import { type Cursor, type Position, placeOf } from "./position.js";
import type { Announcement, Message } from "./wire.js";

/** An item for the app. */
export type Item =
  Received | { readonly announcement: Announcement } | { readonly slot: Position; readonly gap: Gap | undefined };

/** Messages after `from` and up to `to` may be missing: the mailbox no longer reached back to this device's cursor. */
export interface Gap {
  readonly from: Position | undefined;
  readonly to: Position;
}

/** The part of the device that a delivery uses. */
export interface Recipient {
  /** Whether the app has a handler; until then, items wait. */
  listens(this: void): boolean;
  /** Whether the app must be shown this message. Does not fail. */
  claim(this: void, place: Position, sealed: string): Promise<boolean>;
  /** Shows it to the app, and waits until the app is done with it. Does not fail. */
  show(this: void, event: Message | Announcement): Promise<unknown>;
  /** Stores the cursor of the app. Does not fail. */
  save(this: void, moved: Cursor): Promise<unknown>;
  /** The app has been shown this message, and the cursor is stored. */
  wasShown(this: void, message: Message): void;
  gap(this: void, gap: Gap): void;
}

/** Delivers messages or announcements to the app. */
export interface Delivery {
  /** Adds an item: a message, an announcement, or a position up to which everything was delivered or skipped. */
  enqueue(this: void, item: Item): void;
  /** Continues, if it has stopped. */
  resume(this: void): void;
  /** Stops. Resolves when the app is done with the last message. */
  finish(this: void): Promise<void>;
}

/**
 * Delivers messages or announcements to the app, one after the other. A message is claimed, then shown, then the cursor
 * is stored, then it is acknowledged. So none is lost: if a page ends between two of these steps, the worst is that the
 * next page is shown the message again. An announcement is shown, and then the cursor is stored.
 */
export function deliver({ listens, claim, show, save, wasShown, gap }: Recipient): Delivery {
  const items: Item[] = [];
  let ended = false;
  let running: Promise<void> | undefined;

  async function run(): Promise<void> {
    // The caller is in the middle of its work.
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
        // Only this socket brings a message that is not kept.
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
