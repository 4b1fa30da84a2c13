// Words and numbers for people.

/** A long id, short enough for a table and long enough to be unique there. */
export const short = (id) => (id.length > 12 ? `${id.slice(0, 8)}…` : id);

/** The time of day, to the second. */
export const clock = (time) => new Date(time).toLocaleTimeString([], { hour12: false });

/** Day and time. */
export const moment = (time) => new Date(time).toLocaleString([], { hour12: false });

/** How long ago, or until when. */
export function ago(time, now = Date.now()) {
  const seconds = Math.round((now - new Date(time)) / 1_000);
  const amount = Math.abs(seconds);
  const words =
    amount < 60
      ? `${amount} s`
      : amount < 3_600
        ? `${Math.round(amount / 60)} min`
        : amount < 172_800
          ? `${Math.round(amount / 3_600)} h`
          : `${Math.round(amount / 86_400)} d`;
  return seconds < 0 ? `in ${words}` : `${words} ago`;
}

/** Milliseconds in a readable unit. */
export const took = (millis) =>
  millis < 1_000
    ? `${Math.round(millis)} ms`
    : millis < 60_000
      ? `${Number((millis / 1_000).toFixed(1))} s`
      : `${Number((millis / 60_000).toFixed(1))} min`;

/** `1 message`, `2 messages`. */
export const count = (number, one, many = `${one}s`) => `${number.toLocaleString()} ${number === 1 ? one : many}`;
