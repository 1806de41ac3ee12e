import { expect, test } from "vitest";
import { parseRegistryPasswords } from "./registry-passwords.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");
const file = (auths: Readonly<Record<string, string>>) =>
  JSON.stringify({
    auths: Object.fromEntries(Object.entries(auths).map(([name, text]) => [name, { auth: base64(text) }])),
  });

test("the longest beginning of a repository's name has its password", () => {
  const find = parseRegistryPasswords(
    file({
      "example.com": "all:1",
      "example.com/team": "team:2",
      "example.com/team/app": "app:3",
      "https://other.example:5000": "other:4",
      "https://index.docker.io/v1/": "docker:5",
    }),
  );
  const found = (registry: string, repository: string) => {
    const auth = find(registry, repository);
    return auth === undefined ? undefined : Buffer.from(auth, "base64").toString();
  };
  expect(found("example.com", "team/app")).toBe("app:3");
  expect(found("example.com", "team/other/app")).toBe("team:2");
  expect(found("example.com", "teams/app")).toBe("all:1");
  expect(found("other.example:5000", "a")).toBe("other:4");
  expect(found("other.example", "a")).toBeUndefined();
  expect(found("registry-1.docker.io", "library/a")).toBe("docker:5");
});

test.each([
  "",
  "[]",
  '{"auths": []}',
  '{"auths": {"a": {"auth": "?"}}}',
  `{"auths": {"a": {"auth": "${base64("secret")}"}}}`,
])("%s is refused, and no password told", (text) => {
  expect(() => parseRegistryPasswords(text)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
  expect(() => parseRegistryPasswords(text)).not.toThrow(/secret|c2Vj/);
});
