const FAULTS = new WeakSet<object>();

/**
 * Note that the client is to blame for an error, whatever its code: protocols ask for INTERNAL here and there if a request breaks their rules. The service
 * that logs it has no defect.
 */
export function clientFault<T>(error: T): T {
  if (typeof error === "object" && error !== null) FAULTS.add(error);
  return error;
}

/** The client is to blame for it. */
export function isClientFault(error: unknown): boolean {
  return typeof error === "object" && error !== null && FAULTS.has(error);
}
