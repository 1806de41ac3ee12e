import { expect, test } from "vitest";
import { parseImagePolicy } from "./image-policy.ts";

const signed = (key: object, signedIdentity?: object) => [
  { type: "sigstoreSigned", ...key, ...(signedIdentity === undefined ? {} : { signedIdentity }) },
];
const REJECT = [{ type: "reject" }];
const ACCEPT = [{ type: "insecureAcceptAnything" }];
const policy = (docker: object, fallback: unknown = REJECT) =>
  parseImagePolicy(JSON.stringify({ default: fallback, transports: { docker } }));

test("the narrowest scope decides", () => {
  const keys = ["e.com/a/b:1", "e.com/a/b", "e.com/a", "e.com", "*.sub.org", "*.org", ""];
  const decide = policy(Object.fromEntries(keys.map((scope) => [scope, signed({ keyPath: `/${scope}` })])));
  const scope = (name: string, version: string) => {
    const [found] = decide(name, version);
    return found?.kind === "signed" ? found.key.slice("file:///".length) : undefined;
  };
  expect(scope("e.com/a/b", ":1")).toBe("e.com/a/b:1");
  expect(scope("e.com/a/b", ":2")).toBe("e.com/a/b");
  expect(scope("e.com/a/bc", ":1")).toBe("e.com/a");
  expect(scope("e.com/x", "@sha256:0")).toBe("e.com");
  expect(scope("r.sub.org/x", ":1")).toBe("*.sub.org");
  expect(scope("sub.org/x", ":1")).toBe("*.org");
  expect(scope("other.net/x", ":1")).toBe("");
  expect(policy({})("e.com/a", ":1")).toEqual([{ kind: "reject" }]);
  expect(policy({ "e.com": ACCEPT })("e.com/a", ":1")).toEqual([{ kind: "accept" }]);
});

test("keys and identities are read", () => {
  const read = (key: object, identity?: object) => policy({ "": signed(key, identity) })("e.com/a", ":1")[0];
  expect(read({ keyPath: "kbs:///default/key/1" })).toEqual({
    kind: "signed",
    key: "kbs:///default/key/1",
    identity: { kind: "image" },
  });
  expect(
    read({ keyData: Buffer.from("-----BEGIN").toString("base64") }, { type: "matchRepository" }),
  ).toEqual({
    kind: "signed",
    key: "-----BEGIN",
    identity: { kind: "repository" },
  });
  expect(read({ keyPath: "/k" }, { type: "exactReference", dockerReference: "a:1" })).toMatchObject({
    identity: { kind: "exact", reference: "a:1" },
  });
  expect(read({ keyPath: "/k" }, { type: "exactRepository", dockerRepository: "a" })).toMatchObject({
    identity: { kind: "exact-repository", repository: "a" },
  });
});

test.each<[string, unknown]>([
  ["no JSON", "{"],
  ["no default", {}],
  ["no requirements", { default: [] }],
  ["a requirement that is not known", { default: [{ type: "signedBy" }] }],
  ["a field that is not known", { default: REJECT, other: 1 }],
  ["no key", { default: signed({}) }],
  ["two keys", { default: signed({ keyPath: "/a", keyData: "YQ==" }) }],
  ["a key with more about it", { default: signed({ keyPath: "/a", fulcio: {} }) }],
  ["an identity that is not known", { default: signed({ keyPath: "/a" }, { type: "remapIdentity" }) }],
  ["an identity that wants a tag", { default: signed({ keyPath: "/a" }, { type: "matchExact" }) }],
  ["an exact identity of nothing", { default: signed({ keyPath: "/a" }, { type: "exactReference" }) }],
])("a policy with %s is refused", (_what, document) => {
  const text = typeof document === "string" ? document : JSON.stringify(document);
  expect(() => parseImagePolicy(text)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
});
