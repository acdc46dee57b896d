import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "./server.ts";

/** A key and its certificate, as PEM texts. */
export interface Identity {
  readonly key: string;
  readonly cert: string;
}

/** A new certificate authority for a test. Its certificates are for this machine by default. Needs the `openssl` program. */
export async function createAuthority(): Promise<{ ca: string; issue: (name: string, addresses?: string) => Identity }> {
  const directory = await temporaryDirectory();
  const path = (name: string): string => join(directory, name);
  const openssl = (...args: string[]): void => void execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"];
  openssl("req", "-x509", ...newKey, "-days", "1", "-subj", "/CN=test authority", "-keyout", path("ca.key"), "-out", path("ca.pem"));
  const issue = (name: string, addresses = "DNS:localhost,IP:127.0.0.1"): Identity => {
    const files = ["-keyout", path("leaf.key"), "-out", path("leaf.pem"), "-CA", path("ca.pem"), "-CAkey", path("ca.key")];
    openssl("req", "-x509", ...newKey, "-days", "1", "-subj", `/CN=${name}`, "-addext", `subjectAltName=${addresses}`, ...files);
    return { key: readFileSync(path("leaf.key"), "utf8"), cert: readFileSync(path("leaf.pem"), "utf8") };
  };
  return { ca: readFileSync(path("ca.pem"), "utf8"), issue };
}
