/**
 * `node manifests/secrets.ts [--days N] [--model-env NAME ...]`: the secrets of an installation, new ones each time, as one JSON list
 * for `kubectl apply -f -`. `--model-env` takes a variable of the environment into the secret that brains get. Nothing is written to a disk that stays. Whoever has cert-manager leaves out `*-tls` (`--without-tls`).
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { env } from "node:process";
import { parseArgs } from "node:util";
import { generateKeys } from "@serverless-harness/kit/hands-token";
import { createSigningKeys } from "@serverless-harness/kit/signing-keys";

const NAMESPACE = "serverless-harness";
/** Who has a certificate, and the names that it is for. Each shows it to servers as well: all connections are mutual. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  dispatcher: namesOf("dispatcher"),
  brain: namesOf("brain"),
  redis: namesOf("redis"),
  // KEDA's operator shows it to the dispatcher's scaler.
  keda: namesOf("keda"),
  // Each pod of the StatefulSet is called by its own name.
  sandbox: [`*.sandbox.${NAMESPACE}.svc`, `*.sandbox.${NAMESPACE}.svc.cluster.local`],
};
/** What both clients of Redis may do: the keys of the store and its news, with no command that rules the server. */
const RIGHTS = "~harness:* ~{harness:* &harness:* +@all -@admin -@dangerous +info +role";

const { values } = parseArgs({
  options: {
    days: { type: "string", default: "365" },
    "model-env": { type: "string", multiple: true, default: [] },
    "without-tls": { type: "boolean", default: false },
  },
});
process.exitCode = await main();

async function main(): Promise<number> {
  const days = Number(values.days);
  if (!Number.isInteger(days) || days < 1 || days > 3650)
    return refuse(`--days is ${values.days}: it must be a whole number from 1 to 3650`);
  const names = values["model-env"];
  const missing = names.find((name) => !env[name]);
  // Not NAME=VALUE: everybody on this machine may read a command line.
  if (missing !== undefined)
    return refuse(`--model-env ${missing.split("=")[0]}: set the environment variable of that name, and give its name alone`);
  const secrets = {
    ...(await keysAndWords()),
    model: Object.fromEntries(names.map((name) => [name, env[name] ?? ""])),
    ...(values["without-tls"] ? {} : certificates(days)),
  };
  const items = Object.entries(secrets).map(([name, stringData]) => ({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace: NAMESPACE, labels: { "app.kubernetes.io/part-of": "serverless-harness" } },
    type: name.endsWith("-tls") ? "kubernetes.io/tls" : "Opaque",
    stringData,
  }));
  process.stdout.write(`${JSON.stringify({ apiVersion: "v1", kind: "List", items })}\n`);
  return 0;
}

function refuse(problem: string): number {
  process.stderr.write(`secrets: ${problem}\n`);
  return 64;
}

async function keysAndWords(): Promise<Record<string, Record<string, string>>> {
  const hands = generateKeys();
  const [dispatcher, brain, token, brainToken, artifacts] = Array.from({ length: 5 }, word);
  const store = (user: string, password = ""): string => {
    const files = "ca=/etc/leaf/tls/ca.crt&cert=/etc/leaf/tls/tls.crt&key=/etc/leaf/tls/tls.key";
    return `rediss://${user}:${password}@redis.${NAMESPACE}.svc:6379?${files}`;
  };
  return {
    dispatcher: {
      token: token ?? "",
      "brain-token": brainToken ?? "",
      "signing-keys.json": await createSigningKeys(),
      "hands-private.pem": hands.privateKey,
      "store-url": store("dispatcher", dispatcher),
    },
    brain: { "brain-token": brainToken ?? "", "store-url": store("brain", brain) },
    sandbox: { "hands-public.pem": hands.publicKey, "artifacts-key": artifacts ?? "" },
    redis: {
      "users.acl": ["user default off", `user dispatcher on >${dispatcher} ${RIGHTS}`, `user brain on >${brain} ${RIGHTS}`, ""].join("\n"),
    },
  };
}

/** 256 random bits, of characters that need no escape anywhere. */
function word(): string {
  return randomBytes(32).toString("base64url");
}

function namesOf(service: string): string[] {
  // The last one is for whoever forwards a port.
  return [service, `${service}.${NAMESPACE}`, `${service}.${NAMESPACE}.svc`, `${service}.${NAMESPACE}.svc.cluster.local`, "localhost"];
}

/** A certificate for each service, of an authority whose key is forgotten. */
function certificates(days: number): Record<string, Record<string, string>> {
  const directory = mkdtempSync(join(tmpdir(), "leaf-secrets-"));
  const openssl = (...args: string[]): void => void execFileSync("openssl", args, { cwd: directory, stdio: ["ignore", "ignore", "pipe"] });
  const read = (file: string): string => readFileSync(join(directory, file), "utf8");
  const key = (name: string): void =>
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", `${name}.key`);
  const issue = (name: string, names: readonly string[]): Record<string, string> => {
    writeFileSync(
      join(directory, `${name}.ext`),
      `subjectAltName=${names.map((each) => `DNS:${each}`).join(",")}\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n`,
    );
    key(name);
    openssl("req", "-new", "-key", `${name}.key`, "-subj", `/CN=${name}`, "-out", `${name}.csr`);
    const authority = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl("x509", "-req", "-in", `${name}.csr`, ...authority, "-days", String(days), "-extfile", `${name}.ext`, "-out", `${name}.crt`);
    return { "tls.crt": read(`${name}.crt`), "tls.key": read(`${name}.key`), "ca.crt": read("ca.crt") };
  };
  try {
    key("ca");
    openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", `/CN=${NAMESPACE}`, "-days", String(days), "-out", "ca.crt");
    return Object.fromEntries(Object.entries(NAMES).map(([name, names]) => [`${name}-tls`, issue(name, names)]));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
