import { describe, expect, test } from "vitest";
import { parseDeb822, parseListFile, parseSourcesFile } from "./apt-sources.ts";
import { findDebianMirror, sourceListOf } from "./debian-mirror.ts";

describe("parseListFile", () => {
  const cases: [line: string, expected: ReturnType<typeof parseListFile>][] = [
    [
      "deb http://mirror.example/debian bookworm main contrib # all of it",
      [
        {
          uris: ["http://mirror.example/debian"],
          suites: ["bookworm"],
          components: ["main", "contrib"],
          signedBy: undefined,
        },
      ],
    ],
    [
      "deb-src [arch=amd64 signed-by=/a.gpg,/b.gpg] http://mirror/debian trixie main",
      [
        {
          uris: ["http://mirror/debian"],
          suites: ["trixie"],
          components: ["main"],
          signedBy: "/a.gpg /b.gpg",
        },
      ],
    ],
    ["# deb http://mirror/debian bookworm main", []],
    ["rpm http://mirror/debian bookworm main", []],
    ["", []],
  ];
  for (const [line, expected] of cases) {
    test(`reads ${JSON.stringify(line)}`, () => expect(parseListFile(line)).toEqual(expected));
  }

  test("does not take over what would weaken the archive's signature", () => {
    expect(
      JSON.stringify(parseListFile("deb [trusted=yes allow-insecure=yes] http://m/debian sid main")),
    ).not.toMatch(/trusted|insecure/);
  });
});

describe("parseSourcesFile", () => {
  test("reads stanzas with several suites and a key in the file, and leaves out disabled ones", () => {
    const text = [
      "# Debian",
      "Types: deb deb-src",
      "URIs: http://one/debian http://two/debian",
      "Suites: bookworm bookworm-updates",
      "Components: main",
      "Signed-By:",
      " -----BEGIN PGP PUBLIC KEY BLOCK-----",
      " .",
      " abc",
      "",
      "Types: deb",
      "URIs: http://three/debian",
      "Suites: sid",
      "Components: main",
      "Enabled: no",
      "",
    ].join("\n");
    expect(parseSourcesFile(text)).toEqual([
      {
        uris: ["http://one/debian", "http://two/debian"],
        suites: ["bookworm", "bookworm-updates"],
        components: ["main"],
        signedBy: "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc",
      },
    ]);
  });
});

describe("parseDeb822", () => {
  test("gives field names in lower case and joins continuation lines", () => {
    const [stanza, ...others] = parseDeb822(
      "Package: a\nDescription: short\n long\n\nPackage: b\nno field\n",
    );
    expect([...(stanza ?? [])]).toEqual([
      ["package", "a"],
      ["description", "short\n long"],
    ]);
    expect(others.map((fields) => [...fields])).toEqual([[["package", "b"]]]);
  });
});

describe("findDebianMirror", () => {
  const source = (uri: string, suite: string, signedBy?: string) => ({
    uris: [uri],
    suites: [suite],
    components: ["main"],
    signedBy,
  });
  const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

  test("prefers what Debian's keyring signs to what only sounds like Debian", () => {
    const sources = [
      source("https://vendor.example/debian", "bookworm", "/etc/apt/vendor.gpg"),
      source("http://mirror/", "bookworm", KEYRING),
      source("http://mirror/security", "bookworm-security", KEYRING),
    ];
    expect(findDebianMirror(sources, "bookworm", [KEYRING])).toEqual({
      archive: "http://mirror/",
      security: "http://mirror/security",
      signedBy: KEYRING,
    });
  });

  test("keeps a key that stands in the file as it is", () => {
    const key = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----";
    expect(
      findDebianMirror([source("http://m/debian", "bookworm", key)], "bookworm", [KEYRING]).signedBy,
    ).toBe(key);
  });

  test("refuses to go on without a mirror, or without a key", () => {
    expect(() => findDebianMirror([source("http://m/ubuntu", "jammy")], "bookworm", [KEYRING])).toThrow(
      /no Debian mirror for bookworm/,
    );
    expect(() => findDebianMirror([source("http://m/debian", "bookworm")], "bookworm", [])).toThrow(
      /debian-archive-keyring/,
    );
  });
});

describe("sourceListOf", () => {
  const mirror = { archive: "http://m/debian", security: "http://m/security", signedBy: "/k.gpg" };

  test("adds a release's security fixes and demands the signature of each", () => {
    const text = sourceListOf(mirror, "trixie", "deb-src");
    expect(parseSourcesFile(text).map(({ uris, suites, signedBy }) => [uris, suites, signedBy])).toEqual([
      [["http://m/debian"], ["trixie"], "/k.gpg"],
      [["http://m/security"], ["trixie-security"], "/k.gpg"],
    ]);
    expect(text).toMatch(/^Targets: Sources$/m);
    expect(text).not.toMatch(/trusted|insecure/i);
  });

  test("knows that a rolling suite has no security archive", () => {
    expect(parseSourcesFile(sourceListOf(mirror, "sid", "deb")).map(({ suites }) => suites)).toEqual([
      ["sid"],
    ]);
  });
});
