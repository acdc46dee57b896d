/** What tests of every service share: real servers, real directories. */

export { createAuthority, type Identity } from "./certificates.ts";
export { gif, jpeg, png, WEBP } from "./pictures.ts";
export { byKey, bySecret, rawToken } from "./raw-token.ts";
export { startServer, storeDirectory, type TestServerOptions, temporaryDirectory } from "./server.ts";
