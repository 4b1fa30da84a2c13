// What the page asks: the twin's own API, and whatever else its panels are about.

import { ID } from "./settings.js";

/** Where everything is: `{apiUrl, socketUrl, twin}`, and what else `config.json` has. Set once, by `configure`. */
export const place = {};

/** What an API answered instead of what was asked for. */
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.message ?? `answered ${status}`);
    this.status = status;
    this.code = problem.code;
    /** `[{field, detail}]`: every field that is wrong. */
    this.errors = problem.errors ?? [];
  }
}

/** Reads `config.json`, which the twin serves; else what this tab was told before. False where it knows neither. */
export async function configure() {
  const answer = await fetch("config.json", { cache: "no-store" }).catch(() => null);
  const isJson = answer?.ok && answer.headers.get("content-type")?.includes("json");
  const told = isJson ? await answer.json() : JSON.parse(sessionStorage.getItem(ID) ?? "null");
  Object.assign(place, told);
  return told !== null;
}

/** Remembers a deployment for this tab: what is known of it does not outlive it. */
export function remember(told) {
  sessionStorage.setItem(ID, JSON.stringify(told));
}

export function forget() {
  sessionStorage.removeItem(ID);
}

/** The address of a path of the twin's own API. */
export const twinUrl = (path) => `/_twin/${path}`;

/** Asks the twin. */
export function twin(method, path, body) {
  return ask(twinUrl(path), method, body, {});
}

/** Asks for JSON with JSON; throws a `Refusal` if the answer is none that says yes. */
export async function ask(url, method, body, headers) {
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(url, {
      method,
      headers,
      cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (cause) {
    throw new Error(place.twin ? "The twin does not answer." : "The service does not answer.", { cause });
  }
  const text = await answer.text();
  let value = null;
  try {
    value = text ? JSON.parse(text) : null;
  } catch {
    throw new Refusal(answer.status, { detail: `answered ${answer.status} with something that is not JSON` });
  }
  if (!answer.ok) throw new Refusal(answer.status, value ?? {});
  return value;
}
