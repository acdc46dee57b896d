import { create, createFileRegistry, type DescService, fromBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { createClient, type Transport } from "@connectrpc/connect";
import { ServerReflection, type ServerReflectionRequest } from "@serverless-harness/proto/reflection";

type Question = ServerReflectionRequest["messageRequest"];

/** Every service that a server has, as it tells itself by reflection: one that is added is there without a word here. */
export async function servedServices(transport: Transport): Promise<DescService[]> {
  const reflection = createClient(ServerReflection, transport);
  async function ask(...questions: Question[]) {
    async function* requests() {
      for (const messageRequest of questions) yield { host: "", messageRequest };
    }
    const answers = [];
    for await (const { messageResponse } of reflection.serverReflectionInfo(requests())) answers.push(messageResponse);
    return answers;
  }
  const [listed] = await ask({ case: "listServices", value: "" });
  if (listed?.case !== "listServicesResponse") throw new Error("the server lists no services");
  const names = listed.value.service.map(({ name }) => name);
  const answers = await ask(...names.map((value): Question => ({ case: "fileContainingSymbol", value })));
  const files = answers.flatMap((answer) =>
    answer.case === "fileDescriptorResponse"
      ? answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes))
      : [],
  );
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: importsFirst(files) }));
  return names.flatMap((name) => registry.getService(name) ?? []);
}

/** The paths of the plain API, as the answer for a path that is none lists them. */
export async function servedPaths(origin: string): Promise<string[]> {
  const answer = (await (await fetch(`${origin}/nothing/here`)).json()) as { readonly message: string };
  const paths = answer.message.match(/\/[\w/{}-]+/g) ?? [];
  return [...paths, "/healthz", "/metrics"];
}

/** Each file after what it imports, as a registry wants them. */
function importsFirst(files: readonly FileDescriptorProto[]): FileDescriptorProto[] {
  const byName = new Map(files.map((file) => [file.name, file]));
  const ordered = new Set<FileDescriptorProto>();
  const take = (name: string): void => {
    const file = byName.get(name);
    if (file === undefined || ordered.has(file)) return;
    file.dependency.forEach(take);
    ordered.add(file);
  };
  for (const { name } of files) take(name);
  return [...ordered];
}
