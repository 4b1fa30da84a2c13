// What the page asks: the HTTP API with the app's key, and the twin's own API where a twin serves the page.

/** Where everything is: `{apiUrl, socketUrl, appId, appKey, twin}`. Set once, by `configure`. */
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

const KEPT = "tidings-console";

/** Reads `config.json`, which the twin serves; else what this tab was told before. False where it knows neither. */
export async function configure() {
  const answer = await fetch("config.json", { cache: "no-store" }).catch(() => null);
  const isJson = answer?.ok && answer.headers.get("content-type")?.includes("json");
  const told = isJson ? await answer.json() : JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
  Object.assign(place, told);
  return told !== null;
}

/** Remembers a deployment for this tab: a key does not outlive it. */
export function remember(told) {
  sessionStorage.setItem(KEPT, JSON.stringify(told));
}

export function forget() {
  sessionStorage.removeItem(KEPT);
}

/** Asks the HTTP API. Answers with the body; `headers` are those of the request. */
export function api(method, path, body, headers = {}) {
  return ask(place.apiUrl + path, method, body, { ...headers, authorization: `Bearer ${place.appKey}` });
}

/** Where the twin tells this. */
export const twinUrl = (path) => `/_twin/${path}`;

/** Asks the twin. */
export function twin(method, path, body) {
  return ask(twinUrl(path), method, body, {});
}

async function ask(url, method, body, headers) {
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
