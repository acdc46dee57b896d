import type { EnvReader } from "@serverless-harness/kit/env";
import { readServerTls } from "@serverless-harness/kit/tls";
import type { ScalerConfig } from "./serve.ts";

/** Where KEDA asks, if anywhere. */
export function readScaler(reader: EnvReader): ScalerConfig | undefined {
  const address = reader.probesAddress("DISPATCHER_SCALER_LISTEN");
  const files = {
    cert: reader.file("DISPATCHER_SCALER_TLS_CERT_FILE"),
    key: reader.file("DISPATCHER_SCALER_TLS_KEY_FILE"),
    clientCa: reader.file("DISPATCHER_SCALER_TLS_CLIENT_CA_FILE"),
  };
  if (address === undefined) {
    const set = Object.values(files).find(({ path }) => path !== undefined);
    if (set !== undefined) reader.problem(`${set.variable} needs DISPATCHER_SCALER_LISTEN`);
    return undefined;
  }
  const tls = readServerTls(reader, address, files);
  return { listen: tls !== undefined && address.kind === "tcp" ? { ...address, tls: true } : address, tls };
}
