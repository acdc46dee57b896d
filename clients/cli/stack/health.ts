import { createClient } from "@connectrpc/connect";
import { parseAddress } from "@serverless-harness/kit/address";
import { createTransport } from "@serverless-harness/kit/transport";
import { Health, HealthCheckResponse_ServingStatus as Status } from "@serverless-harness/proto/health";

/** A probe that takes longer has failed. */
const PROBE_TIMEOUT_MS = 2000;

/** The service at this address answers its health probe. */
export async function isServing(address: string, token?: string): Promise<boolean> {
  const parsed = parseAddress(address);
  if (parsed === undefined) return false;
  const transport = createTransport({ address: parsed, ...(token === undefined ? {} : { token }) });
  try {
    const { status } = await createClient(Health, transport).check({}, { timeoutMs: PROBE_TIMEOUT_MS });
    return status === Status.SERVING;
  } catch {
    return false;
  } finally {
    transport.close();
  }
}

/** The URL is answered with success. */
export async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
