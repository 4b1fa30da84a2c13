// The list of messages: the twin knows all of them; elsewhere the page knows only those that it has sent.

import { place, twin } from "./api.js";
import { api } from "./service.js";

const SENT = "tidings-console-sent";

/** How many of its own messages the page remembers. */
const REMEMBERED = 50;

/**
 * The newest messages, each as in `GET /v1/messages/{id}` and with additions for the list; `wanted` has the filters.
 */
export async function latest(limit, before, wanted = {}) {
  if (place.twin) {
    const given = Object.entries({ limit, before, ...wanted }).filter(([, value]) => value);
    return twin("GET", `messages?${new URLSearchParams(given)}`);
  }
  const trails = await Promise.all(
    sent()
      .slice(0, limit)
      .map(async ({ id, alert }) => {
        const trail = await api("GET", `/v1/messages/${id}`).catch((error) =>
          error.status === 404 ? null : Promise.reject(error),
        );
        return trail && { ...counted(trail), alert };
      }),
  );
  const { alias, text, state } = wanted;
  const isWanted = (it) =>
    (!alias || it.recipients.some((recipient) => recipient.alias === alias)) &&
    (!text || it.alert?.toLowerCase().includes(text.toLowerCase())) &&
    (!state || it.states[state]);
  return { messages: trails.filter((it) => it && isWanted(it)) };
}

/** The trail of one message. The twin is asked if there is one, because requests to the service count as traffic. */
export async function trail(id) {
  if (place.twin) return twin("GET", `messages/${encodeURIComponent(id)}`);
  return counted(await api("GET", `/v1/messages/${encodeURIComponent(id)}`));
}

/** Remembers a message that was sent from here. */
export function remember(id, alert) {
  sessionStorage.setItem(SENT, JSON.stringify([{ id, alert }, ...sent()].slice(0, REMEMBERED)));
}

function sent() {
  return JSON.parse(sessionStorage.getItem(SENT) ?? "[]");
}

/** The number of recipients by state. */
function counted(trail) {
  const states = {};
  for (const { state } of trail.recipients) states[state] = (states[state] ?? 0) + 1;
  return { ...trail, recipientCount: trail.recipients.length, states };
}
