import {
  createFileRegistry,
  type DescFile,
  type DescMessage,
  type DescService,
  fromJson,
  type MessageInitShape,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectRouter, type ServiceImpl } from "@connectrpc/connect";
import {
  file_grpc_reflection_v1_reflection,
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponseSchema,
} from "@serverless-harness/proto/reflection";

type Response = MessageInitShape<typeof ServerReflectionResponseSchema>;
type Answer = NonNullable<Response["messageResponse"]>;

const ALPHA = "grpc.reflection.v1alpha.ServerReflection";

/** Names of the services that {@link serveReflection} adds. They tell the public schema and nothing else, so they need no token. */
export const REFLECTION_SERVICES: readonly string[] = [ServerReflection.typeName, ALPHA];

/**
 * Let tools as `buf curl` and `grpcurl` learn the schema of all services that the router has by now, by `grpc.reflection.v1` and, for older
 * tools, by its predecessor v1alpha, which differs in its name only.
 */
export function serveReflection(router: ConnectRouter): void {
  const alpha = alphaService();
  const services = new Set([...router.handlers.map(({ service }) => service), ServerReflection, alpha]);
  let schema: Schema | undefined;
  async function* serverReflectionInfo(requests: AsyncIterable<ServerReflectionRequest>): AsyncGenerator<Response> {
    schema ??= new Schema([...services]);
    const sent = new Set<string>();
    for await (const request of requests) {
      yield { validHost: request.host, originalRequest: request, messageResponse: schema.answer(request, sent) };
    }
  }
  router.service(ServerReflection, { serverReflectionInfo });
  // The messages of both are alike.
  router.service(alpha, { serverReflectionInfo } as unknown as ServiceImpl<DescService>);
}

/** The files of a server's services, by name and by what is in them. */
class Schema {
  readonly #services: readonly DescService[];
  readonly #byName = new Map<string, DescFile>();
  readonly #bySymbol = new Map<string, DescFile>();

  constructor(services: readonly DescService[]) {
    this.#services = services;
    for (const { file } of services) this.#add(file);
  }

  answer({ messageRequest }: ServerReflectionRequest, sent: Set<string>): Answer {
    switch (messageRequest.case) {
      case "listServices":
        return { case: "listServicesResponse", value: { service: this.#services.map(({ typeName }) => ({ name: typeName })) } };
      case "fileByFilename":
        return filesFrom(this.#byName.get(messageRequest.value), sent, messageRequest.value);
      case "fileContainingSymbol":
        return filesFrom(this.#bySymbol.get(messageRequest.value.replace(/^\./, "")), sent, messageRequest.value);
      case "fileContainingExtension":
        return failure(Code.NotFound, "no message has extensions here");
      case "allExtensionNumbersOfType": {
        const baseTypeName = messageRequest.value;
        if (!this.#bySymbol.has(baseTypeName)) return failure(Code.NotFound, `${baseTypeName} is not known here`);
        return { case: "allExtensionNumbersResponse", value: { baseTypeName, extensionNumber: [] } };
      }
      default:
        return failure(Code.InvalidArgument, "the request asks for nothing");
    }
  }

  #add(file: DescFile): void {
    const { name } = file.proto;
    if (this.#byName.has(name)) return;
    this.#byName.set(name, file);
    for (const symbol of symbolsOf(file)) this.#bySymbol.set(symbol, file);
    for (const dependency of file.dependencies) this.#add(dependency);
  }
}

function* symbolsOf(file: DescFile): Generator<string> {
  for (const service of file.services) {
    yield service.typeName;
    for (const method of service.methods) yield `${service.typeName}.${method.name}`;
  }
  const values = (scope: string, { values: all }: DescFile["enums"][number]) =>
    all.map(({ name }) => (scope === "" ? name : `${scope}.${name}`));
  for (const type of file.enums) yield* [type.typeName, ...values(file.proto.package, type)];
  for (const message of file.messages) yield* symbolsOfMessage(message);
  function* symbolsOfMessage(message: DescMessage): Generator<string> {
    yield message.typeName;
    for (const { name } of [...message.fields, ...message.oneofs]) yield `${message.typeName}.${name}`;
    for (const type of message.nestedEnums) yield* [type.typeName, ...values(message.typeName, type)];
    for (const nested of message.nestedMessages) yield* symbolsOfMessage(nested);
  }
}

/** A file and everything that it imports, but for what was sent on this stream already. */
function filesFrom(file: DescFile | undefined, sent: Set<string>, asked: string): Answer {
  if (file === undefined) return failure(Code.NotFound, `${asked} is not known here`);
  const files: DescFile[] = [];
  const take = (one: DescFile): void => {
    if (files.includes(one)) return;
    files.push(one);
    for (const dependency of one.dependencies) take(dependency);
  };
  take(file);
  // What was asked for is sent in any case.
  const news = files.filter((one) => one === file || !sent.has(one.proto.name));
  for (const { proto } of news) sent.add(proto.name);
  return {
    case: "fileDescriptorResponse",
    value: { fileDescriptorProto: news.map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto)) },
  };
}

function failure(errorCode: Code, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}

/** The service as it was called before, made from the one of today. */
function alphaService(): DescService {
  const today = JSON.stringify(toJson(FileDescriptorProtoSchema, file_grpc_reflection_v1_reflection.proto));
  const then = fromJson(FileDescriptorProtoSchema, JSON.parse(today.replaceAll(/(grpc.reflection.v1)\b/g, "$1alpha")));
  const service = createFileRegistry(then, () => undefined).getService(ALPHA);
  if (service === undefined) throw new Error("the schema of reflection was changed");
  return service;
}
