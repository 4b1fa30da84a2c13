// What became of messages, for people.

import { EVENTS, SETTLED } from "./wire.js";
import { short } from "./words.js";

/** One thing that happened to a message, as a sentence. */
export function told({ event, deviceId, step, channel, code, detail }) {
  const filled = {
    device: short(deviceId ?? "a device"),
    step: channel ? `${channel}${step === undefined ? "" : ` (step ${step + 1})`}` : "the step",
    code,
  };
  const said = EVENTS[event]?.replace(/\{(\w+)\}/g, (_, name) => filled[name]);
  return `${said ?? event}${detail ? ` (${detail})` : ""}`;
}

export const isSettled = (state) => SETTLED.includes(state);
