import type { EnvReader } from "@serverless-harness/kit/env";
import type { KnativeConfig } from "./knative.ts";

/** How brains are called. */
export function readKnative(reader: EnvReader): KnativeConfig {
  const url = reader.required("DISPATCHER_KNATIVE_URL", "the address of the brain's service, as http://brain.harness.svc.cluster.local");
  const { protocol, username, password, search } = URL.canParse(url) ? new URL(url) : { protocol: "" };
  const isAddress = (protocol === "http:" || protocol === "https:") && !username && !password && !search;
  if (url !== "" && !isAddress)
    reader.problem(`DISPATCHER_KNATIVE_URL is ${JSON.stringify(url)}: it must be http://host or https://host, without user and query`);
  return {
    url: url.replace(/\/+$/, ""),
    maxWakes: reader.integer("DISPATCHER_KNATIVE_WAKES", 1, 1, 1000),
    leavesPerBrain: reader.integer("DISPATCHER_KNATIVE_LEAVES_PER_BRAIN", 50, 1, 1000),
    timeoutMs: reader.integer("DISPATCHER_KNATIVE_TIMEOUT_MS", 600_000, 1000, 86_400_000),
  };
}
