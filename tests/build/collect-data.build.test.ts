/** kata-collect-data.sh, as its user runs it. */
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { VERSION } from "../../src/version.ts";
import { runCommand } from "../harness/command.ts";

const PROGRAM = join(import.meta.dirname, "../../build/bin/kata-collect-data.sh");
const SECTIONS = [
  "Meta",
  "Runtime",
  "Configuration files",
  "Guest image",
  "Logs",
  "Container managers",
  "Packages",
  "Host",
];

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "kata-collect-data-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** A copy of the script beside a runtime that says where its configuration and its guest are. */
function install(configuration: string): string {
  const script = join(directory, "kata-collect-data.sh");
  copyFileSync(PROGRAM, script);
  const file = join(directory, "configuration.toml");
  mkdirSync(join(directory, "config.d"));
  writeFileSync(file, configuration);
  writeFileSync(join(directory, "config.d/10-more.toml"), "[agent.kata]\n# from the drop-in\n");
  writeFileSync(join(directory, "vmlinux"), "kernel");
  const runtime = `#!/bin/sh
case "$*" in
  --show-default-config-paths) echo ${file}; echo /no/such/configuration.toml ;;
  env) printf '[Kernel]\n  Path = "${directory}/vmlinux"\n[Initrd]\n  Path = "/no/such/initrd"\n' ;;
  *) echo "said by $*" ;;
esac
`;
  writeFileSync(join(directory, "kata-runtime"), runtime);
  chmodSync(join(directory, "kata-runtime"), 0o755);
  return script;
}

describe("kata-collect-data.sh", () => {
  test("writes its sections as Markdown that folds away, and nothing else", async () => {
    const { status, stdout, stderr } = await runCommand(install("[runtime]\nenable_debug = true\n"), []);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout.startsWith("<details>\n") && stdout.endsWith("\n</details>\n")).toBe(true);
    expect(
      [...stdout.matchAll(/^# (.*)$/gm)]
        .map(([, title]) => title)
        .filter((title) => SECTIONS.includes(title ?? "")),
    ).toEqual(SECTIONS);
    expect(stdout).toContain("said by --version");
    expect(stdout).toContain("enable_debug = true");
    expect(stdout).toContain("# from the drop-in");
    expect(stdout).toContain("No file `/no/such/configuration.toml`.");
    // Of the six bytes "kernel".
    expect(stdout).toMatch(/vmlinux`\): 6 bytes, SHA-256 [0-9a-f]{64}\n/);
    expect(stdout).toContain("`/no/such/initrd` is missing.");
  });

  test("leaves out what may be a secret", async () => {
    const secret = "hunter2-SECRET";
    const configuration = [
      `password = "${secret}"`,
      `token = "a\\"${secret}"`,
      `registry_auth = '${secret}'`,
      `identitytoken=${secret}`,
      `"clientSecret": "${secret}",`,
      `https_proxy = "http://user:${secret}@proxy:3128"`,
      `header = "Authorization: Bearer ${secret}"`,
      `-----BEGIN RSA PRIVATE KEY-----\n${secret}\n-----END RSA PRIVATE KEY-----`,
      `kernel_params = "quiet"`,
    ].join("\n");
    const { stdout } = await runCommand(install(configuration), []);
    expect(stdout).not.toContain(secret);
    expect(stdout).toContain('password = "(left out)"');
    expect(stdout).toContain("http://(left out)@proxy:3128");
    expect(stdout).toContain('kernel_params = "quiet"');
  });

  test("has upstream's options, and says who may run it", async () => {
    expect((await runCommand(PROGRAM, ["--version"])).stdout).toMatch(
      new RegExp(`^kata-collect-data.sh version ${VERSION.replaceAll(".", "\\.")} \\(commit \\S+\\)\\n$`),
    );
    expect((await runCommand(PROGRAM, ["-h"])).stdout).toMatch(/^Usage: kata-collect-data.sh /);
    expect(await runCommand(PROGRAM, ["--verbose"])).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringContaining("no such option: --verbose"),
    });
    const nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "sh", PROGRAM];
    expect(await runCommand("setpriv", nobody)).toMatchObject({
      status: 1,
      stdout: "",
      stderr: expect.stringContaining("it needs root"),
    });
  });
});
