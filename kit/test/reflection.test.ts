import { create, createFileRegistry, type DescFile, fromBinary } from "@bufbuild/protobuf";
import { type FileDescriptorProto, FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { Health } from "@serverless-harness/proto/health";
import { LeafService } from "@serverless-harness/proto/leaf";
import { ServerReflection, type ServerReflectionRequest, type ServerReflectionResponse } from "@serverless-harness/proto/reflection";
import { describe, expect, it } from "vitest";
import { HealthState } from "../health.ts";
import { REFLECTION_SERVICES, serveReflection } from "../reflection.ts";
import { startServer } from "../testing/index.ts";

type Question = ServerReflectionRequest["messageRequest"];

async function start() {
  const { client } = await startServer({
    routes: (router) => {
      new HealthState([]).routes(router);
      router.service(LeafService, {});
      serveReflection(router);
    },
  });
  const reflection = createClient(ServerReflection, client());
  /** What the server answers to questions on one stream. */
  return async (...questions: Question[]): Promise<Array<ServerReflectionResponse["messageResponse"]>> => {
    async function* requests() {
      for (const messageRequest of questions) yield { host: "here", messageRequest };
    }
    const answers = [];
    for await (const { validHost, originalRequest, messageResponse } of reflection.serverReflectionInfo(requests())) {
      expect(validHost).toBe("here");
      expect(originalRequest?.messageRequest).toEqual(questions[answers.length]);
      answers.push(messageResponse);
    }
    return answers;
  };
}

function filesOf(answer: ServerReflectionResponse["messageResponse"] | undefined) {
  if (answer?.case !== "fileDescriptorResponse") throw new Error(`files are expected, not ${answer?.case}`);
  return answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
}

/** Each file behind what it imports, as a registry wants them. */
function importsFirst(files: readonly FileDescriptorProto[]): FileDescriptorProto[] {
  const ordered = new Set<FileDescriptorProto>();
  const take = (name: string): void => {
    const file = files.find((each) => each.name === name);
    if (file === undefined) throw new Error(`${name} is imported, and was not sent`);
    if (ordered.has(file)) return;
    file.dependency.forEach(take);
    ordered.add(file);
  };
  for (const { name } of files) take(name);
  return [...ordered];
}

describe("reflection", () => {
  it("lists every service that is served, its own included", async () => {
    const [answer] = await (await start())({ case: "listServices", value: "" });
    const names = answer?.case === "listServicesResponse" ? answer.value.service.map(({ name }) => name) : [];
    expect(names.sort()).toEqual([Health.typeName, LeafService.typeName, ...REFLECTION_SERVICES].sort());
  });

  it("gives a service's file with all that it imports, from which a client can build the schema", async () => {
    const [answer] = await (await start())({ case: "fileContainingSymbol", value: LeafService.typeName });
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: importsFirst(filesOf(answer)) }));
    expect(registry.getService(LeafService.typeName)?.methods.map(({ name }) => name)).toEqual(LeafService.methods.map(({ name }) => name));
  });

  it("finds a file by whatever is in it, and sends what it imports once on a stream", async () => {
    const ask = await start();
    const file = LeafService.file.proto.name;
    const input = (LeafService.file.dependencies[0] as DescFile).messages[0];
    const [whole, again] = await ask({ case: "fileByFilename", value: file }, { case: "fileByFilename", value: file });
    expect(filesOf(whole).length).toBeGreaterThan(1);
    expect(filesOf(again).map(({ name }) => name)).toEqual([file]);
    for (const symbol of [
      `${LeafService.typeName}.Submit`,
      `.${LeafService.typeName}`,
      input?.typeName ?? "",
      `${input?.typeName}.${input?.fields[0]?.name}`,
      "grpc.health.v1.HealthCheckResponse.ServingStatus",
      "grpc.health.v1.HealthCheckResponse.SERVING",
    ]) {
      const [answer] = await ask({ case: "fileContainingSymbol", value: symbol });
      expect(filesOf(answer).length).toBeGreaterThan(0);
    }
  });

  it("answers what is not there, or makes no sense, with an error and goes on", async () => {
    const ask = await start();
    const answers = await ask(
      { case: "fileByFilename", value: "../../etc/passwd" },
      { case: "fileContainingSymbol", value: "constructor" },
      {
        case: "fileContainingExtension",
        value: { $typeName: "grpc.reflection.v1.ExtensionRequest", containingType: "x", extensionNumber: 1 },
      },
      { case: "allExtensionNumbersOfType", value: "no.Message" },
      { case: undefined },
      { case: "allExtensionNumbersOfType", value: "grpc.health.v1.HealthCheckRequest" },
    );
    expect(answers.map((answer) => (answer.case === "errorResponse" ? answer.value.errorCode : answer.case))).toEqual([
      5,
      5,
      5,
      5,
      3,
      "allExtensionNumbersResponse",
    ]);
  });
});
