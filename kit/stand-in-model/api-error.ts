/** Anthropic's names for kinds of failure, by HTTP status. */
const TYPES: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  500: "api_error",
  504: "timeout_error",
  529: "overloaded_error",
};

/** A refusal in the form of the Messages API. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  /** As `rate_limit_error`. */
  readonly type: string;
  /** Seconds, sent as `Retry-After`. */
  readonly retryAfter: number | undefined;

  constructor(
    status: number,
    message: string,
    options: { readonly type?: string | undefined; readonly retryAfter?: number | undefined } = {},
  ) {
    super(message);
    this.status = status;
    this.type = options.type ?? TYPES[status] ?? (status >= 500 ? "api_error" : "invalid_request_error");
    this.retryAfter = options.retryAfter;
  }

  /** The body of the response. */
  body(requestId: string): { type: "error"; error: { type: string; message: string }; request_id: string } {
    return { type: "error", error: { type: this.type, message: this.message }, request_id: requestId };
  }
}
