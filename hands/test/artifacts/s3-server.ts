import { temporaryDirectory } from "@serverless-harness/kit/testing";
import S3rver from "s3rver";
import { onTestFinished } from "vitest";
import { S3Artifacts, type S3Options } from "../../artifacts/s3.ts";

/** The only account that the server knows. */
const CREDENTIALS = { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" };
export const BUCKET = "artifacts";

/** An S3-compatible server with one bucket; it ends with the test. */
export async function startS3(): Promise<{ endpoint: string; stop(): Promise<void> }> {
  const directory = await temporaryDirectory();
  const server = new S3rver({ address: "127.0.0.1", port: 0, silent: true, directory, configureBuckets: [{ name: BUCKET }] });
  const { port } = await server.run();
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= server.close());
  onTestFinished(stop);
  return { endpoint: `http://127.0.0.1:${port}`, stop };
}

/** Artifacts on a server; closed with the test. */
export function s3Artifacts(endpoint: string, options: Partial<S3Options> = {}): S3Artifacts {
  const artifacts = new S3Artifacts({ bucket: BUCKET, prefix: "sandbox/one", endpoint, credentials: CREDENTIALS, ...options });
  onTestFinished(() => artifacts.close());
  return artifacts;
}
