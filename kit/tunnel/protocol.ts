/**
 * A tunnel is a connection that a server makes to a relay in order to be called over it: it sends an HTTP/1.1 request that asks to upgrade to
 * this protocol, the relay answers 101, and from then on the relay is the client of HTTP/2 (RFC 9113) on that connection.
 */
export const TUNNEL_PROTOCOL = "harness-tunnel";
