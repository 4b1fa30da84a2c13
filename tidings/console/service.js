// The service's HTTP API, asked with the app's key.

import { ask, place } from "./api.js";

/** Asks the HTTP API. Answers with the body; `headers` are those of the request. */
export function api(method, path, body, headers = {}) {
  return ask(place.apiUrl + path, method, body, { ...headers, authorization: `Bearer ${place.appKey}` });
}
