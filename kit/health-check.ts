import { createClient } from "@connectrpc/connect";
import { Health, HealthCheckResponse_ServingStatus as Status } from "@serverless-harness/proto/health";
import { createTransport, type TransportOptions } from "./transport.ts";

/** A service that takes longer to answer counts as away, in milliseconds. */
const TIMEOUT_MS = 2000;

/** Ask a service by gRPC's health protocol, over a connection of its own. False: it answers, and is stopping. Throws a ConnectError if it does not answer. */
export async function askHealth(service: TransportOptions): Promise<boolean> {
  const transport = createTransport(service);
  try {
    const { status } = await createClient(Health, transport).check({}, { timeoutMs: TIMEOUT_MS });
    return status === Status.SERVING;
  } finally {
    transport.close();
  }
}
