import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { loadClientTls } from "@serverless-harness/kit/tls";
import type { RedisAddress, RedisTls } from "../contract/store-url.ts";

/** How a connection is secured. Throws a ConfigError that names the file that can't be used. */
export function tlsOptions(host: string, { ca, cert, key }: RedisTls): ConnectionOptions {
  const file = (name: string, path: string | undefined) => ({ variable: `the leaf store's redis address, ${name}`, path });
  return {
    ...loadClientTls({ ca: file("ca", ca), cert: file("cert", cert), key: file("key", key) }),
    // An address in numbers has no name to be asked for.
    ...(isIP(host) === 0 ? { servername: host } : {}),
  };
}

/** What to do about a connection that failed; its own words are said already. */
export function tlsAdvice(error: Error, { tls }: RedisAddress): string {
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  if (tls === undefined) return "check host and port, that it runs, and redis: against rediss:";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return "its certificate is for other names: use one of them as the host";
  if (code === "CERT_HAS_EXPIRED") return "renew its certificate";
  if (/CERT|ISSUER|VERIFY/.test(code) && !/ALERT/.test(code)) {
    return tls.ca === undefined
      ? "name the authority of its certificate: ?ca=/absolute/file"
      : "its certificate is of another authority than ?ca= names";
  }
  if (/ALERT/.test(code) && tls.cert === undefined) return "it may ask for a client's certificate: ?cert=/absolute/file&key=/absolute/file";
  return "check host and port, that it runs, redis: against rediss:, and the certificate that it asks for";
}
