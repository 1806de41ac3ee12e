/** Finding and reading configuration files, on the real file system. */
import { describeError, hasCode, hasErrno } from "../kata-error.ts";
import { chmod, chown, mkdirAll, removeTree, symlink, writeFile } from "../sys/files.ts";
import { getpid } from "../sys/process.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../sys/testing/native-test.ts";
import { loadConfiguration } from "./load-configuration.ts";

/** Runs `body` with an empty directory of root's own. */
function withDirectory(body: (directory: string) => Promise<void> | void): () => Promise<void> {
  return async () => {
    const directory = `/tmp/kata-load-configuration-${getpid()}`;
    mkdirAll(directory, 0o700);
    try {
      await body(directory);
    } finally {
      removeTree(directory);
    }
  };
}

const TEXT = "[hypervisor.qemu]\ndefault_memory = 512\n";

test(
  "loadConfiguration() reads the file that it is told, and the drop-ins beside it in the order of their names",
  withDirectory((directory) => {
    const option = `${directory}/configuration.toml`;
    mkdirAll(`${directory}/config.d`);
    writeFile(option, TEXT);
    writeFile(`${directory}/config.d/20-b.toml`, "[hypervisor.qemu]\ndefault_memory = 768\n");
    writeFile(`${directory}/config.d/10-a.toml`, "[hypervisor.qemu]\ndefault_memory = 640\n");
    writeFile(`${directory}/config.d/.hidden.toml`, "[hypervisor.qemu]\ndefault_memory = 1\n");
    writeFile(`${directory}/config.d/notes.txt`, "this is no TOML");
    const { sources, hypervisor } = loadConfiguration({ option });
    assertEqual(sources, [option, `${directory}/config.d/10-a.toml`, `${directory}/config.d/20-b.toml`]);
    assertEqual(hypervisor.default_memory, 768);
  }),
);

test(
  "loadConfiguration() takes the drop-ins of the file that a link leads to",
  withDirectory((directory) => {
    mkdirAll(`${directory}/real/config.d`);
    writeFile(`${directory}/real/qemu.toml`, TEXT);
    writeFile(`${directory}/real/config.d/a.toml`, "[runtime]\nenable_debug = true\n");
    symlink(`${directory}/real/qemu.toml`, `${directory}/configuration.toml`);
    const { sources, runtime } = loadConfiguration({ option: `${directory}/configuration.toml` });
    assertEqual(sources[0], `${directory}/configuration.toml`);
    assert(runtime.enable_debug, "the drop-in counts");
  }),
);

test(
  "loadConfiguration() says which file is missing and what to do",
  withDirectory(async (directory) => {
    const option = `${directory}/none.toml`;
    const error = await assertThrows(
      () => loadConfiguration({ option }),
      (thrown) => hasCode(thrown, "invalid-configuration") && hasErrno(thrown, "ENOENT"),
      "an error about a missing file",
    );
    assert(describeError(error).includes(option), describeError(error));
  }),
);

test(
  "loadConfiguration() takes an unknown key for a warning, and refuses it if it is to be strict",
  withDirectory(async (directory) => {
    const option = `${directory}/configuration.toml`;
    writeFile(option, `${TEXT}kernle = "/x"\n`);
    const error = await assertThrows(
      () => loadConfiguration({ option, strict: true }),
      (thrown) => hasCode(thrown, "invalid-configuration"),
      "an error about the key",
    );
    assert(describeError(error).includes(`${option}:3:1: unknown key`), describeError(error));
    assertEqual(loadConfiguration({ option }).warnings.length, 1);
  }),
);

test(
  "loadConfiguration() reads a file named by the environment only if nobody but root can have changed it",
  withDirectory(async (directory) => {
    const environment = `${directory}/configuration.toml`;
    writeFile(environment, TEXT);
    assertEqual(loadConfiguration({ environment }).hypervisor.default_memory, 512);

    const isRefused = (what: string) =>
      assertThrows(
        () => loadConfiguration({ environment }),
        (error) => hasCode(error, "permission-denied"),
        `refusal of ${what}`,
      );
    chmod(environment, 0o666);
    await isRefused("a file that others can write");
    chmod(environment, 0o600);
    chown(environment, 65534, 0);
    await isRefused("a file of another user");
    chown(environment, 0, 0);
    chmod(directory, 0o777);
    await isRefused("a file in a directory that others can write");
    // As /tmp: others can add files there, but not replace those of root.
    chmod(directory, 0o1777);
    assertEqual(loadConfiguration({ environment }).hypervisor.default_memory, 512);
    chown(directory, 65534, 0);
    await isRefused("a file in a directory of another user");
    chown(directory, 0, 0);
  }),
);

test(
  "loadConfiguration() refuses what is no ordinary file when the environment names it",
  withDirectory(async () => {
    await assertThrows(
      () => loadConfiguration({ environment: "/dev/zero" }),
      (error) => hasCode(error, "invalid-configuration", "permission-denied"),
      "refusal of a device",
    );
  }),
);

runTests();
