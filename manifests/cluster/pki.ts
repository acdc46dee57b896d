import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./command.ts";
import { API_PORT, NODE_ADDRESS, NODE_NAME, SERVICE_API_ADDRESS } from "./network.ts";

/** Certificates live a day: no cluster of tests lives longer. */
const DAYS = "1";
const SERVER = "serverAuth";
const CLIENT = "clientAuth";

interface Certificate {
  readonly name: string;
  /** As openssl wants it; the organisation is the group that Kubernetes takes the client for. */
  readonly subject: string;
  readonly usage: string;
  readonly alternatives?: string;
}

const CERTIFICATES: readonly Certificate[] = [
  {
    name: "apiserver",
    subject: "/CN=kube-apiserver",
    usage: SERVER,
    alternatives: `IP:127.0.0.1,IP:${NODE_ADDRESS},IP:${SERVICE_API_ADDRESS},DNS:kubernetes.default.svc,DNS:kubernetes.default,DNS:localhost`,
  },
  { name: "kubelet-server", subject: `/CN=${NODE_NAME}`, usage: SERVER, alternatives: `IP:${NODE_ADDRESS},DNS:${NODE_NAME}` },
  { name: "admin", subject: "/O=system:masters/CN=admin", usage: CLIENT },
  { name: "apiserver-to-kubelet", subject: "/O=system:masters/CN=kube-apiserver", usage: CLIENT },
  { name: "front-proxy", subject: "/CN=front-proxy", usage: CLIENT },
  { name: "controller-manager", subject: "/CN=system:kube-controller-manager", usage: CLIENT },
  { name: "scheduler", subject: "/CN=system:kube-scheduler", usage: CLIENT },
  { name: "kubelet", subject: `/O=system:nodes/CN=system:node:${NODE_NAME}`, usage: CLIENT },
  { name: "kube-proxy", subject: "/CN=system:kube-proxy", usage: CLIENT },
];

/** Who reaches the API server from inside, each with a kubeconfig of that name. */
const INSIDE = ["admin", "controller-manager", "scheduler", "kubelet", "kube-proxy"];

/** Make an authority, its certificates and the kubeconfigs of the inside, in a directory that `seenAs` names inside the namespaces. */
export async function makeCertificates(directory: string, seenAs: string): Promise<void> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const openssl = async (...args: string[]): Promise<void> => void (await run("openssl", args, { cwd: directory }));
  const key = (name: string): Promise<void> => openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", `${name}.key`);
  await key("ca");
  await openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=leaf test cluster", "-days", DAYS, "-out", "ca.crt");
  await Promise.all([
    // The API server signs service accounts' tokens with this key; it is no certificate.
    key("service-accounts").then(() => openssl("ec", "-in", "service-accounts.key", "-pubout", "-out", "service-accounts.pub")),
    ...CERTIFICATES.map(async ({ name, subject, usage, alternatives }) => {
      const names = alternatives === undefined ? "" : `subjectAltName=${alternatives}\n`;
      writeFileSync(join(directory, `${name}.ext`), `extendedKeyUsage=${usage}\n${names}`);
      await key(name);
      await openssl("req", "-new", "-key", `${name}.key`, "-subj", subject, "-out", `${name}.csr`);
      const authority = [
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-set_serial",
        String(CERTIFICATES.findIndex((one) => one.name === name) + 1),
      ];
      const files = ["-in", `${name}.csr`, "-extfile", `${name}.ext`, "-out", `${name}.crt`];
      await openssl("x509", "-req", ...authority, "-days", DAYS, ...files);
    }),
  ]);
  for (const name of INSIDE) writeFileSync(join(directory, `${name}.kubeconfig`), kubeconfig(API_PORT, seenAs, name), { mode: 0o600 });
}

/**
 * A kubeconfig for the certificate `name` in a directory. It names 127.0.0.1 inside and outside: a client outside that knew the node's
 * private address would call a stranger of the machine's network with the cluster's credentials.
 */
export function kubeconfig(port: number, directory: string, name: string): string {
  const cluster = { server: `https://127.0.0.1:${port}`, "certificate-authority": join(directory, "ca.crt") };
  const user = { "client-certificate": join(directory, `${name}.crt`), "client-key": join(directory, `${name}.key`) };
  return JSON.stringify(
    {
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "leaf", cluster }],
      users: [{ name, user }],
      contexts: [{ name: "leaf", context: { cluster: "leaf", user: name } }],
      "current-context": "leaf",
    },
    null,
    2,
  );
}

/** Throws unless every server that a kubeconfig of ours names is a forwarded port of this machine. */
export function assertLoopback(text: string): void {
  const { clusters } = JSON.parse(text) as { clusters: { cluster: { server: string } }[] };
  for (const { cluster } of clusters) {
    if (/^https:\/\/127\.0\.0\.1:\d+$/.test(cluster.server)) continue;
    throw new Error(
      `the test cluster's kubeconfig names ${cluster.server}: it may name a port of 127.0.0.1 alone; run: npm run cluster -- down`,
    );
  }
}

/** Throws if arguments of kubectl would take it to another server than the test cluster's. */
export function assertNoOtherServer(args: readonly string[]): void {
  const end = args.indexOf("--");
  const own = end === -1 ? args : args.slice(0, end);
  const found = own.find((arg) => /^(-s|--(server|kubeconfig|cluster|context|proxy-url|tls-server-name)(=|$))/.test(arg));
  if (found === undefined) return;
  throw new Error(`${found} names another server: this kubectl talks to the test cluster alone; call your own kubectl for others`);
}
