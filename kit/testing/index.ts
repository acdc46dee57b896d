/** What tests of every service share: real servers, real directories. */
export { startServer, type TestServerOptions, temporaryDirectory } from "./server.ts";
