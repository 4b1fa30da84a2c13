import { TidingsError } from "./errors.js";

type Fields = Record<string, unknown>;

/** Asks the HTTP API. Throws a {@link TidingsError}: the service's own (RFC 9457), `unreachable` or `unexpected`. */
export async function get(url: string, token: string): Promise<Fields> {
  let response: Response;
  let answer: Fields;
  try {
    response = await fetch(url, { headers: { authorization: `Bearer ${token}` }, cache: "no-store" });
    // API Gateway itself may answer with anything.
    answer = (await response.json().catch(() => null)) ?? {};
  } catch (cause) {
    throw new TidingsError("unreachable", url, cause);
  }
  if (!response.ok) {
    const { code = "unexpected", detail = response.status, requestId } = answer;
    throw new TidingsError(String(code), String(detail), undefined, requestId as string | undefined);
  }
  return answer;
}
