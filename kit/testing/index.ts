/** What tests of every service share: real servers, real directories. */

export { createAuthority, type Identity } from "./certificates.ts";
export { startServer, type TestServerOptions, temporaryDirectory } from "./server.ts";
