import { parseAddress } from "@serverless-harness/kit/address";
import { askHealth } from "@serverless-harness/kit/health-check";

/** A probe that takes longer has failed. */
const PROBE_TIMEOUT_MS = 2000;

/** The service at this address answers its health probe. */
export async function isServing(address: string, token?: string): Promise<boolean> {
  const parsed = parseAddress(address);
  if (parsed === undefined) return false;
  return await askHealth({ address: parsed, ...(token === undefined ? {} : { token }) }).catch(() => false);
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
