/** A service of Kubernetes whose pods are sandboxes. */
export interface KubernetesService {
  readonly namespace: string;
  readonly service: string;
  /** Its number, or its name in the service. */
  readonly port: number | string;
  readonly tls: boolean;
}

/** Names of namespaces, services and ports (RFC 1123 labels). */
const LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const SERVICE = new RegExp(`^(${LABEL})/(${LABEL}):(${LABEL})$`);

/** Read `namespace/service:port`; `undefined` if it is something else. */
export function parseKubernetesService(text: string): Omit<KubernetesService, "tls"> | undefined {
  const [, namespace, service, port = ""] = SERVICE.exec(text) ?? [];
  if (namespace === undefined || service === undefined) return undefined;
  if (!/^\d+$/.test(port)) return { namespace, service, port };
  const number = Number(port);
  return number >= 1 && number <= 65_535 ? { namespace, service, port: number } : undefined;
}
