import { hash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import { type ExecSpec, ExecSpecSchema } from "@serverless-harness/proto/hands";

/** Longest preview of a command line, in characters. */
const PREVIEW_CHARACTERS = 200;

/** What makes two requests the same exec: everything but the epoch, in one form whatever the order of the variables. */
export function fingerprintOf(spec: ExecSpec): string {
  const env = Object.fromEntries(Object.entries(spec.env).sort(([a], [b]) => (a < b ? -1 : 1)));
  const canonical: ExecSpec = { ...spec, epoch: 0n, env };
  return hash("sha256", toBinary(ExecSpecSchema, canonical, { writeUnknownFields: false }), "base64url");
}

/** The start of the command line, for a human. */
export function previewOf(spec: ExecSpec): string {
  const text = spec.command.case === "shell" ? spec.command.value : (spec.command.value?.args.join(" ") ?? "");
  return text.slice(0, PREVIEW_CHARACTERS);
}
