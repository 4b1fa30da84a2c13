/**
 * The codes of errors. Codes of the service come as they are (`docs/protocol.md`, "Errors"); those of this client:
 *
 * - `unreadable_frame`: not sealed for this device, changed on the way, or not a frame at all. It was ignored.
 * - `unexpected`: it opened, but is not a valid frame, or is of a kind that this version does not know. It was ignored.
 * - `refused`: three openings in a row ended before they were open. Either the service refuses this device, or it is
 *   out of reach: a browser does not report which. The device keeps trying.
 * - `bad_registration`: the answer to the registration is invalid.
 * - `registration_failed`: the app's `registration` function failed, and is asked again later.
 * - `store_failed`: the store failed. The device goes on with what it has in memory.
 * - `handler_failed`: the app's own handler failed; `cause` is what it threw.
 * - `unreachable`: the HTTP API did not answer.
 * - `bad_options`: thrown by the constructor.
 */
export type ErrorCode =
  | "unreadable_frame"
  | "unexpected"
  | "refused"
  | "bad_registration"
  | "registration_failed"
  | "store_failed"
  | "handler_failed"
  | "unreachable"
  | "bad_options"
  | (string & {});

/** The only error that this client throws or reports. */
export class TidingsError extends Error {
  override readonly name = "TidingsError";
  /** Stable, for programs. */
  declare readonly code: ErrorCode;
  /** For people. */
  declare readonly detail: string;
  /** The id under which the service logged it, if its answer has one. */
  declare readonly requestId: string | undefined;

  constructor(code: ErrorCode, detail: string, cause?: unknown, requestId?: string) {
    super(`${code}: ${detail}`, { cause });
    this.code = code;
    this.detail = detail;
    this.requestId = requestId;
  }
}

/** An error of this client with the thrown value as its cause. */
export function caused(code: ErrorCode, cause: unknown): TidingsError {
  return new TidingsError(code, String(cause), cause);
}

/** A thrown value as an error of this client. */
export function failure(cause: unknown): TidingsError {
  return cause instanceof TidingsError ? cause : caused("unexpected", cause);
}
