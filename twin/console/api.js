// The requests of the page: to the twin's own API, and to those that its panels show.

import { ID } from "./settings.js";

/** The addresses, `{apiUrl, socketUrl, twin}`, and any further field of `config.json`. Set once, by `configure`. */
export const place = {};

/** An error that an API answered. */
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.message ?? `answered ${status}`);
    this.status = status;
    this.code = problem.code;
    /** `[{field, detail}]`: every field that is wrong. */
    this.errors = problem.errors ?? [];
  }
}

/** Reads `config.json`, which the twin serves; else the deployment that this tab remembers. False without either. */
export async function configure() {
  const answer = await fetch("config.json", { cache: "no-store" }).catch(() => null);
  const isJson = answer?.ok && answer.headers.get("content-type")?.includes("json");
  const known = isJson ? await answer.json() : JSON.parse(sessionStorage.getItem(ID) ?? "null");
  Object.assign(place, known);
  return known !== null;
}

/** Remembers a deployment for this tab only. */
export function remember(deployment) {
  sessionStorage.setItem(ID, JSON.stringify(deployment));
}

export function forget() {
  sessionStorage.removeItem(ID);
}

/** The address of a path of the twin's own API. */
export const twinUrl = (path) => `/_twin/${path}`;

/** Sends a request to the twin. */
export function twin(method, path, body) {
  return ask(twinUrl(path), method, body, {});
}

/** Sends a request with JSON and reads JSON; throws a `Refusal` if it did not succeed. */
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
