import { createPrivateKey, createPublicKey } from "node:crypto";
import type { Address } from "@serverless-harness/kit/address";
import type { EnvReader } from "@serverless-harness/kit/env";
import { readSecretFile, readTokenFile } from "@serverless-harness/kit/secret-file";
import { readClientTls } from "@serverless-harness/kit/tls";
import type { SandboxAccess, SandboxCredential } from "./sandbox.ts";

/** Read how sandboxes are got into. `address`: of the one sandbox, if there is no pool. */
export function readSandboxAccess(reader: EnvReader, address: Address | undefined): SandboxAccess {
  const tls = readClientTls(reader, address, {
    ca: reader.file("HANDS_TLS_CA_FILE"),
    cert: reader.file("HANDS_TLS_CERT_FILE"),
    key: reader.file("HANDS_TLS_KEY_FILE"),
  });
  return { tls, credential: readSandboxCredential(reader) };
}

function readSandboxCredential(reader: EnvReader): SandboxCredential {
  const tokenFile = reader.optional("HANDS_TOKEN_FILE");
  const keyFile = reader.optional("HANDS_PRIVATE_KEY_FILE");
  if (tokenFile !== undefined && keyFile !== undefined)
    reader.problem("HANDS_TOKEN_FILE and HANDS_PRIVATE_KEY_FILE are both set: set one of them");
  if (keyFile !== undefined) return { kind: "key", privateKeyPem: readKey(reader, keyFile) };
  if (tokenFile !== undefined) return { kind: "token", token: readTokenFile(reader, "HANDS_TOKEN_FILE", tokenFile) ?? "" };
  return { kind: "none" };
}

function readKey(reader: EnvReader, file: string): string {
  const pem = readSecretFile(reader, "HANDS_PRIVATE_KEY_FILE", file);
  try {
    if (pem !== undefined && createPrivateKey(pem).asymmetricKeyType === "ed25519") return pem;
  } catch {
    // Told below: whatever it is, it is no such key.
  }
  if (pem !== undefined) reader.problem(`HANDS_PRIVATE_KEY_FILE: ${file} must hold an Ed25519 private key as PEM`);
  return "";
}

/** What verifies the tokens that a credential makes, as PEM; `undefined`: it makes none. Empty if its key can't be used, which is told already. */
export function publicKeyOf(credential: SandboxCredential): string | undefined {
  if (credential.kind !== "key") return undefined;
  const { privateKeyPem } = credential;
  return privateKeyPem === "" ? "" : String(createPublicKey(privateKeyPem).export({ type: "spki", format: "pem" }));
}
