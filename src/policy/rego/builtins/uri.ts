/** URIs. Source: RFC 3986; OPA policy reference, `uri.parse`. */
import { builtin, fault } from "../builtin-registry.ts";
import { RegoObject, type Value } from "../values.ts";

const URI = /^(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s;
const AUTHORITY = /^(?:(.*)@)?(\[[0-9A-Fa-f:.%]+\]|[^:@[ ]*)(?::(\d*))?$/;
/** What may stand before the `@`. Source: RFC 3986, section 3.2.1. */
const USER_INFO = /^(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*$/;

function parseUri(value: string): RegoObject | undefined {
  const match = URI.exec(value);
  if (!match || /[\u0000-\u001f\u007f]/.test(value) || /%(?![0-9A-Fa-f]{2})/.test(value)) return undefined;
  const [, scheme, authority, path = "", query, fragment] = match;
  if (scheme === undefined && /^[^/?#]*:/.test(path)) return undefined;
  const result = new RegoObject();
  const put = (key: string, part: string | undefined) => {
    if (part !== undefined && part !== "") result.set(key, part);
  };
  put("scheme", scheme?.toLowerCase());
  if (authority !== undefined) {
    const found = AUTHORITY.exec(authority);
    if (!found) return undefined;
    const [, user = "", host = "", port] = found;
    // Go takes percent escapes in a host only for what is no ASCII.
    if (!USER_INFO.test(user) || /%[0-7]/.test(host.startsWith("[") ? "" : host)) return undefined;
    put("hostname", host.replace(/^\[|\]$/g, ""));
    put("port", port);
  }
  // Behind a scheme without a slash stands no path: `mailto:user@host`.
  const isOpaque = scheme !== undefined && authority === undefined && !path.startsWith("/");
  put("path", isOpaque ? "" : decodeURIComponentSafe(path));
  put("raw_path", isOpaque ? "" : path.replace(/%(?:2[1789A])/gi, (triplet) => decodeURIComponent(triplet)));
  put("raw_query", query);
  put("fragment", fragment);
  return result;
}

function decodeURIComponentSafe(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (error) {
    if (error instanceof URIError) return path;
    throw error;
  }
}

export const URIS = [
  builtin("uri.parse", "s", ([value]): Value => {
    const parsed = typeof value === "string" ? parseUri(value) : undefined;
    if (!parsed) throw fault("uri.parse", `invalid URI ${JSON.stringify(value)}`);
    return parsed;
  }),
  builtin(
    "uri.is_valid",
    "*",
    ([value]) => typeof value === "string" && value !== "" && parseUri(value) !== undefined,
  ),
];
