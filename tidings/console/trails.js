// Trails of messages, in words.

import { EVENTS, SETTLED } from "./wire.js";
import { short } from "./words.js";

/** One event of a trail as a sentence. */
export function sentence({ event, deviceId, step, channel, code, detail }) {
  const filled = {
    device: short(deviceId ?? "a device"),
    step: channel ? `${channel}${step === undefined ? "" : ` (step ${step + 1})`}` : "the step",
    code,
  };
  const text = EVENTS[event]?.replace(/\{(\w+)\}/g, (_, name) => filled[name]);
  return `${text ?? event}${detail ? ` (${detail})` : ""}`;
}

export const isSettled = (state) => SETTLED.includes(state);
