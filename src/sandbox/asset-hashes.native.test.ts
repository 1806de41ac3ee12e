/** Digests of files, by the host's own program. */
import { defaultConfiguration } from "../config/index.ts";
import { hasCode } from "../kata-error.ts";
import { removeTree, writeFile } from "../sys/files.ts";
import { getpid } from "../sys/process.ts";
import { assertEqual, assertThrows, runTests, test } from "../sys/testing/native-test.ts";
import { assetHashes, checkAssetHashes } from "./asset-hashes.ts";

/** Source: FIPS 180-4 example, "abc". */
const SHA512_ABC =
  "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" +
  "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

const PATH = `/tmp/kata-hash-test-${getpid()}`;

function configured(kernelHash: string, kernel = PATH) {
  const configuration = defaultConfiguration("qemu");
  return {
    ...configuration,
    hypervisor: { ...configuration.hypervisor, kernel, kernel_hash: kernelHash },
  };
}

test("a file with the digest that a pod demands is taken, another is not", async () => {
  writeFile(PATH, "abc");
  try {
    await checkAssetHashes(assetHashes(configured("")));
    await checkAssetHashes(assetHashes(configured(SHA512_ABC.toUpperCase())));
    writeFile(PATH, "abd");
    await assertThrows(
      () => checkAssetHashes(assetHashes(configured(SHA512_ABC))),
      (error) => hasCode(error, "permission-denied"),
      "permission-denied",
    );
  } finally {
    removeTree(PATH);
  }
});

test("what is no digest, or about no file, is refused", async () => {
  for (const configuration of [configured("abc"), configured(SHA512_ABC, "")]) {
    await assertThrows(
      async () => assetHashes(configuration),
      (error) => hasCode(error, "invalid-argument"),
      "invalid-argument",
    );
  }
  assertEqual(assetHashes(configured(SHA512_ABC)), [
    { name: "kernel_hash", path: PATH, expected: SHA512_ABC },
  ]);
});

runTests();
