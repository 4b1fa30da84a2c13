import { TidingsError } from "./errors.js";

/** Asks the HTTP API. Throws a {@link TidingsError}: the service's own (RFC 9457), `unreachable` or `unexpected`. */
export async function get(url: string, token: string): Promise<Record<string, unknown>> {
  let response: Response;
  let body: unknown;
  try {
    response = await fetch(url, { headers: { authorization: `Bearer ${token}` }, cache: "no-store" });
    body = await response.json().catch(() => undefined);
  } catch (cause) {
    throw new TidingsError("unreachable", "the HTTP API does not answer", { cause });
  }
  const answer = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const { code, detail, requestId } = answer;
  if (!response.ok) {
    const known = typeof code === "string";
    throw new TidingsError(known ? code : "unexpected", typeof detail === "string" ? detail : `HTTP ${response.status}`, {
      requestId: typeof requestId === "string" ? requestId : undefined,
    });
  }
  return answer;
}
